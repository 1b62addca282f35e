"""`kb up`: web server, worker, Tika and (with a packed model) the local model, under one supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from importlib.metadata import entry_points
from types import FrameType

import click

from kb.app import build
from kb.commands.sample import unfinished
from kb.errors import Invalid, KbError
from kb.ops.port import require_free
from kb.ops.supervisor import Supervisor
from kb.settings import Settings
from kb.store import Database
from kb.types import Process


@click.command()
@click.option("--sample", is_flag=True, help="Load the sample corpus on the first start.")
def up(sample: bool) -> None:
    """Start everything and keep it running; Ctrl-C stops it."""
    settings = Settings()
    supervisor = Supervisor(settings.data, say=lambda text: click.secho(text, dim=True))

    def stop(number: int, frame: FrameType | None) -> None:
        if not supervisor.stop.is_set():
            click.echo("\nStopping…")
        supervisor.stop.set()

    if "KB_CRASHPOINT" in os.environ:
        raise Invalid("KB_CRASHPOINT is set: that kills kb on purpose and is for tests only. Unset it.")
    supervisor.acquire()
    require_free(settings.host, settings.port)  # another kb's answer would pass for ours
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    kb = build(settings)
    empty = kb.collections.begin()
    address = settings.public_url or settings.local_url
    link = kb.users.first_admin_token()
    loading = None
    if sample and (empty or unfinished(kb)):
        # in a process of its own: importing the FAQ needs the encoder, the supervisor should stay small
        command = [sys.executable, "-m", "kb.cli", "sample"]
        loading = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    kb.close()

    def announce() -> None:
        if _wait_ready(f"{settings.local_url}/readyz", supervisor):
            click.secho(f"\nkb is ready:  {address}", bold=True)
            if link:
                click.secho(
                    f"Create the first admin (once, within 24 hours):  {address}/setup/{link}\n", bold=True
                )
        if loading is not None:
            loading.wait()  # or it stays in the process table as long as we do

    supervisor.run(processes(settings), announce)
    if loading is not None and loading.poll() is None:
        loading.terminate()  # what it has not loaded yet, the next start does
        loading.wait()
    with suppress(KbError):  # its log is as safe beside the database as in it
        empty_log(settings)
    click.echo("Stopped.")


def empty_log(settings: Settings) -> None:
    """Leave one database file with everything in it, for who copies it while nothing runs."""
    database = Database(settings.database)
    try:
        database.checkpoint()
    finally:
        database.close()


def processes(settings: Settings) -> list[Process]:
    """What the installed packages want to be kept running, in the order of their entry-point names."""
    found = []
    for point in sorted(entry_points(group="kb.processes"), key=lambda p: p.name):
        process = point.load()(settings)
        if process is not None:
            found.append(process)
    return found


def _wait_ready(url: str, supervisor: Supervisor, patience_s: float = 120.0) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline and not supervisor.stop.is_set():
        try:
            with opener.open(url, timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    if not supervisor.stop.is_set():
        click.echo(f"{url} does not answer yet; see the messages above.", err=True)
    return False
