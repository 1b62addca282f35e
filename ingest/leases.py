"""Jobs this worker holds, and the heartbeat that keeps them: one thread for all of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kb.errors import KbError
from kb.store.jobs import Jobs
from kb.types import Job

BEAT_S = 6.0

log = logging.getLogger("ingest")


@dataclass
class Held:
    """A claimed job and how far it is. lost: the fence has moved on; drop the work."""

    job: Job
    state: Literal["parsing", "embedding"] = "parsing"
    progress: Mapping[str, Any] = field(default_factory=lambda: {"done": 0, "total": 1, "unit": "file"})
    lost: bool = False


class Holding:
    """The set of held jobs. Thread-safe."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self._held: dict[int, Held] = {}
        self._lock = threading.Lock()

    def add(self, job: Job) -> Held:
        """Start to hold a job that was claimed."""
        held = Held(job)
        with self._lock:
            self._held[job.id] = held
        return held

    def drop(self, held: Held) -> None:
        """It is finished, or no longer ours."""
        with self._lock:
            self._held.pop(held.job.id, None)

    def all(self) -> list[Held]:
        """Those held now."""
        with self._lock:
            return list(self._held.values())

    def beat(self, stop: threading.Event) -> None:
        """Keep every lease until `stop`. Runs in a thread of its own."""
        while not stop.wait(BEAT_S):
            for held in self.all():
                try:
                    if not self.jobs.heartbeat(held.job, held.progress, held.state):
                        held.lost = True
                        self.drop(held)
                except KbError as error:  # locked or full for now: the lease outlasts several beats
                    log.warning("heartbeat of job %s: %s", held.job.id, error.detail)

    def release(self) -> None:
        """Hand everything back: a clean stop is nobody's fault."""
        for held in self.all():
            held.lost = True
            self.drop(held)
            try:
                self.jobs.release(held.job)
            except KbError as error:
                log.warning("release of job %s: %s", held.job.id, error.detail)
