"""Memory from glibc: in huge pages for the web server, unless its operator wants it otherwise."""

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
