"""The last lane: vectors of sentences, made when no document waits.

A document is found and answered from as soon as it is published; this makes it be found better, so it may take its
time. The encoder runs in a process of its own that the system gives only what nobody else wants: questions that
are asked meanwhile lose nothing.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kb.app import Kb
from kb.errors import KbError, Unavailable
from kb.index import OpenVinoEncoder, fill, open_encoder
from kb.settings import Settings

LOOK_S = 2.0  # between looks for chunks, while there are none or documents wait
AGAIN_S = 30.0  # after a failure
REST_S = 60.0  # without work for so long, the process ends and gives its memory back
ALL_OVER_S = 600.0  # now and then from the first chunk on: a document that was renamed lacks them again
POLL_S = 0.2

log = logging.getLogger("ingest")


class Stopped(Exception):
    """The worker is to end."""


class Lane:
    """Fills in what is lacking. busy: whether documents wait, which go first."""

    def __init__(self, kb: Kb, busy: Callable[[], bool]) -> None:
        self.kb, self.busy = kb, busy
        self.after = 0  # chunk ids only grow: below this none is lacking

    def drain(self, stop: threading.Event) -> None:
        """All of it, now, in this process."""
        while not stop.is_set() and self._some(None):
            pass

    def run(self, stop: threading.Event) -> None:
        """Until `stop`, whenever there is time for it. Runs in a thread of its own."""
        aside: Aside | None = None
        idle_since = over_since = time.monotonic()
        pause = LOOK_S
        while not stop.wait(pause):
            pause = LOOK_S
            try:
                if self.busy():
                    continue
                if time.monotonic() - over_since > ALL_OVER_S:
                    self.after, over_since = 0, time.monotonic()
                if aside is None and self.kb.sentences.lacking(self.kb.encoder.name, self.after, 1):
                    # an encoder that was handed in is nothing that another process could open
                    aside = (
                        Aside(self.kb.settings, stop)
                        if isinstance(self.kb.encoder, OpenVinoEncoder)
                        else None
                    )
                if self._some(aside.encode if aside else None):
                    idle_since, pause = time.monotonic(), 0.0
            except Stopped:
                break
            except Exception as error:  # the lane must live on; nothing is lost, only later
                log.warning("vectors of sentences: %s", error, exc_info=not isinstance(error, KbError))
                idle_since, pause = 0.0, AGAIN_S
            if aside and time.monotonic() - idle_since > REST_S:
                aside.close()
                aside = None
        if aside:
            aside.close()

    def _some(self, encode: Callable[[Sequence[str]], NDArray[np.float32]] | None) -> bool:
        last = fill(self.kb.sentences, self.kb.encoder, self.after, encode)
        self.after = last or self.after
        return last is not None


class Aside:
    """An encoder in a process of the lowest priority. Ends with whoever made it."""

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        """stop: gives up waiting."""
        context = multiprocessing.get_context("spawn")
        self._stop = stop
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, settings), name="sentences", daemon=True)
        self._process.start()
        theirs.close()  # so that the pipe ends when the process does

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """As ports.Encoder.encode_documents. Raises Unavailable when the process died, Stopped."""
        try:
            self._pipe.send(list(texts))
            while not self._pipe.poll(POLL_S):
                if self._stop.is_set():
                    raise Stopped
            found: NDArray[np.float32] | KbError = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise Unavailable("The encoder's process ended; it is started again.") from error
        if isinstance(found, KbError):
            raise found
        return found

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _serve(pipe: Connection[Any, Any], settings: Settings) -> None:
    """The process: texts in, vectors out, until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        for thread in os.listdir("/proc/self/task"):  # those to come inherit it
            os.sched_setscheduler(int(thread), os.SCHED_IDLE, os.sched_param(0))
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            encoder = open_encoder(settings)
            while True:
                pipe.send(encoder.encode_documents(pipe.recv()))
        except KbError as error:
            pipe.send(error)
