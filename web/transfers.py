"""Places for large bodies and files on their way: each holds a thread for as long as its client likes.

All of them together must leave threads to those who ask. Who finds none free waits a moment, if not too many do
already, and is then told to come again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Response, current_app, request

from kb.errors import Busy

PLACES = 16
WAITING, WAIT_S = 8, 5.0
LARGE = 2**20  # bytes of an answer; less than that the kernel takes at once


class Places:
    """Those of an application."""

    def __init__(self) -> None:
        self._free = threading.BoundedSemaphore(PLACES)
        self._waiting = threading.BoundedSemaphore(WAITING)

    def take(self) -> None:
        """One of them. Busy when all are taken."""
        if self._free.acquire(blocking=False):
            return
        if self._waiting.acquire(blocking=False):
            try:
                if self._free.acquire(timeout=WAIT_S):
                    return
            finally:
                self._waiting.release()
        raise Busy(
            f"{PLACES} large files are on their way already. Please try again in a moment.", retry_after=5
        )

    def give_back(self) -> None:
        """What `take` took."""
        self._free.release()


@contextmanager
def place() -> Iterator[None]:
    """One place while the block runs. Busy when all are taken."""
    places = _places()
    places.take()
    try:
        yield
    finally:
        places.give_back()


def in_a_place(response: Response) -> Response:
    """The response, which holds a place until it is sent; small ones and mere heads need none. Busy as `place`."""
    if (response.content_length or 0) >= LARGE and request.method != "HEAD":
        places = _places()
        try:
            places.take()
        except Busy:
            response.close()
            raise
        response.call_on_close(places.give_back)
    return response


def _places() -> Places:
    found: Places = current_app.extensions["kb.places"]
    return found
