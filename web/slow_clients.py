"""Slow clients: no thread waits for somebody who sends or reads a byte now and then.

gunicorn gives each connection a thread as soon as its first byte is there. Fifty that stop in the middle of a
request's head would then be the end of the server for everybody. Here requests gather in the event loop, head and
small body, and take a thread when they are whole; answers that their clients do not take at once are sent by the
loop (`web/sockets.py`). What is left to threads, large bodies and files, is bounded by the places of
`web/transfers.py`.
"""

from __future__ import annotations

import errno
import re
import resource
import selectors
import socket
import struct
import time
from collections import deque
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any

from gunicorn.http.body import LengthReader  # type: ignore[import-untyped]
from gunicorn.http.errors import LimitRequestHeaders  # type: ignore[import-untyped]
from gunicorn.util import write_nonblock  # type: ignore[import-untyped]
from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

from web import sse
from web.sockets import SLOWEST, Socket
from web.unreadable import refusal

ARRIVE_S = (
    15.0  # for a head and a small body, from the first moment; also how long a silent connection is kept
)
STALL_S = 30  # for the next byte of a large body, or for room to send the next of a file
LINGER_S = 2.0  # for a client to read the last answer before its unread request makes the kernel cut it off
SMALL = 64 * 2**10  # bytes of a body that gathers in the loop: every question, every form
LONGEST_HEAD = 64 * 2**10
AT_ONCE = 16 * 2**10  # bytes read of one client before the others have their turn
HELD = 64 * 2**20  # bytes of requests and answers that are kept for all clients together

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r\n", re.IGNORECASE)
_IN_PARTS = re.compile(rb"\r\n(?:transfer-encoding|expect):", re.IGNORECASE)
_TIMEVAL = struct.pack("ll", STALL_S, 0)


