"""Places for large bodies and files on their way: each holds a thread for as long as its client likes.

All of them together must leave threads to those who ask. Who finds none free waits a moment, if not too many do
already, and is then told to come again.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from flask import Response, current_app, request

from kb.errors import Busy

PLACES = 16
WAITING, WAIT_S = 8, 5.0
LARGE = 2**20  # bytes of an answer; less than that the kernel takes at once
SLOWEST, PATIENCE_S = (
    8 * 2**10,
    60.0,
)  # bytes a second that a transfer must reach, and what it is given beside


class Places:
    """Those of an application."""

    def __init__(self) -> None:
        self._free = threading.BoundedSemaphore(PLACES)
        self._waiting = threading.BoundedSemaphore(WAITING)

    def take(self, size: int) -> Callable[[], None]:
        """One of them, for `size` bytes of the running request; the returned call gives it back. Busy: all are taken.

        Whoever is slower than SLOWEST all the time is disconnected: sixteen of those would hold all places for good.
        """
        if not self._free.acquire(blocking=False) and not self._came_free():
            raise Busy(
                f"{PLACES} large files are on their way already. Please try again in a moment.", retry_after=5
            )
        cut = threading.Timer(PATIENCE_S + size / SLOWEST, _hang_up, [request.environ.get("gunicorn.socket")])
        cut.daemon = True
        cut.start()

        def give_back() -> None:
            cut.cancel()
            self._free.release()

        return give_back

    def _came_free(self) -> bool:
        if not self._waiting.acquire(blocking=False):
            return False
        try:
            return self._free.acquire(timeout=WAIT_S)
        finally:
            self._waiting.release()


@contextmanager
def place(size: int) -> Iterator[None]:
    """A place for a body of `size` bytes while the block reads it. Busy when all are taken."""
    give_back = _places().take(size)
    try:
        yield
    finally:
        give_back()


def in_a_place(response: Response) -> Response:
    """The response, which holds a place until it is sent; small ones and mere heads need none. Busy as `place`."""
    size = response.content_length or 0
    if size >= LARGE and request.method != "HEAD":
        try:
            response.call_on_close(_places().take(size))
        except Busy:
            response.close()
            raise
    return response


def _places() -> Places:
    found: Places = current_app.extensions["kb.places"]
    return found


def _hang_up(sock: socket.socket | None) -> None:
    if sock is not None:
        with suppress(OSError):
            sock.shutdown(
                socket.SHUT_RDWR
            )  # whoever sends to it or reads from it in a thread ends with an error
