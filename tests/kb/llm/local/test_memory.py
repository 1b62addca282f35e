"""Out of memory is an answer: caches shrink first, then requests are turned away, and the server lives on."""

from __future__ import annotations

import http.client
import json
import mmap
import resource
import threading
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from kb.llm.local import cache, kv, loading, moe, workspace
from kb.llm.local.cache import CachedStore
from kb.llm.local.config import ModelConfig
from kb.llm.local.errors import ModelError, OutOfPages
from kb.llm.local.kv import KVCache
from kb.llm.local.memory_pressure import Relief
from kb.llm.local.model import Model
from kb.llm.local.pack import pack
from kb.llm.local.prefix import PagePool
from kb.llm.local.server import Server
from kb.llm.local.settings import LocalModelSettings, available_memory
from kb.llm.local.state import State
from kb.llm.local.types import PAGE, Batch, Segment

from . import conftest, folders, speaking
from .test_scheduler import LIMITS, Make, ask, expected, make, prompt, read

assert make  # a fixture

GB = 10**9
LAYERS, EXPERTS = 3, 8


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    return pack(folders.write(folder / "src", mxfp4=True), folder / "m.kbm", page_size=4096)


class Machine:
    """Memory that can be had, and weights that give some of it back."""

    def __init__(self, available: int, slots: int) -> None:
        self.available, self.slots, self.log = available, slots, []  # type: ignore[var-annotated]

    @property
    def expert_bytes(self) -> int:
        return 10 * self.slots

    def shrink(self, nbytes: int) -> int:
        count = min(self.slots, -(-nbytes // 10))
        self.slots -= count
        self.available += 10 * count
        self.log.append(("experts", count))
        return 10 * count

    def grow(self, nbytes: int) -> int:
        self.asked_back = nbytes
        return 0

    def forget(self, pages: list[int]) -> None:
        self.available += 5 * len(pages)
        self.log.append(("pages", len(pages)))


def relief(machine: Machine, pool: PagePool, together: int | None = None) -> Relief:
    return Relief(
        pool, machine, 5, machine, lambda: machine.available, reserve=100, every_s=0, together=together
    )


def test_kept_pages_go_first_then_experts_then_requests() -> None:
    pool = PagePool(20)
    taken = [pool.take() for _ in range(12)]
    for number, page in enumerate(taken[:10]):
        pool.publish(page, bytes([number]))
    pool.release(taken[:10])  # ten kept for later, two in use, eight never used
    machine = Machine(available=60, slots=12)
    guard = relief(machine, pool)
    assert not guard.look()
    # 140 are missing to twice the reserve: 50 were in pages, 90 in experts
    assert machine.log == [("pages", 10), ("experts", 9)]
    assert pool.find(bytes([0])) is None and pool.available == 18 and pool.used == 2
    machine.log.clear()
    machine.available = 60
    assert not guard.look() and machine.log == [("experts", 3)]
    machine.available = 60
    assert guard.look() and guard.short  # nothing is left: no one new
    machine.available = 1000
    assert not guard.look() and machine.asked_back == 100


def test_a_cgroups_page_cache_is_no_shortage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("1000000000")
    (tmp_path / "memory.current").write_text("990000000")
    (tmp_path / "memory.stat").write_text("anon 200000000\ninactive_file 700000000\nactive_file 50000000\n")
    group = [(tmp_path / "memory.max", tmp_path / "memory.current")]
    monkeypatch.setattr("kb.llm.local.settings._own_groups", lambda: group)
    monkeypatch.setattr("kb.llm.local.settings._meminfo", lambda field: 8 * GB)
    assert available_memory() == 760_000_000


def test_experts_leave_and_come_back_and_stay_right(packed: Path) -> None:
    with CachedStore(packed, GB, warm=False) as whole, CachedStore(packed, GB, warm=False) as store:
        slots = store.slots

        def right() -> bool:
            found = True
            for layer in range(LAYERS):
                ids = list(range(EXPERTS))
                with whole.experts(layer, ids) as mine, store.experts(layer, ids) as theirs:
                    for a, b in zip(mine, theirs, strict=True):
                        found &= np.array_equal(a.gate_up.data, b.gate_up.data)
                        found &= np.array_equal(a.down.data, b.down.data)
            return found

        assert right()
        with store.experts(0, [1, 2]):  # in use: these stay
            assert store.shrink(5 * store.slot_bytes) == 5 * store.slot_bytes
            assert store.slots == slots - 5
        assert right()
        assert store.shrink(GB) == (slots - 5 - EXPERTS) * store.slot_bytes and store.slots == EXPERTS
        assert store.shrink(GB) == 0 and right()
        assert store.grow(3 * store.slot_bytes) == 3 * store.slot_bytes and right()
        assert store.grow(GB) > 0 and store.slots == slots and right()


def test_pages_are_really_given_back() -> None:
    config = ModelConfig.from_json({**folders.CONFIG, "num_key_value_heads": 4, "head_dim": 64})
    made = KVCache(config, 6)
    made.keys[:], made.values[:] = 1, 2
    assert KVCache.page_bytes(config) // (2 * config.num_layers) % mmap.PAGESIZE == 0
    made.forget([1, 4])
    for part, value in ((made.keys, 1), (made.values, 2)):
        assert (part[:, [1, 4]] == 0).all() and (part[:, [0, 2, 3, 5]] == value).all()


def test_the_arrays_of_a_step_are_counted() -> None:
    config = ModelConfig.from_json({**folders.CONFIG, "hidden_size": 256, "intermediate_size": 256})
    made = workspace.Workspace(config, 512, 1)
    taken = sum(array.nbytes for array in vars(made).values() if isinstance(array, np.ndarray))
    assert 0.85 * taken < 512 * workspace.per_token(config) <= taken


def test_a_step_without_memory_is_done_again_once_memory_was_given_back(make: Make) -> None:
    engine = speaking.PagedEngine()
    pool = PagePool(engine.pages)
    machine = Machine(available=10**6, slots=100)
    engine.fail = MemoryError()
    scheduler = make(engine, LIMITS, pool=pool, memory=relief(machine, pool))
    sequence = ask(prompt(40))
    scheduler.submit([sequence])
    assert read(sequence)[0] == expected(prompt(40))
    assert machine.log == [("experts", 100)]
    engine.fail = MemoryError()  # and now nothing is left to give
    sequence = ask(prompt(50))
    scheduler.submit([sequence])
    with pytest.raises(OutOfPages) as refused:
        read(sequence)
    assert refused.value.status == 503 and refused.value.retry_after


def test_nobody_new_while_memory_is_too_short(make: Make) -> None:
    engine = speaking.PagedEngine()
    pool = PagePool(engine.pages)
    machine = Machine(available=10, slots=0)
    scheduler = make(engine, LIMITS, pool=pool, memory=relief(machine, pool))
    sequence = ask(prompt(40))
    scheduler.submit([sequence])
    with pytest.raises(OutOfPages) as refused:
        read(sequence)
    assert refused.value.retry_after and engine.batches == []
    machine.available = 10**6
    sequence = ask(prompt(40))
    scheduler.submit([sequence])
    assert read(sequence)[0] == expected(prompt(40))


@pytest.mark.parametrize("place", ["workspace", "experts"])
def test_a_model_that_found_no_room_for_a_long_prompt_goes_on(
    packed: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    table = np.arange(8, dtype=np.int32)

    def logits(model: Model, count: int) -> np.ndarray:
        tokens = np.arange(count, dtype=np.int32) % 90
        batch = Batch(tokens, [Segment(count, 0, table)], np.array([count - 1], np.int32))
        return model.forward(batch).copy()

    with CachedStore(packed, GB) as store:
        model = Model(ModelConfig.from_json(store.config), store, pages=8, threads=2)
        before = logits(model, 40)

        def refuse(*_: Any, **__: Any) -> None:
            raise MemoryError

        with monkeypatch.context() as patch:
            if place == "workspace":
                patch.setattr(workspace, "_records", refuse)
            else:
                patch.setattr(moe, "zeros", refuse)
            with pytest.raises(MemoryError):
                logits(model, 7 * PAGE)
        np.testing.assert_array_equal(logits(model, 40), before)
        assert np.isfinite(logits(model, 7 * PAGE)).all()
        model.close()


def test_loading_makes_do_with_what_there_is(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 15
    real = cache.Arena

    def arena(size: int) -> cache.Arena:
        nonlocal room
        room -= 1
        if room < 0:
            raise MemoryError
        return real(size)

    monkeypatch.setattr(cache, "Arena", arena)
    with CachedStore(packed, GB, warm=False) as store:
        assert store.slots == 15
    room = 5
    with pytest.raises(ModelError, match="KB_MODEL_RAM"):
        CachedStore(packed, GB)

    monkeypatch.setattr(cache, "Arena", real)
    asked: list[int] = []
    private = kv.private

    def refusing(size: int, huge: bool) -> mmap.mmap:
        asked.append(size)
        if size > 2_000_000:
            raise MemoryError
        return private(size, huge)

    monkeypatch.setattr(kv, "private", refusing)
    source = speaking.packed(tmp_path / "tiny.kbm")
    state = State()
    settings = LocalModelSettings(tmp_path, ram="1GB", kv_ram="100MB", threads=1)
    close = loading.load_service(source, False, settings, state)
    assert state.service is not None and asked[0] > 2_000_000 >= asked[-1]
    store = state.store_report()
    assert store["slots"] == EXPERTS  # these went first
    close()


def test_a_moment_without_memory_does_not_end_the_listening(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server("127.0.0.1", 0, State())
    refused = [MemoryError(), MemoryError()]
    accept = server.get_request

    def get_request() -> Any:
        if refused:
            raise refused.pop()
        return accept()

    monkeypatch.setattr(server, "get_request", get_request)
    listening = threading.Thread(target=server.listen, daemon=True)
    listening.start()
    with urllib.request.urlopen(f"{server.url}/livez", timeout=20) as response:
        assert response.status == 200 and not refused
    server.shutdown()
    listening.join(20)
    server.server_close()
    assert not listening.is_alive()


def test_a_server_at_its_limit_answers_or_refuses_and_lives(tmp_path: Path) -> None:
    file = speaking.packed(tmp_path / "tiny.kbm", answering=True)

    def chat(url: str, words: int) -> int:
        body = {"messages": [{"role": "user", "content": "word " * words}], "max_tokens": 20}
        connection = http.client.HTTPConnection(url.split("/")[2], timeout=20)
        try:
            connection.request(
                "POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            response.read()
            if response.status == 503:
                assert int(response.headers["Retry-After"]) > 0
            return response.status
        except (http.client.HTTPException, OSError):
            return 0  # not even memory for a thread
        finally:
            connection.close()

    with conftest.model_server(file, tmp_path, KB_MODEL_KV_RAM="300MB", KB_MODEL_CONTEXT="3000") as (
        url,
        pid,
    ):
        assert chat(url, 2) == 200
        _, most = resource.prlimit(pid, resource.RLIMIT_AS)
        now = psutil.Process(pid).memory_info().vms
        ends = []
        for spare in (24, 8, 2, 0):
            resource.prlimit(pid, resource.RLIMIT_AS, (now + spare * 1_000_000, most))
            ends += [chat(url, words) for words in (2, 500, 550)]
        assert set(ends) <= {200, 503, 0} and set(ends) != {200}, ends
        resource.prlimit(pid, resource.RLIMIT_AS, (most, most))
        assert 200 in (chat(url, 2), chat(url, 2)) and chat(url, 500) == 200
