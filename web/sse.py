"""Server-sent events: the answer as it is made, kept alive by comments, stopped when the reader goes.

The asker runs in a thread of its own, so that this one can notice a closed connection within
`WATCH_S`, say that it is still there every `HEARTBEAT_S`, and come to an end when the server stops: an answer whose
words are coming has `FINISH_S`; then, or when none came for `PAUSE_S`, what the model has not finished is quoted.
"""

from __future__ import annotations

import json
import queue
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from flask import Response, request

from kb.errors import Unavailable
from kb.types import Event
from web.problems import Gone
from web.revocation import Standing

if TYPE_CHECKING:
    from kb.app import Kb
    from kb.types import Principal, Question

WATCH_S = 0.2
HEARTBEAT_S = 5.0
# from the moment that the server is told to end, together less than the GRACE_S of web/server.py:
FINISH_S = 15.0  # for an answer whose words are coming,
PAUSE_S = 2.0  # with no longer pauses than a slow model makes,
QUOTE_S = 5.0  # and for the rest of one that hurries


class Stopping:
    """Whether the server is ending. A bare number, because a signal handler must not wait for a lock."""

    since = 0.0  # time.monotonic() seconds; 0: it is not

    def begin(self) -> None:
        """It is told to."""
        self.since = self.since or time.monotonic()

    def is_set(self) -> bool:
        """Whether it is."""
        return self.since > 0


stopping = Stopping()
_END = object()


def encode(kind: str, data: Any) -> str:
    """One event on the wire. JSON has no line breaks of its own, so one data line is enough."""
    return f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def answering(
    kb: Kb,
    principal: Principal,
    question: Question,
    present: Callable[[], bool],
    again: Callable[[], Principal],
) -> Iterator[Event | None]:
    """The asker's events; None whenever nothing happened for HEARTBEAT_S. Gone when the reader left.

    present: whether the reader is still connected. again: who is asking, found out anew (web/revocation.py).
    """
    standing = Standing(kb, principal, again)
    cancel, hurry = threading.Event(), threading.Event()
    events = _asked(kb, principal, question, cancel, hurry)
    looked = quiet_since = told = time.monotonic()
    hurried = 0.0
    try:
        while True:
            item = _next(events)
            if item is _END:
                return
            if isinstance(item, BaseException):
                raise item
            if isinstance(item, Event):
                quiet_since = time.monotonic()
                if standing.passes(item):
                    told = quiet_since
                    yield item
                if item.kind == "done":
                    continue  # it is answered, whoever leaves or ends now
            now = time.monotonic()
            if now - looked < WATCH_S:  # by the clock: a model that writes without a pause is watched too
                continue
            looked = now
            if not present():
                raise Gone
            standing.passes(None)
            if stopping.is_set():
                late = now - stopping.since >= FINISH_S or now - quiet_since >= PAUSE_S
                if hurried and now - hurried >= QUOTE_S:
                    raise Unavailable("kb is restarting. Ask again in a few seconds.", slug="shutting-down")
                if late and not hurried:
                    hurried = now
                    hurry.set()
            if now - told >= HEARTBEAT_S:
                told = now
                yield None
    finally:
        cancel.set()


def _asked(
    kb: Kb, principal: Principal, question: Question, cancel: threading.Event, hurry: threading.Event
) -> queue.Queue[Any]:
    """The asker's events as they come, made in a thread of their own; last its exception, or _END.

    Once `cancel` is set, the thread ends and closes the model's socket.
    """
    events: queue.Queue[Any] = queue.Queue(maxsize=256)

    def put(item: Any) -> bool:
        while not cancel.is_set():
            try:
                events.put(item, timeout=WATCH_S)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            with closing(kb.asker.ask(principal, question, cancel=cancel, hurry=hurry)) as made:
                for event in made:
                    if not put(event):
                        return
            put(_END)
        except BaseException as error:  # handed over to the thread that answers the request
            put(error)

    threading.Thread(target=work, name="answer", daemon=True).start()
    return events


def _next(events: queue.Queue[Any]) -> Any:
    """The next item; None where none comes for WATCH_S."""
    try:
        return events.get(timeout=WATCH_S)
    except queue.Empty:
        return None


def reader_present() -> Callable[[], bool]:
    """A check whether the client of this request is still connected; made inside the request."""
    sock: socket.socket | None = request.environ.get("gunicorn.socket")
    if sock is None:
        return lambda: True

    # Not recv(MSG_DONTWAIT) alone: on a socket with a timeout Python itself would wait for data.
    poll = select.poll()
    poll.register(sock, select.POLLIN)

    def present() -> bool:
        try:
            return not poll.poll(0) or bool(sock.recv(1, socket.MSG_PEEK))
        except (OSError, ValueError):
            return False

    return present


def stream(pieces: Iterator[str]) -> Response:
    """An event stream that no proxy holds back."""
    response = Response(pieces, mimetype="text/event-stream")
    response.headers["X-Accel-Buffering"] = "no"
    response.headers["Cache-Control"] = "no-store, no-transform"
    return response


def replay(answer: dict[str, Any]) -> Response:
    """A finished answer as the stream it would have been."""

    def pieces() -> Iterator[str]:
        yield encode("sources", {"passages": answer["passages"]})
        yield encode("token", {"text": answer["text"]})
        yield encode("citations", {"citations": answer["citations"]})
        yield encode("done", answer)

    return stream(pieces())
