"""Every kernel of one model shape, compiled for this CPU."""

from __future__ import annotations

from functools import lru_cache

from kb.llm.local.config import ModelConfig
from kb.llm.local.kernels import attend, matmul, route, rows, run, vectors
from kb.llm.local.kernels.compile import Library, best_path
from kb.llm.local.kernels.emit import new_module
from kb.llm.local.kernels.objects import Objects


class Kernels:
    """Addresses of the compiled steps, by name."""

    def __init__(self, config: ModelConfig, path: str, dtype: str, objects: Objects | None = None) -> None:
        self.path = path
        module = new_module("kb")
        run.emit(module)
        for acts in ("q8", "f32"):
            for layout in ("int8", "mxfp4"):
                matmul.emit(module, layout, acts, path)
        for layout in ("bf16", "f32"):
            rows.emit(module, layout)
        k = config.experts_per_token
        vectors.emit(
            module,
            eps=config.rms_norm_eps,
            alpha=config.swiglu_alpha,
            limit=config.swiglu_limit,
            experts_per_token=k,
        )
        route.emit(module, config.num_experts, k)
        shape = {"heads": config.num_heads, "kv_heads": config.num_kv_heads, "head_dim": config.head_dim}
        attend.emit(module, **shape, dtype=dtype)
        self.library = Library(module, objects=objects)
        self._addresses: dict[str, int] = {}

    def __getitem__(self, name: str) -> int:
        if name not in self._addresses:
            self._addresses[name] = self.library.address(name)
        return self._addresses[name]


@lru_cache(maxsize=8)
def kernels(config: ModelConfig, path: str | None, dtype: str) -> Kernels:
    """Compiled once per shape, path and cache dtype within a process; path None: the best for this CPU."""
    return Kernels(config, path or best_path(), dtype)
