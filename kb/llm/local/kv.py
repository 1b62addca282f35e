"""The key-value cache: pages of 32 tokens, shared by all sequences through their page tables."""

from __future__ import annotations

import mmap
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kb.llm.local.arena import private
from kb.llm.local.config import ModelConfig
from kb.llm.local.types import PAGE


class KVCache:
    """Keys and values of every layer, preallocated (memory is touched, so really taken, page by page as used).

    keys   [layers, pages, kv heads, head_dim, PAGE]  (positions innermost: scores of a page are one product)
    values [layers, pages, kv heads, PAGE, head_dim]
    dtype: 'f16', or 'f32' for the exact mode. huge: in huge pages, which take memory 2 MB at a time.
    """

    def __init__(self, config: ModelConfig, pages: int, dtype: str = "f16", huge: bool = True) -> None:
        self.pages = pages
        self.dtype = dtype
        self._item = np.dtype({"f16": np.float16, "f32": np.float32}[dtype])
        self._shape = (config.num_layers, pages, config.num_kv_heads, PAGE * config.head_dim)
        size = int(np.prod(self._shape)) * self._item.itemsize
        self._memory = [private(size, huge) for _ in range(2)]
        self.keys, self.values = (
            np.frombuffer(memory, self._item).reshape(self._shape) for memory in self._memory
        )

    @staticmethod
    def page_bytes(config: ModelConfig, dtype: str = "f16") -> int:
        """Bytes one page takes, all layers, keys and values."""
        item = {"f16": 2, "f32": 4}[dtype]
        return 2 * item * config.num_layers * config.kv_size * PAGE

    def read(self, pages: Sequence[int]) -> NDArray[np.uint8]:
        """The bytes of whole pages, to keep on disk: [2, layers, len(pages), bytes per page, head group]."""
        layers, _, heads, width = self._shape
        found = np.empty((2, layers, len(pages), heads, width), self._item)
        for part, out in zip((self.keys, self.values), found, strict=True):
            np.take(part, list(pages), axis=1, out=out, mode="clip")  # 'raise' would make another copy
        return found.view(np.uint8)

    def write(self, pages: Sequence[int], data: NDArray[np.uint8]) -> None:
        """Put bytes from `read` (same model, same dtype) into other pages."""
        for part, source in zip((self.keys, self.values), data, strict=True):
            part[:, list(pages)] = source.view(self._item)

    def forget(self, pages: Sequence[int]) -> None:
        """Give the memory of these pages back to the system; what was in them is gone."""
        layers, _, heads, item = self._shape
        size = heads * item * self._item.itemsize
        for page in pages:
            for layer in range(layers):
                start = (layer * self.pages + page) * size
                first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE  # whole pages of the system only
                length = (start + size - first) // mmap.PAGESIZE * mmap.PAGESIZE
                if length > 0:
                    for memory in self._memory:
                        memory.madvise(mmap.MADV_DONTNEED, first, length)
