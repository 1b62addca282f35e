"""What this machine can do, measured in under twenty seconds: memory, disk, processor, graphics card."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import platform
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from llvmlite import ir

from kb.llm.local.kernels.compile import Library, paths
from kb.llm.local.kernels.emit import I64, PTR, Fn, new_module
from kb.llm.local.settings import available_memory, total_memory

_MEMORY_S, _WRITE_S, _READ_S = 2.0, 6.0, 4.0
_BUFFER = 256 << 20  # per thread: far beyond any cache
_FILE = 1 << 30  # of the file read by the disk probe
_CHUNK = 4 << 20  # as the loader reads
_GPU_S = 5.0
_FEATURES = ("avx2", "avx512f", "avx512vnni", "avx512bf16", "amx-int8", "neon", "dotprod", "i8mm")


@dataclass(frozen=True)
class Gpu:
    """A graphics card as its driver describes it."""

    name: str
    memory_bytes: int


@dataclass(frozen=True)
class Machine:
    """What was found and measured. Bandwidths in bytes per second; 0 where they could not be measured."""

    processor: str
    cores: int
    features: tuple[str, ...]
    kernels: str  # what the engine would run with: "vbmi" | "vnni" | "avx2" | "plain"
    memory_bytes: int
    available_bytes: int
    memory_bandwidth: float
    disk_free_bytes: int
    disk_bandwidth: float
    gpus: tuple[Gpu, ...]


def probe(folder: Path, threads: int, tell: Callable[[str], None] = lambda _: None) -> Machine:
    """Measure this machine; `folder` is where models would lie (it or its nearest existing parent is used)."""
    folder = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    tell("graphics card")
    gpus = graphics_cards()
    tell("memory bandwidth")
    memory = memory_bandwidth(threads)
    tell("disk bandwidth")
    disk = disk_bandwidth(folder)
    return Machine(
        processor=_processor(),
        cores=threads,
        features=_features(),
        kernels=paths()[0],
        memory_bytes=total_memory(),
        available_bytes=available_memory(),
        memory_bandwidth=memory,
        disk_free_bytes=shutil.disk_usage(folder).free,
        disk_bandwidth=disk,
        gpus=gpus,
    )


def memory_bandwidth(threads: int, seconds: float = _MEMORY_S, size: int = _BUFFER) -> float:
    """Bytes per second that `threads` read together: the best of the turns that fit into the time."""
    module = new_module("probe")
    wide = ir.VectorType(I64, 8)
    read = Fn(module, "read", ir.FunctionType(ir.VoidType(), [PTR, I64, PTR]))
    sums = [read.slot(wide, read.vi(0, wide)) for _ in range(8)]
    with read.loop(0, read.args[1], 64 * len(sums)) as at:
        for line, total in enumerate(sums):
            read.set(total, read.b.xor(read.get(total, wide), read.load(wide, read.args[0], at, 64 * line)))
    for line, total in enumerate(sums):
        read.store(read.get(total, wide), read.args[2], 64 * line)
    read.finish()
    library = Library(module)
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)(library.address("read"))
    buffers = [np.ones(size // 8, np.int64) for _ in range(threads)]
    results = [np.zeros(64, np.int64) for _ in range(threads)]
    best, end = 0.0, time.perf_counter() + seconds
    with ThreadPoolExecutor(threads) as pool:
        while best == 0.0 or time.perf_counter() < end:
            began = time.perf_counter()
            jobs = [
                pool.submit(call, buffer.ctypes.data, buffer.nbytes, result.ctypes.data)
                for buffer, result in zip(buffers, results, strict=True)
            ]
            for job in jobs:
                job.result()
            best = max(best, threads * size / (time.perf_counter() - began))
    return best


def disk_bandwidth(
    folder: Path, file_bytes: int = _FILE, read_s: float = _READ_S, write_s: float = _WRITE_S
) -> float:
    """Bytes per second of cold reads of 4 MiB at random places, two at a time. 0.0 if nothing can be written here."""
    try:
        with _test_file(folder, file_bytes, write_s) as path, ThreadPoolExecutor(2) as pool:
            began = time.perf_counter()
            jobs = [pool.submit(_read_randomly, path, began + read_s, seed) for seed in range(2)]
            done = sum(job.result() for job in jobs)
            return done / (time.perf_counter() - began)
    except OSError:
        return 0.0


def graphics_cards() -> tuple[Gpu, ...]:
    """NVIDIA cards, through the driver's own tool; none where it is missing or does not answer."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    try:
        answer = subprocess.run(
            [tool, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=_GPU_S,
            check=True,
        )
        rows = [line.rsplit(",", 1) for line in answer.stdout.splitlines() if "," in line]
        return tuple(Gpu(name.strip(), int(megabytes) << 20) for name, megabytes in rows)
    except (OSError, subprocess.SubprocessError, ValueError):
        return ()


@contextlib.contextmanager
def _test_file(folder: Path, size: int, seconds: float) -> Iterator[Path]:
    """A file of random bytes, on the disk and out of the page cache, removed afterwards."""
    size = min(size, shutil.disk_usage(folder).free // 4)
    block = random.Random(0).randbytes(_CHUNK)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".probe-") as file:
        end = time.perf_counter() + seconds
        while file.tell() < max(size, _CHUNK) and time.perf_counter() < end:
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        yield Path(file.name)


def _read_randomly(path: Path, end: float, seed: int) -> int:
    buffer = mmap.mmap(-1, _CHUNK)
    places = random.Random(seed)
    fd, done = _open_direct(path), 0
    try:
        chunks = max(1, os.fstat(fd).st_size // _CHUNK)
        while time.perf_counter() < end:
            at = places.randrange(chunks) * _CHUNK
            done += os.preadv(fd, [buffer], at)
            os.posix_fadvise(fd, at, _CHUNK, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
        buffer.close()
    return done


def _open_direct(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | getattr(os, "O_DIRECT", 0))
    except OSError:
        return os.open(path, os.O_RDONLY)


def _features() -> tuple[str, ...]:
    import llvmlite.binding as llvm

    found = llvm.get_host_cpu_features()
    return tuple(name for name in _FEATURES if found.get(name))


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
