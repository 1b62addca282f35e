"""KB_MODEL_RAM, where it names a size, is for experts and key-value cache together."""

from __future__ import annotations

from pathlib import Path

import pytest

from kb.llm.local import cache, loading, workspace
from kb.llm.local import scheduler as scheduling
from kb.llm.local.cache import CachedStore
from kb.llm.local.config import ModelConfig
from kb.llm.local.kv import KVCache
from kb.llm.local.prefix import PagePool
from kb.llm.local.reader import STAGING
from kb.llm.local.settings import LocalModelSettings
from kb.llm.local.state import State
from kb.llm.local.types import PAGE

from . import folders, speaking
from .test_memory import GB, Machine, relief
from .test_scheduler import ask, prompt, read, until


def test_experts_make_room_for_pages_within_what_was_named_and_get_it_back() -> None:
    pool, machine = PagePool(20), Machine(available=10_000, slots=10)
    guard = relief(machine, pool, together=100)
    pages = [pool.take() for _ in range(5)]  # 25 bytes beside 100
    assert not guard.look() and machine.log == [("experts", 3)]
    assert machine.expert_bytes + 5 * pool.written <= 100 and guard.given == 0
    for number, page in enumerate(pages):
        pool.publish(page, bytes([number]))
    pool.release(pages)  # kept for later: still memory
    guard.look()
    assert machine.asked_back == 5 and len(machine.log) == 1
    pool.empty(5)
    guard.look()
    assert machine.asked_back == 30


def test_pages_take_at_most_half_of_what_they_share_with_the_experts(tmp_path: Path) -> None:
    config = ModelConfig.from_json({**folders.CONFIG, "num_key_value_heads": 4, "head_dim": 64})
    each = KVCache.page_bytes(config)
    settings = LocalModelSettings(tmp_path, kv_ram=f"{100 * each}")
    assert loading.page_count(config, settings, False) == 100
    assert loading.page_count(config, settings, False, 300 * each) == 100
    assert loading.page_count(config, settings, False, 61 * each) == 30
    assert loading.page_count(config, settings, False, 0) == loading.LEAST_PAGES


def test_the_memory_named_is_for_the_cache_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "_IDLE_LOOK_S", 0.1)
    source = speaking.packed(tmp_path / "tiny.kbm")
    with CachedStore(source, GB, warm=False) as store:
        dense, slot, every = store.dense_bytes, store.slot_bytes, store.slots
        config = ModelConfig.from_json(store.config)
    work = workspace.per_token(config) * 512 + cache.READERS * STAGING
    experts = every - 2
    ram = f"{work + dense + experts * slot}"
    state = State()
    settings = LocalModelSettings(tmp_path, ram=ram, kv_ram="100MB", threads=1)
    close = loading.load_service(source, False, settings, state)
    try:
        assert state.service is not None
        pool = state.service.scheduler.pool
        page = KVCache.page_bytes(config)
        assert pool.size * page <= experts * slot // 2 and state.store_report()["slots"] == experts
        sequence = ask(prompt(PAGE * (pool.size - 1)))
        state.service.scheduler.submit([sequence])
        read(sequence)
        until(lambda: state.store_report()["slots"] < experts)
        assert state.store_report()["expert_bytes"] + pool.written * page <= experts * slot
    finally:
        close()
