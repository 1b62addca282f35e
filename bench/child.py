"""A side of a comparison as a process of its own, asked over a pipe. One that dies is named, with the last thing it said."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any


class Child:
    """serve(pipe, name, *job) runs in the process: sends something when it is ready, then answers until it is sent None.

    SystemExit, with a sentence, from any call when the process has died.
    """

    def __init__(self, serve: Callable[..., None], name: str, *job: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.name, self._last = name, ""
        self.pipe, theirs = context.Pipe()
        said, saying = context.Pipe(duplex=False)
        # a daemon: when the other side has died, this one must not keep the comparison from ending
        self._process = context.Process(target=_run, args=(saying, serve, theirs, name, *job), daemon=True)
        self._process.start()
        theirs.close()
        saying.close()
        self._listener = threading.Thread(target=self._listen, args=(said,), daemon=True)
        self._listener.start()
        self._receive()

    def ask(self, kind: str, number: int) -> float:
        """What it answers to (kind, number)."""
        try:
            self.pipe.send((kind, number))
        except OSError:
            self._died()
        return float(self._receive())

    def close(self) -> None:
        """Tell it to end, and wait for that."""
        try:
            self.pipe.send(None)
        except OSError:
            self._died()
        self._process.join()
        self._listener.join(5)

    def _receive(self) -> Any:
        try:
            return self.pipe.recv()
        except (EOFError, ConnectionError):
            self._died()

    def _died(self) -> None:
        self._process.join()
        self._listener.join(5)
        code = self._process.exitcode or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        raise SystemExit(f"{self.name} {how}: {self._last or 'it said nothing'}")

    def _listen(self, said: Connection) -> None:
        """Pass its standard error on, and remember the last line."""
        with open(os.dup(said.fileno()), errors="replace") as lines:
            said.close()
            for line in lines:
                sys.stderr.write(line)
                self._last = line.strip() or self._last


def _run(saying: Connection, serve: Callable[..., None], *given: Any) -> None:
    os.dup2(saying.fileno(), 2)  # also what libraries in C write
    saying.close()
    serve(*given)
