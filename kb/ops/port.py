"""Whether the web server's port can be had, said before it is tried."""

from __future__ import annotations

import errno
import socket
import time

from kb.errors import Conflict, Invalid


def require_free(host: str, port: int, patience_s: float = 0.0) -> None:
    """Conflict when the port is taken, Invalid when there is no such address here.

    patience_s: for how long to try; a server that was just killed may hold its port for a moment.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return _bind(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise Invalid(f"kb cannot listen on {host} (KB_HOST): {error.strerror}.") from None
        if time.monotonic() >= deadline:
            raise Conflict(
                f"Port {port} of {host} is taken by another program, perhaps another kb. "
                "Stop it, or set KB_PORT to a free port."
            )
        time.sleep(0.1)


def _bind(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
