"""Whether a part of a file is in the page cache: cachestat, Linux 6.5. Asking starts no reading.

(A read with RWF_NOWAIT does: it answers "not yet" and has the pages read ahead, so that a reader that then goes past
the page cache has the disk read everything twice.)
"""

from __future__ import annotations

import ctypes
import mmap

_CACHESTAT = 451  # the same number on every architecture
_libc = ctypes.CDLL(None)
_libc.syscall.restype = ctypes.c_long
_libc.syscall.argtypes = [ctypes.c_long, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint]


def resident(fd: int, offset: int, length: int) -> bool:
    """Whether all these bytes are there; False where the system cannot or will not say."""
    where, found = (ctypes.c_uint64 * 2)(offset, length), (ctypes.c_uint64 * 5)()
    if _libc.syscall(_CACHESTAT, fd, where, found, 0):
        return False
    pages = (offset + length - 1) // mmap.PAGESIZE - offset // mmap.PAGESIZE + 1
    return bool(found[0] == pages)
