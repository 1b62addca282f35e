"""The fastest these cores read memory right now, by a loop that does nothing else."""

from __future__ import annotations

import ctypes
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from kb.llm.local import quant
from kb.llm.local.kernels.compile import Library
from kb.llm.local.kernels.emit import I64, PTR, Fn, ir, new_module

LINES = 16  # 64-byte reads per turn


class ReadCeiling:
    """Reads a buffer of its own, `threads` parts at once."""

    def __init__(self, threads: int, size: int = 1 << 30) -> None:
        module = new_module("ceiling")
        kind = ir.VectorType(I64, 8)
        f = Fn(module, "read", ir.FunctionType(ir.VoidType(), [PTR, I64, PTR]))
        totals = [f.slot(kind, f.vi(0, kind)) for _ in range(LINES)]
        with f.loop(0, f.args[1], 64 * LINES) as at:
            for number, total in enumerate(totals):
                value = f.load(kind, f.args[0], at, 64 * number, align=64)
                f.set(total, f.b.xor(f.get(total, kind), value))
        for number, total in enumerate(totals):
            f.store(f.get(total, kind), f.args[2], 64 * number)
        f.finish()
        self._library = Library(module)
        self._read = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)(
            self._library.address("read")
        )
        self._size = size
        self._part = size // threads
        self._data = quant.aligned(size)
        self._data[...] = 1
        self._out = np.zeros((threads, LINES * 8), dtype=np.int64)
        self._pool = ThreadPoolExecutor(threads)
        self._threads = threads

    def measure(self, turns: int = 3) -> float:
        """GB/s, the best of some turns."""
        base = self._data.ctypes.data
        best = 0.0
        for _ in range(turns):
            start = time.perf_counter()
            jobs = [
                self._pool.submit(self._read, base + i * self._part, self._part, self._out[i].ctypes.data)
                for i in range(self._threads)
            ]
            for job in jobs:
                job.result()
            best = max(best, self._size / (time.perf_counter() - start) / 1e9)
        return best
