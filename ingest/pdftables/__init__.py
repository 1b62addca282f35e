"""Tables of PDFs. Tika reads a page as lines of text; here its tables are read once more, as rows and cells.

    process   reads hostile bytes apart from us: `page` (words and ruled lines) → `lines`, `ruled` → `find` (tables)
    merge     puts the tables in the place of the lines that Tika made of them

Whatever goes wrong, the text stays as Tika read it.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

WAIT_S = 30.0  # for one file, on a busy machine; its process is given 10 s of processor time
MOST_BYTES = 32 * 2**20
END = b"\n\n"

Found = dict[int, list[tuple[list[list[str]], list[float]]]]

log = logging.getLogger("ingest")


class Reader:
    """The process that reads tables, started when first asked and again after it had to be ended. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, path: Path) -> Found:
        """By page, from 1: (rows of cells, where columns part) of each table. Empty when anything goes wrong."""
        with self._lock:
            try:
                return _understood(self._ask(path))
            except (OSError, EOFError, TimeoutError) as error:
                log.warning("tables of %s: %s", path.name, error)
                self._end()
                return {}

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _ask(self, path: Path) -> bytes:
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = subprocess.Popen(
                (sys.executable, "-P", "-m", "ingest.pdftables.process"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # PDFium and a dying child say nothing that a person could use
                start_new_session=True,
                env={},  # nothing of ours where hostile bytes are read: no keys, no addresses
            )
        pipe_in, pipe_out = self._process.stdin, self._process.stdout
        assert pipe_in is not None and pipe_out is not None
        pipe_in.write(json.dumps(str(path.resolve())).encode() + b"\n")
        pipe_in.flush()
        return _until_end(pipe_out.fileno(), time.monotonic() + WAIT_S)

    def _end(self) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process.wait()
        self._process = None


def _until_end(source: int, deadline: float) -> bytes:
    said = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(source, selectors.EVENT_READ)
        while not said.endswith(END):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError("took too long")
            block = os.read(source, 1 << 16)
            if not block:
                raise EOFError("the process ended")
            said += block
            if len(said) > MOST_BYTES:
                raise EOFError("more than there may be")
    return bytes(said)


def _understood(said: bytes) -> Found:
    """The lines that are whole: of a child that died in the middle, the pages before."""
    found: Found = {}
    for line in said.splitlines():
        try:
            page: dict[str, Any] = json.loads(line)
            found[int(page["page"])] = [
                (
                    [[str(cell) for cell in row] for row in table["rows"]],
                    [float(edge) for edge in table["edges"]],
                )
                for table in page["tables"]
            ]
        except (ValueError, KeyError, TypeError):
            continue
    return found


_reader = Reader()
atexit.register(_reader.close)
read = _reader.read
