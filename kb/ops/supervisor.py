"""Keeps kb's processes running: starts them in order, restarts what dies, stops all of them cleanly.

The supervisor holds `<data>/up.lock` while it lives, so that two of them cannot share a state
directory. Children are asked to die with it (PR_SET_PDEATHSIG), even after kill -9.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from kb.errors import Conflict
from kb.store import private_directory
from kb.types import Process

PATIENCE_S, LAST_S = 30.0, 5.0  # for all to stop; of these, for those that others use
FIRST_DELAY_S, LONGEST_DELAY_S, STEADY_S = 0.3, 20.0, 60.0
PR_SET_PDEATHSIG = 1


@dataclass
class Child:
    """One process, its present incarnation, and when it may be started again."""

    process: Process
    popen: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    delay: float = FIRST_DELAY_S
    not_before: float = 0.0


@dataclass
class Supervisor:
    """Runs `processes` until `stop` is set. say: how it speaks to the console."""

    data: Path
    say: Callable[[str], None]
    stop: threading.Event = field(default_factory=threading.Event)
    children: list[Child] = field(default_factory=list)
    _lock: IO[str] | None = None

    def acquire(self) -> None:
        """Take the state directory for this supervisor. Conflict if another one runs on it."""
        private_directory(self.data)
        lock = open(self.data / "up.lock", "a+")  # held open for the supervisor's lifetime
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise Conflict(
                f"kb is already running on {self.data}. Stop it first, or give this one its own KB_DATA and KB_PORT."
            ) from None
        self._lock = lock

    def run(self, processes: Sequence[Process], ready: Callable[[], None] | None = None) -> None:
        """Start everything, restart what dies, until `stop` is set; then stop everything."""
        exports: dict[str, str] = {}
        for process in processes:
            if process.missing:
                self.say(f"{process.name}: {process.missing}")
                continue
            env = process.env if process.clean else {**exports, **process.env}
            exports.update(process.exports)
            self.children.append(Child(replace(process, env=env)))
        if ready is not None:
            threading.Thread(target=ready, name="ready", daemon=True).start()
        try:
            while not self.stop.is_set():
                for child in self.children:
                    self._tend(child)
                self.stop.wait(0.1)
        finally:
            self.shut_down()

    def _tend(self, child: Child) -> None:
        now = time.monotonic()
        if child.popen is not None:
            code = child.popen.poll()
            if code is None:
                return
            lived = now - child.started
            child.delay = FIRST_DELAY_S if lived > STEADY_S else min(child.delay * 2, LONGEST_DELAY_S)
            child.not_before, child.popen = now + child.delay, None
            how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
            self.say(f"{child.process.name} {how}; starting it again in {child.delay:.1f} s")
        if now >= child.not_before:
            child.started = now
            try:
                child.popen = self._spawn(child.process)
            except OSError as error:
                child.delay = min(child.delay * 2, LONGEST_DELAY_S)
                child.not_before = now + child.delay
                self.say(f"{child.process.name} could not be started: {error.strerror}")

    def _spawn(self, process: Process) -> subprocess.Popen[bytes]:
        output: IO[bytes] | None = None
        if process.log:
            logs = self.data / "logs"
            logs.mkdir(parents=True, exist_ok=True)
            output = open(logs / f"{process.name}.log", "wb")
        parent = os.getpid()
        prctl = ctypes.CDLL(None).prctl  # resolved before the fork: only the call happens in the child

        def die_with_parent() -> None:
            prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # it died before the line above
                os._exit(1)

        try:
            return subprocess.Popen(
                process.argv,
                env=dict(process.env) if process.clean else {**os.environ, **process.env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops them in order
                preexec_fn=die_with_parent,
            )
        finally:
            if output:
                output.close()

    def shut_down(self, patience_s: float = PATIENCE_S) -> None:
        """SIGTERM, last started first; SIGKILL to what is still there when patience ends.

        What others use (it exports where to find it) goes after them: the worker hands its documents back while Tika
        still answers, and answers begun are written to their end.
        """
        deadline = time.monotonic() + patience_s
        running = [c for c in reversed(self.children) if c.popen and c.popen.poll() is None]
        self._end([c for c in running if not c.process.exports], deadline - min(LAST_S, patience_s / 2))
        self._end([c for c in running if c.process.exports], deadline)
        if self._lock is not None:
            self._lock.close()

    def _end(self, children: Sequence[Child], deadline: float) -> None:
        for child in children:
            assert child.popen is not None
            child.popen.terminate()
        for child in children:
            assert child.popen is not None
            try:
                child.popen.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.say(f"{child.process.name} did not stop in time; ending it")
                os.killpg(child.popen.pid, signal.SIGKILL)
                child.popen.wait()
