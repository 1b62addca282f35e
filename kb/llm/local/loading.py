"""From a packed file to a service: store, model, pages, scheduler."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path

from kb.llm.local.cache import READERS, CachedStore
from kb.llm.local.config import ModelConfig
from kb.llm.local.errors import ModelError
from kb.llm.local.kernels.build import Kernels
from kb.llm.local.kernels.compile import best_path
from kb.llm.local.kernels.objects import Objects
from kb.llm.local.kv import KVCache
from kb.llm.local.limits import Limits
from kb.llm.local.memory_pressure import Relief
from kb.llm.local.model import Model
from kb.llm.local.prefix import PagePool
from kb.llm.local.prefix_disk import PrefixDisk
from kb.llm.local.reader import STAGING
from kb.llm.local.scheduler import Scheduler
from kb.llm.local.service import Service, tokenizer_of
from kb.llm.local.settings import LocalModelSettings, parse_size
from kb.llm.local.state import State
from kb.llm.local.store import SUFFIX, Store
from kb.llm.local.types import PAGE
from kb.llm.local.workspace import per_token

GRACE_S = 5.0  # texts being written may go on so long after a signal
LEAST_PAGES = 8
_START_BYTES = 64_000_000  # of experts given up at a time where the model finds no room beside them


def load_service(file: Path, exact: bool, settings: LocalModelSettings, state: State) -> Callable[[], None]:
    """Load and put into `state`. Returns what closes it all. Raises ModelError, BadModel, CorruptShard."""
    with Store(file) as packed:
        config, texts = ModelConfig.from_json(packed.config), dict(packed.meta)
    # The arrays of the largest step are not weights, but what is said to be the model's memory should hold them.
    work = per_token(config) * Limits(context=settings.context).chunk
    budget = settings.weight_bytes() - work
    store = CachedStore(file, budget, wait=False)  # reads while we compile and parse
    # What the operator has named is for the key-value cache as well; "auto" leaves room for it from the start.
    shared = None if settings.automatic else budget - READERS * STAGING - store.dense_bytes
    model: Model | None = None
    try:
        dtype = "f32" if exact else "f16"
        objects = Objects(settings.models_dir / "kernels")
        compiled = Kernels(config, best_path(), dtype, objects)
        tokenizer = tokenizer_of(texts, file.name)
        stamp = _stamp(store, compiled.path, dtype, exact)
        store.wait()
        pages = page_count(config, settings, exact, shared)
        model = _model(config, store, pages, settings, exact, compiled)
        pool = PagePool(model.pages)
        disk = PrefixDisk(file.with_name(file.name + ".prefixes"), stamp, model.kv)
        disk.load(pool)
        page_bytes = KVCache.page_bytes(config, model.kv.dtype)
        relief = Relief(pool, model.kv, page_bytes, store, together=shared)
        scheduler = Scheduler(model, Limits(context=settings.context), pool, disk, relief)
        service = Service(file.name.removesuffix(SUFFIX), texts, scheduler, config.vocab_size, tokenizer)
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
        "given_back_bytes": relief.given,
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


def _model(
    config: ModelConfig,
    store: CachedStore,
    pages: int,
    settings: LocalModelSettings,
    exact: bool,
    compiled: Kernels,
) -> Model:
    """The model with so many pages, or as many as there is memory for: at the cost of experts, then of pages."""
    while True:
        try:
            return Model(
                config,
                store,
                pages=pages,
                threads=settings.core_count(),
                exact=exact,
                hints=store.slots < config.num_layers * config.num_experts,
                experts_at_once=store.together,
                compiled=compiled,
            )
        except MemoryError:
            if store.shrink(_START_BYTES):
                continue
            if pages // 2 < LEAST_PAGES:
                raise ModelError(
                    "Memory ran out while the model was loaded. Free some, or set KB_MODEL_KV_RAM to less."
                ) from None
            pages //= 2


def page_count(
    config: ModelConfig, settings: LocalModelSettings, exact: bool, shared: int | None = None
) -> int:
    """Pages that KB_MODEL_KV_RAM pays for, and at most half of what they share (`shared`) with the experts, bytes."""
    nbytes = KVCache.page_bytes(config, "f32" if exact else "f16")
    pages = parse_size(settings.kv_ram, "KB_MODEL_KV_RAM") // nbytes
    most = 32 * math.ceil(settings.context / PAGE)  # more could never be used at once
    if pages < LEAST_PAGES:
        least = LEAST_PAGES * nbytes / 1e6
        raise ModelError(f"KB_MODEL_KV_RAM is {settings.kv_ram}; this model needs {least:.0f}MB at least.")
    if shared is not None:
        most = min(most, max(LEAST_PAGES, shared // 2 // nbytes))
    return min(pages, most)


def _stamp(store: CachedStore, path: str, dtype: str, exact: bool) -> bytes:
    """What the numbers in the key-value cache depend on: every weight, and the arithmetic."""
    digest = hashlib.sha256(f"1 {path} {dtype} {exact} ".encode())
    digest.update(store.texts.get("config.json", "").encode())
    digest.update(store.hashes)
    return digest.digest()
