"""Memory from glibc: what was freed goes back; in huge pages for the web server, unless its operator wants it otherwise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kb.ops.arenas import huge_pages
from kb.settings import Settings
from web.processes import web

GIVEN = Path("/sys/kernel/mm/transparent_hugepage/enabled")
TAKE = """
import ctypes, re
from pathlib import Path

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
for size in [1 << 26] * 2:
    ctypes.memset(ctypes.c_void_p(libc.malloc(ctypes.c_size_t(size))), 1, size)
print(re.search(r"AnonHugePages: +(\\d+)", Path("/proc/self/smaps_rollup").read_text())[1])
"""


def huge(environment: dict[str, str]) -> int:
    """MB in huge pages of a process that took 128 MB from glibc."""
    done = subprocess.run(
        [sys.executable, "-c", TAKE], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return int(done.stdout) // 1024


@pytest.mark.skipif(
    not GIVEN.exists() or re.search(r"\[(\w+)\]", GIVEN.read_text())[1] != "madvise",  # type: ignore[index]
    reason="this system gives huge pages to everybody or to nobody",
)
def test_large_memory_lies_in_huge_pages() -> None:
    plain = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    assert huge(plain) < 16
    assert huge({**plain, **huge_pages()}) > 96


def test_the_web_server_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    assert web(Settings()).env == huge_pages() != {}


def test_an_operators_own_tunables_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=1")
    assert huge_pages() == {}


HOLES = """
import ctypes
from pathlib import Path
from kb.ops.arenas import give_back

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
taken = [libc.malloc(ctypes.c_size_t(60_000)) for _ in range(1000)]
for block in taken:
    ctypes.memset(ctypes.c_void_p(block), 1, 60_000)
for block in taken[:-1]:  # the last one keeps the heap's end where it is
    libc.free(ctypes.c_void_p(block))
give_back()
print(int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 1_000_000)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc")
def test_what_was_freed_inside_a_heap_goes_back() -> None:
    plain = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    done = subprocess.run(
        [sys.executable, "-c", HOLES], env=plain, stdout=subprocess.PIPE, text=True, check=True
    )
    assert int(done.stdout) < 50
