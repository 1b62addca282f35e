"""What ingestion asks `kb up` to keep running: Tika, and the worker that uses it."""

from __future__ import annotations

import sys

from ingest import tika_server
from kb.errors import Unavailable
from kb.settings import Settings
from kb.types import Process


def tika(settings: Settings) -> Process | None:
    """kb's own Tika; None where a running one is configured."""
    if settings.tika_url:
        return None
    try:
        command = tika_server.command(settings)
    except Unavailable as error:
        only = "Until then only text, Markdown, HTML, CSV and JSON can be read."
        return Process("tika", missing=f"{error.detail} {only}")
    exports = {"KB_TIKA_URL": ",".join(command.urls)}
    return Process("tika", command.argv, command.env, exports, clean=True, log=True)


def worker(settings: Settings) -> Process:
    """`kb worker`, always possible."""
    return Process("worker", (sys.executable, "-m", "kb.cli", "worker"))
