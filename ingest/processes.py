"""What ingestion wants `kb up` to keep running: the Tika server, and the worker."""

from __future__ import annotations

import sys

from ingest import tika_server
from kb.errors import KbError
from kb.settings import Settings
from kb.types import Process


def tika(settings: Settings) -> Process | None:
    """kb's own Tika, unless one is named in the settings. Tells the worker its addresses."""
    if settings.tika_url:
        return None
    try:
        command = tika_server.command(settings)
    except KbError as error:
        return Process(
            "tika",
            missing=f"{error.detail} Until then only text, Markdown, HTML, CSV, JSON and XML are read.",
        )
    return Process(
        "tika",
        argv=command.argv,
        env=command.env,
        exports={"KB_TIKA_URL": ",".join(command.urls)},
        clean=True,
        log=True,
    )


def worker(settings: Settings) -> Process:
    """The ingestion worker."""
    return Process("worker", argv=(sys.executable, "-m", "kb.cli", "worker"))
