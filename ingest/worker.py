"""The worker: claims jobs, parses several documents at once, embeds them together, publishes behind the fence.

    parser threads (one per Tika slot)   claim → parse → clean → split ─┐
    one embedding thread                 chunks of all of them together ┴→ publish
    one heartbeat thread                 keeps every lease
    one thread for sentences             while nothing else is to do (ingest/sentences.py)

One parser thread takes new documents only, never OCR, so that a pile of scans cannot keep new text waiting.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ingest import ocr, pipeline
from ingest.embed import Stage
from ingest.leases import Held, Holding
from ingest.outcome import ParserBusy, ParserDown, Poison, Unreadable
from ingest.sentences import Lane
from ingest.tika import Tika
from ingest.tika_server import TikaServer
from kb.app import Kb
from kb.errors import Busy, Conflict, DiskFull, KbError, Unavailable
from kb.settings import Settings
from kb.store import reuse

# The machine lacks something for now, such as room for a copy that is read in the place of a file: no file's fault.
SHORTAGES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
IDLE_S = 0.25
LEAVE_S = 2.0  # for the threads to end in
LEAST_SLOTS = 2  # with one Tika, text files do not wait behind the one document that it reads
DOWN_S, BUSY_S = 20.0, 15.0  # until a document is tried again: without Tika; without room, or the database
LARGE_FILE = 20 * 2**20
WAITS = "Tika does not answer for now; this document is read as soon as it does."
OUR_FAULT = "Reading this file failed inside kb; the log of the worker says how."

log = logging.getLogger("ingest")


def run(kb: Kb, stop: threading.Event, *, until_idle: bool = False) -> bool:
    """Work until `stop` is set, or (until_idle) until nothing is left to do. Hands unfinished jobs back.

    Returns whether every thread has ended; one may still be inside a long parse or the encoder.
    """
    with tika_for(kb.settings) as (tika, tend):
        return Worker(kb, tika).run(stop, tend, until_idle=until_idle)


@contextlib.contextmanager
def tika_for(settings: Settings) -> Iterator[tuple[Tika | None, Callable[[], None]]]:
    """A client of the Tika that is named, or of one started here and kept alive by the returned call; None without Java."""
    if settings.tika_url:
        tika = Tika(settings.tika_url.split(","), settings)
        try:
            yield tika, lambda: None
        finally:
            tika.close()
        return
    try:
        server = TikaServer(settings)
    except Unavailable as error:
        log.warning("%s", error.detail)
        yield None, lambda: None
        return
    with server:
        tika = Tika(server.urls, settings)
        try:
            yield tika, server.ensure
        finally:
            tika.close()


@dataclass
class Worker:
    """kb: the whole core. tika: None where there is none. ocr: whether pages without text are read as images."""

    kb: Kb
    tika: Tika | None
    ocr: bool = field(default_factory=ocr.available)

    def __post_init__(self) -> None:
        self.holding = Holding(self.kb.jobs)
        self.stage = Stage(self.kb.encoder, self.publish, self.our_fault)
        self.large = threading.Semaphore(1)
        self.lane = Lane(self.kb, lambda: not self.idle())

    def run(self, stop: threading.Event, tend: Callable[[], None], *, until_idle: bool = False) -> bool:
        """Start the threads, keep Tika alive, wait for `stop`. Returns whether all threads have ended."""
        slots = max(LEAST_SLOTS, len(self.tika.urls) if self.tika else 1)
        over = threading.Event()  # ends the threads without setting the caller's event
        threads = [threading.Thread(target=self.holding.beat, args=(over,), name="heartbeat", daemon=True)]
        threads.append(threading.Thread(target=self.stage.run, args=(over,), name="embed", daemon=True))
        if not until_idle:
            threads.append(
                threading.Thread(target=self.lane.run, args=(over,), name="sentences", daemon=True)
            )
        for slot in range(slots):
            kinds = ("ingest",) if slot == 0 and slots > 1 else ("ingest", "ocr")
            name = f"parse-{slot}"
            threads.append(threading.Thread(target=self.parse, args=(kinds, over), name=name, daemon=True))
        for thread in threads:
            thread.start()
        quiet = 0
        while not stop.wait(IDLE_S):
            tend()
            quiet = quiet + 1 if until_idle and self.idle() else 0
            if quiet >= 3:
                self.lane.drain(stop)
                break
        over.set()
        self.holding.release()
        patience = time.monotonic() + LEAVE_S
        for thread in threads:  # one inside a long parse is left behind; its fence is gone
            thread.join(max(0.0, patience - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def idle(self) -> bool:
        """Whether nothing is queued, leased or in the stage."""
        pending = self.kb.jobs.pending()
        return not (pending["queued"] or pending["leased"] or self.holding.all()) and self.stage.idle()

    def parse(self, kinds: tuple[str, ...], stop: threading.Event) -> None:
        """One parser thread."""
        while not stop.is_set():
            try:
                job = self.kb.jobs.claim(kinds)
            except KbError as error:
                log.warning("claim: %s", error.detail)
                job = None
            if job is None:
                stop.wait(IDLE_S)
                continue
            held = self.holding.add(job)
            if stop.is_set():
                self.holding.release()
                return
            self.work(held, stop)

    def work(self, held: Held, stop: threading.Event) -> None:
        """Parse one claimed job and pass it on; every way it can end is said to the queue."""
        job, jobs = held.job, self.kb.jobs
        path = self.kb.blobs.path(job.sha256)
        large = job.size > LARGE_FILE
        try:
            if large and not self.large.acquire(blocking=False):
                raise ParserBusy("Another large file is being read.", 3.0)
            try:
                extract = pipeline.parse(
                    path, job.filename, self.kb.settings, self.tika, ocr=job.kind == "ocr"
                )
                prepared = pipeline.prepare(extract, self.kb.settings, self.kb.encoder)
            finally:
                if large:
                    self.large.release()
            if not held.lost:
                known = reuse.vectors(self.kb.db, job, self.kb.encoder.name, self.kb.encoder.dim)
                self.stage.put(held, prepared, stop, known)
        except ParserBusy as busy:
            self.end(held, partial(jobs.busy, job, busy.delay_s))
        except ParserDown as trouble:
            log.warning("%s: %s", job.filename, trouble.reason)
            held.progress = {"done": 0, "total": 1, "unit": "file", "note": WAITS}
            self.end(held, partial(self.wait_for_tika, held))
        except Poison as trouble:
            self.end(held, partial(jobs.strike, job, trouble.reason))
        except Unreadable as trouble:
            self.end(held, partial(jobs.fail, job, trouble.reason))
        except Exception as error:  # a fault of ours on this file: say so, and go on with the others
            self.our_fault(held, error)

    def wait_for_tika(self, held: Held) -> None:
        """Back into the queue, saying why; no strike."""
        self.kb.jobs.heartbeat(held.job, held.progress)
        self.kb.jobs.busy(held.job, DOWN_S)

    def publish(self, held: Held, prepared: pipeline.Prepared, embeddings: NDArray[np.float32]) -> None:
        """One fenced transaction; a document that cannot be stored now is tried again later."""
        if held.lost:
            return
        parsed = pipeline.finished(prepared, embeddings)
        for attempt in range(3):
            try:
                self.kb.documents.publish(
                    held.job,
                    parsed,
                    self.kb.encoder.name,
                    ocr_available=self.ocr and self.tika is not None,
                )
                break
            except Conflict:
                log.info("%s was taken over or deleted; dropped", held.job.filename)
                break
            except (Busy, DiskFull) as error:
                log.warning("publishing %s: %s", held.job.filename, error.detail)
                if attempt == 2:
                    self.end(held, partial(self.kb.jobs.busy, held.job, BUSY_S))
                    return
                time.sleep(0.5)
            except Exception as error:
                self.our_fault(held, error)
                return
        self.holding.drop(held)

    def our_fault(self, held: Held, error: Exception) -> None:
        """Something of ours failed on this document."""
        log.error("%s failed", held.job.filename, exc_info=error)
        short = isinstance(error, OSError) and error.errno in SHORTAGES
        if short or isinstance(error, Busy | DiskFull | MemoryError):
            self.end(held, partial(self.kb.jobs.busy, held.job, BUSY_S))
        else:
            self.end(held, partial(self.kb.jobs.strike, held.job, OUR_FAULT))

    def end(self, held: Held, say: Callable[[], object]) -> None:
        """Tell the queue how a job ended, unless it is no longer ours."""
        if held.lost and held.job.id not in {one.job.id for one in self.holding.all()}:
            return
        try:
            say()
        except Conflict:
            pass
        except KbError as error:
            # the lease runs out, and it is taken up again
            log.warning("job %s: %s", held.job.id, error.detail)
        self.holding.drop(held)
