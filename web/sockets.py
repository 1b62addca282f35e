"""The socket of a connection, into which a thread writes an answer without waiting for its reader.

How much of an answer the kernel takes at once is the client's to decide, by its window and the size of its segments:
it may be 2 kB. What it does not take is kept here, for the event loop of web/slow_clients.py to send.
"""

from __future__ import annotations

import socket
from typing import Any

SLOWEST = 8 * 2**10  # bytes a second that a client must send or take of what is large
LARGE = 2**20  # bytes of an answer that takes a place (web/transfers.py): not all of it is kept
ROOM = LARGE + 2**16  # for smaller ones and their heads
PIECE = 2**16


class Socket(socket.socket):
    """Takes over an accepted one. rest: what is still to be sent. moved: bytes sent and received so far."""

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        self.rest = bytearray()
        self.moved = 0

    def recv(self, size: int, flags: int = 0) -> bytes:
        """As any socket's."""
        data = super().recv(size, flags)
        self.moved += len(data)
        return data

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send it, now or later. Waits only while more than ROOM is left. OSError when the client is gone."""
        self.rest += data
        self.push()
        while len(self.rest) > ROOM:
            self._send(flags)

    def send(self, data: Any, flags: int = 0) -> int:
        """As `sendall`."""
        self.sendall(data, flags)
        return len(data)

    def push(self) -> bool:
        """Send of the rest what the kernel takes at once; whether that was all. OSError when the client is gone."""
        try:
            while self.rest:
                self._send(socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        return True

    def _send(self, flags: int) -> None:
        sent = super().send(self.rest[:PIECE], flags)
        del self.rest[:sent]
        self.moved += sent
