"""The socket under a model request, which gives up the moment a clock runs out or somebody cancels.

Ordinary HTTP clients time each read by itself: a server that drips one byte every nine seconds never
trips a ten-second read timeout, and a blocked read cannot be woken by another thread. Here every wait
is cut into ticks of 50 ms, and at each tick (and after each read) one `Watch` is asked whether to go on.
"""

from __future__ import annotations

import functools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import httpcore

from kb.errors import Unavailable
from kb.ports import Cancel

TICK_S = 0.05


class Cancelled(Unavailable):
    """The asker went away or pressed stop; nobody is waiting for this text."""

    slug = "cancelled"


class Watch:
    """The clocks of one request: connect, first token, silence between tokens, and the whole."""

    def __init__(
        self,
        *,
        connect_s: float,
        first_token_s: float,
        stall_s: float,
        deadline: float,
        cancel: Cancel | None,
    ) -> None:
        self.connect_s = connect_s
        self._stall_s = stall_s
        self._deadline = deadline
        self._cancel = cancel
        self._limit = time.monotonic() + first_token_s
        self._patience = f"sent no text within {first_token_s:g} s"

    def check(self) -> None:
        """Raises Cancelled or Unavailable when there is a reason to stop waiting."""
        if self._cancel is not None and self._cancel.is_set():
            raise Cancelled("The question was withdrawn.")
        now = time.monotonic()
        if now >= self._deadline:
            raise Unavailable("The language model did not finish in time.", slug="model-late")
        if now >= self._limit:
            raise Unavailable(f"The language model {self._patience}.", slug="model-late")

    def progress(self) -> None:
        """A token came: from now on the silence between tokens counts."""
        self._limit = time.monotonic() + self._stall_s
        self._patience = f"fell silent for {self._stall_s:g} s in the middle of its answer"


class WatchedStream(httpcore.NetworkStream):
    """A connected socket whose reads and writes tick."""

    def __init__(self, sock: socket.socket, watch: Watch) -> None:
        self._sock = sock
        self._watch = watch
        sock.settimeout(TICK_S)

    def _tick(self, call: Callable[[], Any], error: type[Exception]) -> Any:
        while True:
            self._watch.check()
            try:
                result = call()
            except (TimeoutError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                continue
            except OSError as problem:
                raise error(str(problem)) from problem
            self._watch.check()
            return result

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data: bytes = self._tick(lambda: self._sock.recv(max_bytes), httpcore.ReadError)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        view = memoryview(buffer)
        while view:
            view = view[self._tick(functools.partial(self._sock.send, view), httpcore.WriteError) :]

    def close(self) -> None:
        self._sock.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        self._sock.settimeout(self._watch.connect_s)
        try:
            secure = ssl_context.wrap_socket(self._sock, server_hostname=server_hostname)
        except OSError as problem:
            self._sock.close()
            raise httpcore.ConnectError(str(problem)) from problem
        return WatchedStream(secure, self._watch)

    def get_extra_info(self, info: str) -> Any:
        return self._sock if info == "socket" else None


class WatchedBackend(httpcore.NetworkBackend):
    """Connects in a thread of its own, because name resolution obeys no timeout."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        done = threading.Event()
        found: list[socket.socket | OSError] = []
        lock = threading.Lock()
        abandoned = False

        def connect() -> None:
            try:
                result: socket.socket | OSError = socket.create_connection(
                    (host, port), self._watch.connect_s
                )
            except OSError as problem:
                result = problem
            with lock:
                if abandoned and isinstance(result, socket.socket):
                    result.close()
                found.append(result)
            done.set()

        threading.Thread(target=connect, name="llm-connect", daemon=True).start()
        late = time.monotonic() + self._watch.connect_s
        try:
            while not done.wait(TICK_S):
                self._watch.check()
                if time.monotonic() >= late:
                    raise httpcore.ConnectTimeout(f"no connection within {self._watch.connect_s:g} s")
        except BaseException:
            with lock:
                abandoned = True
                if found and isinstance(found[0], socket.socket):
                    found[0].close()
            raise
        if isinstance(found[0], OSError):
            raise httpcore.ConnectError(str(found[0])) from found[0]
        found[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return WatchedStream(found[0], self._watch)


@functools.cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()


def connection(watch: Watch, *, tls: bool) -> httpcore.ConnectionPool:
    """One connection for one request: no proxy, no redirect, no retry, nothing kept alive."""
    return httpcore.ConnectionPool(
        ssl_context=_trust() if tls else None,
        max_connections=1,
        max_keepalive_connections=0,
        network_backend=WatchedBackend(watch),
    )
