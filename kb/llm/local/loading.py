"""From a packed file to a service: store, model, pages, scheduler."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kb.llm.local.cache import CachedStore
from kb.llm.local.config import ModelConfig
from kb.llm.local.errors import ModelError
from kb.llm.local.kernels.build import kernels
from kb.llm.local.kv import KVCache
from kb.llm.local.model import Model
from kb.llm.local.prefix import PagePool
from kb.llm.local.prefix_disk import PrefixDisk
from kb.llm.local.scheduler import Limits, Scheduler
from kb.llm.local.service import Service, tokenizer_of
from kb.llm.local.settings import LocalModelSettings, parse_size
from kb.llm.local.state import State
from kb.llm.local.store import SUFFIX, Store
from kb.llm.local.types import PAGE

GRACE_S = 5.0  # texts being written may go on so long after a signal
LEAST_PAGES = 8


def load_service(file: Path, exact: bool, settings: LocalModelSettings, state: State) -> Callable[[], None]:
    """Load and put into `state`. Returns what closes it all. Raises ModelError, BadModel, CorruptShard."""
    with Store(file) as packed:
        config, texts = ModelConfig.from_json(packed.config), dict(packed.meta)
    with ThreadPoolExecutor(1) as ahead:  # compiles and parses while the disk is read
        ahead.submit(kernels, config, None, "f32" if exact else "f16")  # kept there for Model to find
        parsed = ahead.submit(tokenizer_of, texts, file.name)
        store = CachedStore(file, settings.weight_bytes())
    model: Model | None = None
    try:
        model = Model(
            config,
            store,
            pages=page_count(config, settings, exact),
            threads=settings.core_count(),
            exact=exact,
            hints=store.slots < config.num_layers * config.num_experts,
        )
        pool = PagePool(model.pages)
        disk = PrefixDisk(file.with_name(file.name + ".prefixes"), _stamp(file, model), model.kv)
        disk.load(pool)
        scheduler = Scheduler(model, Limits(context=settings.context), pool, disk)
        service = Service(
            file.name.removesuffix(SUFFIX), texts, scheduler, config.vocab_size, parsed.result()
        )
    except BaseException:
        if model is not None:
            model.close()
        store.close()
        raise
    ready = model
    state.store_report = lambda: {
        **store.report(),
        "prefixes_loaded": disk.loaded,
        "prefixes_kept": disk.kept,
    }
    state.hint_rate = lambda: ready.expert_hint.rate
    state.service = service

    def close() -> None:
        ended = scheduler.close(GRACE_S)
        disk.close()
        if ended:
            ready.close()
            store.close()

    return close


def page_count(config: ModelConfig, settings: LocalModelSettings, exact: bool) -> int:
    """Pages that KB_MODEL_KV_RAM pays for."""
    nbytes = KVCache.page_bytes(config, "f32" if exact else "f16")
    pages = parse_size(settings.kv_ram, "KB_MODEL_KV_RAM") // nbytes
    most = 32 * math.ceil(settings.context / PAGE)  # more could never be used at once
    if pages < LEAST_PAGES:
        least = LEAST_PAGES * nbytes / 1e6
        raise ModelError(f"KB_MODEL_KV_RAM is {settings.kv_ram}; this model needs {least:.0f}MB at least.")
    return min(pages, most)


def _stamp(file: Path, model: Model) -> bytes:
    """What the numbers in the key-value cache depend on: every weight, and the arithmetic."""
    digest = hashlib.sha256(f"1 {model.path} {model.kv.dtype} {model.exact} ".encode())
    with Store(file) as store:
        digest.update(store.meta.get("config.json", "").encode())
        for shard in store.shards():
            digest.update(shard.sha256)
    return digest.digest()
