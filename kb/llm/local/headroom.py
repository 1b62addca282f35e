"""Libraries written in Rust end the process where memory is all but gone; asked before, it is an answer."""

from __future__ import annotations

import mmap
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ROOM = 1 << 24  # bytes that any such call does with

# of whoever takes memory from the system, and of those who have just found that there is some
taking = threading.Lock()


@contextmanager
def room(size: int = 0) -> Iterator[None]:
    """For a call into such a library. MemoryError unless there is memory for ROOM and `size` bytes more.

    Asked of the system, not of the allocator, which may have a little left for the first who asks; and until the
    call is through no thread of ours takes any for weights or pages.
    """
    with taking:
        try:
            mmap.mmap(-1, ROOM + size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
        except OSError as error:
            raise MemoryError(str(error)) from None
        yield
