"""Threads that run kernel programs: started once, asleep between the model's steps."""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kb.llm.local import quant
from kb.llm.local.kernels import run
from kb.llm.local.kernels.build import Kernels

ARGUMENTS = 16  # int64s of a step's arguments

# The caller wakes the threads, then publishes the job. On a crowded machine it may be held up in between for longer
# than they are patient; they would sleep for good, the caller waiting for them. So a thread that was woken and has
# found no job looks again; one that has done all it was woken for sleeps without looking up.
LOOK_AGAIN_S = 0.02

Ints = NDArray[np.int64]


def zeros(*shape: int) -> Ints:
    """int64 zeros at a 64-byte boundary."""
    array = quant.aligned(8 * int(np.prod(shape))).view(np.int64).reshape(shape)
    array[...] = 0
    return array


class Program:
    """Steps in a row: (function address, arguments). The arguments' owner keeps them alive and may change them."""

    def __init__(self, steps: Sequence[tuple[int, Ints]]) -> None:
        self.steps = list(steps)
        self.entries = zeros(len(self.steps), run.LINE // 8)
        for number, (function, arguments) in enumerate(self.steps):
            self.entries[number, :2] = function, arguments.ctypes.data
        self.address = self.entries.ctypes.data
        self.length = len(self.steps)

    def set_function(self, number: int, function: int) -> None:
        """Let step `number` run another kernel with the same arguments."""
        self.entries[number, 0] = function


class Pool:
    """The caller's thread and `threads` - 1 others, which sleep when nothing has run for some milliseconds."""

    def __init__(self, kernels: Kernels, threads: int) -> None:
        if threads < 1:
            raise ValueError("at least one thread")
        self._kernels = kernels  # keeps the machine code alive
        self._control = zeros(run.CONTROL_BYTES // 8)
        self._control[run.THREADS // 8] = threads
        self._address = self._control.ctypes.data
        self._done = zeros(threads, run.LINE // 8)
        pointer = ctypes.c_void_p
        self._submit = ctypes.CFUNCTYPE(None, pointer, pointer, ctypes.c_int64)(kernels["submit"])
        self._serve = ctypes.CFUNCTYPE(None, pointer, pointer)(kernels["serve"])
        self._wake = [threading.Event() for _ in range(threads - 1)]
        self._closed = False
        self._jobs = 0  # that threads were woken for
        self._threads = [
            threading.Thread(target=self._loop, args=(i,), name=f"kb-model-{i}", daemon=True)
            for i in range(threads - 1)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, program: Program, length: int | None = None) -> None:
        """The first `length` steps (default: all), by all threads; one caller at a time."""
        if self._closed:
            raise RuntimeError("the model was closed")
        self._jobs += 1
        for event in self._wake:
            event.set()
        self._submit(self._address, program.address, program.length if length is None else length)

    def close(self) -> None:
        """End the threads; twice is fine."""
        self._closed = True
        for event in self._wake:
            event.set()
        for thread in self._threads:
            thread.join()

    def _loop(self, number: int) -> None:
        done = self._done[number].ctypes.data
        event = self._wake[number]
        while True:
            with contextlib.suppress(MemoryError):  # a thread that is lost here would be waited for for ever
                event.wait(LOOK_AGAIN_S if self._done[number, 0] < self._jobs else None)
            if self._closed:
                return
            event.clear()
            self._serve(self._address, done)
