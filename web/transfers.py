"""Places for large bodies and files on their way: each holds a thread for as long as its client likes.

All of them together must leave threads to those who ask, and those of one client places to the others. Who finds none
free waits a moment, if not too many do already, and is then told to come again.
"""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from flask import Response, current_app, g, request

from kb.errors import Busy
from web.sockets import LARGE, SLOWEST, Socket

PLACES = 16
SHARE = 8  # of one key or person
WAITING, WAIT_S = 8, 5.0
LOOK_S = 60.0  # so often it is looked at whether a transfer reaches SLOWEST


class Places:
    """Those of an application."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._taken: Counter[str] = Counter()
        self._waiting = 0

    def take(self) -> Callable[[], None]:
        """One of them for the running request; the returned call gives it back. Busy: all are taken.

        Whoever is slower than SLOWEST is disconnected: sixteen of those would hold all places for good.
        """
        known = g.get("principal")
        who = f"{known.kind}:{known.id}" if known else ""
        with self._change:
            if not (self._free(who) or self._came_free(who)):
                raise Busy(
                    f"{self._taken.total()} large files are on their way already, {self._taken[who]} of them yours. "
                    "Please try again in a moment.",
                    retry_after=5,
                )
            self._taken[who] += 1
        over = threading.Event()
        watched = request.environ.get("gunicorn.socket"), over
        threading.Thread(target=_watch, args=watched, name="transfer", daemon=True).start()

        def give_back() -> None:
            over.set()
            with self._change:
                self._taken[who] -= 1
                self._taken += Counter()  # forgets who has none
                self._change.notify_all()

        return give_back

    def _free(self, who: str) -> bool:
        return self._taken.total() < PLACES and self._taken[who] < SHARE

    def _came_free(self, who: str) -> bool:
        if self._waiting >= WAITING:
            return False
        self._waiting += 1
        try:
            return self._change.wait_for(lambda: self._free(who), WAIT_S)
        finally:
            self._waiting -= 1


@contextmanager
def place() -> Iterator[None]:
    """A place for a large body while the block reads it. Busy when all are taken."""
    give_back = _places().take()
    try:
        yield
    finally:
        give_back()


def in_a_place(response: Response) -> Response:
    """The response, which holds a place until it is sent; small ones and mere heads need none. Busy as `place`."""
    if (response.content_length or 0) >= LARGE and request.method != "HEAD":
        try:
            response.call_on_close(_places().take())
        except Busy:
            response.close()
            raise
    return response


def _places() -> Places:
    found: Places = current_app.extensions["kb.places"]
    return found


def _watch(sock: Socket | None, over: threading.Event) -> None:
    """Hang up on who is too slow; a thread that sends to it or reads from it then ends with an error."""
    moved = sock.moved if sock else 0
    while not over.wait(LOOK_S) and sock:
        if sock.moved - moved < SLOWEST * LOOK_S:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            return
        moved = sock.moved
