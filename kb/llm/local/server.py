"""`kb model serve`: listens at once, loads in the background, stops gracefully."""

from __future__ import annotations

import _thread
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from kb.errors import Conflict
from kb.llm.local.errors import no_memory
from kb.llm.local.handler import Handler, ModelServer
from kb.llm.local.responses import error_body
from kb.llm.local.settings import LocalModelSettings
from kb.llm.local.state import State

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 256
_BODY = json.dumps(error_body(no_memory())).encode()
_AWAY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 10\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)


class _Place:
    """One of the connections allowed; left at the latest when it is forgotten, as by a thread that never ran."""

    def __init__(self, places: threading.Semaphore) -> None:
        self._places: threading.Semaphore | None = places

    def leave(self) -> None:
        places, self._places = self._places, None
        if places is not None:
            places.release()

    def __del__(self) -> None:
        self.leave()


def _turn_away(connection: socket.socket) -> None:
    """503 from the listening thread, for whom no other can be had."""
    with contextlib.suppress(OSError):
        connection.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            connection.recv(1 << 16)  # closing with unread bytes would take the answer back
        connection.send(_AWAY)


class Server(ModelServer):
    """A thread per connection, and a limit of them."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(self, host: str, port: int, state: State, connections: int = MOST_CONNECTIONS) -> None:
        self.state = state
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._open = threading.Semaphore(connections)
        self._most, self.connections = connections, 0
        self._lock = threading.Lock()
        try:
            super().__init__((host, port), Handler)
        except OSError as error:
            raise Conflict(f"Cannot listen on {host}:{port} ({error}). Give another --port.") from None

    @property
    def url(self) -> str:
        """Where clients reach it."""
        host, port = self.server_address[:2]
        return f"http://[{host!s}]:{port}" if ":" in str(host) else f"http://{host!s}:{port}"

    def listen(self) -> None:
        """Serve until `shutdown`, also past a moment without memory for the next connection."""
        while True:
            try:
                return self.serve_forever(0.5)
            except MemoryError:
                time.sleep(0.1)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], address: object) -> None:
        """Beyond the limit a connection is closed at once: the client sees it and comes back.

        Not through `threading.Thread`: its start waits for ever when the new thread has no memory to begin with.
        """
        if not self._open.acquire(blocking=False):
            self.shutdown_request(request)
            return
        place = _Place(self._open)
        try:
            _thread.start_new_thread(self._serve, (request, address, place))
        except (RuntimeError, MemoryError):
            log.warning("no memory for one more connection")
            if isinstance(request, socket.socket):
                _turn_away(request)
            self.shutdown_request(request)

    def _serve(
        self, request: socket.socket | tuple[bytes, socket.socket], address: object, place: _Place
    ) -> None:
        with self._lock:
            self.connections += 1
        try:
            self.process_request_thread(request, address)
        finally:
            with self._lock:
                self.connections -= 1
            place.leave()

    def handle_error(self, request: object, address: object) -> None:
        """Connections break; that is no news."""
        if not isinstance(sys.exc_info()[1], OSError):
            log.exception("a connection failed")


def serve(file: Path, host: str, port: int, exact: bool, settings: LocalModelSettings) -> None:
    """Serve a packed model until SIGTERM or SIGINT. Raises what keeps it from loading."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    # The model's thread comes back to Python between kernels and must not wait 5 ms for one that writes JSON.
    sys.setswitchinterval(0.0005)
    state = State()
    stop = threading.Event()
    failed: list[Exception] = []
    closers: list[Callable[[], None]] = []
    began = time.monotonic()

    def load() -> None:
        from kb.llm.local.loading import load_service  # the heavy part, while /livez answers already

        try:
            closers.append(load_service(file, exact, settings, state))
        except Exception as error:
            failed.append(error)
            stop.set()
            return
        print(f"{file.name} is ready after {time.monotonic() - began:.1f} s.", flush=True)

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    server = Server(host, port, state)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    listening = threading.Thread(target=server.listen, name="http", daemon=True)
    listening.start()
    print(f"Listening on {server.url}/v1; loading {file.name}.", flush=True)
    threading.Thread(target=load, name="loading", daemon=True).start()
    stop.wait()
    for close in closers:
        close()
    server.shutdown()
    _last_words(server)
    server.server_close()
    if failed:
        raise failed[0]
    if not closers:
        # Still loading: the interpreter's end would take the compiler down from under that thread, which aborts.
        logging.shutdown()
        sys.stdout.flush()
        os._exit(0)


def _last_words(server: Server, seconds: float = 1.0) -> None:
    """Let connections send what their texts ended with."""
    deadline = time.monotonic() + seconds
    while server.connections and time.monotonic() < deadline:
        time.sleep(0.02)