class Connection(TConn):  # type: ignore[misc]
    """A connection and what has come of its next request."""

    def __init__(self, cfg: Any, accepted: socket.socket, *addresses: Any) -> None:
        super().__init__(cfg, Socket(accepted), *addresses)
        self.come = bytearray()
        self._seen = self._wanted = 0  # bytes without an end of the head; those of the whole, once it ended
        # of the kernel, not of Python: there a timeout of sending is one for all that is sent in a call
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.sock.setsockopt(socket.SOL_SOCKET, option, _TIMEVAL)

    def held(self) -> int:
        """Bytes that are kept for it."""
        return len(self.come) + len(self.sock.rest)

    def whole(self) -> bool:
        """Whether a thread can take it: nothing is missing, or what is missing is a large body's."""
        if not self._wanted:
            end = self.come.find(b"\r\n\r\n", max(0, self._seen - 3))
            self._seen = len(self.come)
            if end < 0:
                return False
            head = bytes(self.come[: end + 2])
            length = _LENGTH.search(head)
            body = int(length[1]) if length and not _IN_PARTS.search(head) else 0
            self._wanted = end + 4 + (body if body <= SMALL else 0)
        return len(self.come) >= self._wanted

    def take(self) -> bytes:
        """What has come, for a thread."""
        taken = bytes(self.come)
        self.come.clear()
        self._seen = self._wanted = 0
        return taken

    def at_end(self) -> bool:
        """Whether nothing is missing of the body of the request that was answered, read or not."""
        reader, here = self.parser.mesg.body.reader, self.parser.unreader.buf.getbuffer().nbytes
        return bool(reader.length <= here if isinstance(reader, LengthReader) else reader.parser is None)

    def hopeless(self) -> bool:
        """Whether it will not become a request: no HTTP at all, perhaps TLS, or a head without an end."""
        begins = self.come[:1]
        strange = bool(begins) and not begins.isalpha() and begins not in b"\r\n"
        return strange or (len(self.come) > LONGEST_HEAD and not self._wanted)


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, in which only whole requests have threads; it tells streams when it is stopped."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._sending: deque[Connection] = deque()
        self._leaving: deque[Connection] = deque()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM."""
        sse.stopping.begin()
        super().handle_exit(sig, frame)

    # in the event loop

    def set_accept_enabled(self, enabled: bool) -> None:
        """As gunicorn's. A server that ends serves those who are connected already, and lets nobody else begin to wait."""
        super().set_accept_enabled(enabled)
        if not self.alive:
            for listener in self.sockets:
                while self.accept(listener):
                    pass
                listener.close()

    def accept(self, listener: socket.socket) -> bool:
        """A new connection, if there is one: it is listened to until its first request is whole."""
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                time.sleep(0.1)  # those there are will end; ending the server would end them all
            return False
        self.nr_conns += 1
        self._gather(Connection(self.cfg, client, address, listener.getsockname()))
        return True

    def on_client_socket_readable(self, conn: Connection, client: socket.socket) -> None:
        """A kept connection begins its next request."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._gather(conn)

    def on_pending_socket_readable(self, conn: Connection, client: socket.socket) -> None:
        """More of a request came."""
        try:
            data = client.recv(AT_ONCE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        conn.come += data
        if data and not conn.whole() and not conn.hopeless():
            return
        self.poller.unregister(client)
        self.pending_conns.remove(conn)
        if not data:
            self._drop(conn)
        elif conn.hopeless():
            with suppress(OSError):
                client.send((refusal(LimitRequestHeaders("")) or b"") if conn.come[:1].isalpha() else b"")
            self._leave(conn)
        else:
            self._hand_over(conn)

    def finish_request(self, conn: Connection, done: Any) -> None:
        """A thread is through with a request: go on with the connection, or let it go."""
        try:
            keep = not done.cancelled() and done.result()
        except Exception:
            keep = False
        if keep:
            conn.come += conn.parser.unreader.take_buffered()  # of the next request, sent behind the last one
        if not conn.sock.rest:
            self._go_on(conn, keep)
        elif self._watch(conn, selectors.EVENT_WRITE, partial(self._send, conn, keep)):
            conn.timeout = time.monotonic() + ARRIVE_S + len(conn.sock.rest) / SLOWEST
            self._sending.append(conn)

    def _send(self, conn: Connection, keep: bool, client: Socket) -> None:
        """The client took some of its answer."""
        try:
            if not client.push():
                return
        except OSError:
            self._let_go(conn, self._sending)
            return
        self.poller.unregister(client)
        self._sending.remove(conn)
        self._go_on(conn, keep)

    def _go_on(self, conn: Connection, keep: bool) -> None:
        if not keep:
            self._leave(conn)
            return
        if conn.come:
            self._gather(conn)
            return
        conn.sock.setblocking(False)
        conn.set_timeout()
        if not self.alive:
            conn.timeout = min(conn.timeout, time.monotonic() + LINGER_S)
        self.keepalived_conns.append(conn)
        readable = partial(self.on_client_socket_readable, conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, readable)

    def murder_pending(self) -> None:
        """Let go of requests that do not become whole, of answers that nobody takes, and of what was read to the end."""
        super().murder_pending()
        now = time.monotonic()
        for waiting in (self._sending, self._leaving):
            for conn in [conn for conn in waiting if conn.timeout <= now]:
                self._let_go(conn, waiting)
        over = sum(conn.held() for conn in chain(self.pending_conns, self._sending)) - HELD
        if over > 0:
            for conn in sorted(chain(self.pending_conns, self._sending), key=Connection.held, reverse=True):
                over -= conn.held()
                self._let_go(conn, self._sending if conn.sock.rest else self.pending_conns)
                if over <= 0:
                    break

    def _gather(self, conn: Connection) -> None:
        if conn.come and conn.whole():
            self._hand_over(conn)
            return
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + ARRIVE_S
        self.pending_conns.append(conn)
        readable = partial(self.on_pending_socket_readable, conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, readable)

    def _hand_over(self, conn: Connection) -> None:
        conn.init()
        conn.parser.unreader.unread(conn.take())
        conn.data_ready = True
        self.enqueue_req(conn)

    def _leave(self, conn: Connection) -> None:
        """Close it, once its client has read the answer: at once, mostly.

        Closed with a part of the request unread, the kernel would take back what is on its way to the client.
        """
        conn.come.clear()
        with suppress(OSError):
            conn.sock.shutdown(socket.SHUT_WR)
        if self._watch(conn, selectors.EVENT_READ, partial(self._drain, conn)):
            conn.timeout = time.monotonic() + LINGER_S
            self._leaving.append(conn)

    def _watch(self, conn: Connection, event: int, call: Any) -> bool:
        """Call it when the connection is ready. False: it was closed already, and is dropped."""
        try:
            conn.sock.setblocking(False)
            self.poller.register(conn.sock, event, call)
        except (OSError, ValueError):
            self._drop(conn)
            return False
        return True

    def _drain(self, conn: Connection, client: socket.socket) -> None:
        try:
            if client.recv(SMALL):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._let_go(conn, self._leaving)

    def _let_go(self, conn: Connection, waiting: deque[Connection]) -> None:
        self.poller.unregister(conn.sock)
        waiting.remove(conn)
        self._drop(conn)

    def _drop(self, conn: Connection) -> None:
        self.nr_conns -= 1
        conn.close()

    # in a thread

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """As gunicorn's, but what could not be read is answered like every other error."""
        told = refusal(exc)
        if told is None:
            super().handle_error(req, client, addr, exc)
            return
        self.log.warning("Invalid request from ip=%s: %s", (addr or ("",))[0], exc)
        with suppress(OSError):
            write_nonblock(client, told)

    def handle_request(self, req: Any, conn: Connection) -> bool:
        """As gunicorn's. A client that takes nothing of a file for STALL_S has left."""
        try:
            return bool(super().handle_request(req, conn))
        except BlockingIOError as error:
            conn.sock.rest.clear()
            raise ConnectionResetError(errno.ECONNRESET, "the client reads nothing") from error

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        """Whether the connection can take another request. gunicorn's would wait for what is missing of the last one."""
        return bool(keepalive and conn.at_end() and conn.parser.finish_body())


def most_connections(wanted: int) -> int:
    """How many connections this process can hold, up to `wanted`: it asks for as many descriptors as it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(64, min(wanted, hard // 2)) if hard != resource.RLIM_INFINITY else wanted
