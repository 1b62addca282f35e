"""kb's own Tika server: a process bound to loopback with one port, and so one JVM, per parsing slot.

`command` gives what a supervisor needs to run it; `TikaServer` runs it for a worker that stands alone.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest import ocr, setup_tika, tika_config
from kb.errors import Unavailable
from kb.settings import Settings

MAIN_CLASS = "org.apache.tika.server.core.TikaServerCli"
LEFT_S = 24 * 3600  # a folder untouched for so long, whose ports nobody answers, belongs to nobody
RESTART_S = 5.0  # between two starts: one that dies at once is not hammered


@dataclass(frozen=True)
class Command:
    """What to run: arguments, whole environment, and the addresses it will answer on, one per slot."""

    argv: tuple[str, ...]
    env: dict[str, str]
    urls: tuple[str, ...]


def command(settings: Settings, *, class_path: Sequence[Path] = ()) -> Command:
    """The command line of a Tika server on KB_TIKA_PORT… (0: any free ones). Sweeps what an earlier one left.

    class_path: jars beside the server's own, for tests. Raises Unavailable without Java or the jar.
    """
    program, jar = setup_tika.java(), setup_tika.present()
    if program is None:
        raise Unavailable(f"Java is missing; {setup_tika.HOW_TO_JAVA}")
    if jar is None:
        raise Unavailable("The Tika server is not here yet; fetch it with: python -m ingest.setup_tika")
    first = settings.tika_port or free_ports(settings.tika_slots)
    directory = (settings.data / "tika" / str(first)).resolve()
    shutil.rmtree(directory, ignore_errors=True)  # a killed JVM leaves its temporary files
    _sweep(directory.parent, settings.tika_slots)
    (directory / "tmp").mkdir(parents=True)
    config = tika_config.write(settings, first, directory, ocr.languages())
    classes = os.pathsep.join(str(path) for path in (jar, *class_path))
    argv = (program, "-Xmx128m", f"-Djava.io.tmpdir={directory / 'tmp'}", "-cp", classes, MAIN_CLASS)
    # Documents are read with nothing of ours in the environment: no keys, no addresses.
    kept = {
        name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TESSDATA_PREFIX") if name in os.environ
    }
    env = {**kept, "HOME": str(directory / "tmp"), "OMP_THREAD_LIMIT": "1"}
    urls = tuple(f"http://127.0.0.1:{first + slot}" for slot in range(settings.tika_slots))
    return Command((*argv, "-c", str(config)), env, urls)


def _sweep(home: Path, slots: int) -> None:
    """Remove what Tika servers on other ports left: each start may draw new ones."""
    for left in home.glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            if time.time() - left.stat().st_mtime > LEFT_S and not _answers(int(left.name), slots):
                shutil.rmtree(left, ignore_errors=True)


def _answers(first: int, count: int) -> bool:
    for port in range(first, first + count):
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
    return False


def free_ports(count: int) -> int:
    """First of `count` neighbouring loopback ports that nobody listens on."""
    for _ in range(200):
        first = random.randrange(20_000, 32_000 - count)  # below Linux's ephemeral range
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise Unavailable(f"No {count} neighbouring free ports between 20000 and 32000; set KB_TIKA_PORT")


class TikaServer:
    """A running Tika server that belongs to this process: started, restarted when it dies, stopped."""

    def __init__(self, settings: Settings, *, class_path: Sequence[Path] = ()) -> None:
        self.command = command(settings, class_path=class_path)
        self._process: subprocess.Popen[bytes] | None = None
        self._started = float("-inf")
        self._log = Path(self.command.argv[-1]).with_name("server.log")

    @property
    def urls(self) -> tuple[str, ...]:
        """One address per slot."""
        return self.command.urls

    @property
    def pid(self) -> int | None:
        """Process id of the parent JVM while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def ensure(self) -> None:
        """Start it unless it runs. Does not wait until it answers. Call it from a thread that lives on:

        the server is asked to end with the thread that started it, also after kill -9 of this process.
        """
        if self.pid is not None or time.monotonic() - self._started < RESTART_S:
            return
        self._started = time.monotonic()
        self._kill_group()
        setpriv = shutil.which("setpriv")
        end_with_us = (setpriv, "--pdeathsig", "TERM", "--") if setpriv else ()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                (*end_with_us, *self.command.argv),
                env=self.command.env,
                cwd=self._log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # its JVMs die with it, and Ctrl-C is ours to hand on
            )

    def stop(self, grace_s: float = 8.0) -> None:
        """SIGTERM, then SIGKILL to whatever of its JVMs is left."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_s)
        self._kill_group()
        self._process.wait()
        self._process, self._started = None, float("-inf")

    def _kill_group(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def __enter__(self) -> TikaServer:
        self.ensure()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
