"""Ingestion as `kb eval` and `kb doctor` use it (entry point `kb.ingestors`).

Its steps one by one, or all of it until nothing is left; and whether what it leans on answers.
"""

from __future__ import annotations

import threading

from ingest import worker
from ingest.outcome import ParserDown
from ingest.pipeline import finished, parse, prepare
from ingest.tika import Tika
from kb.app import Kb
from kb.settings import Settings

__all__ = ["drain", "finished", "parse", "prepare", "silent"]


def drain(kb: Kb) -> None:
    """Work like `kb worker --until-idle`."""
    worker.run(kb, threading.Event(), until_idle=True)


def silent(settings: Settings) -> list[str]:
    """A sentence for each Tika server that KB_TIKA_URL names and that could not read a document now."""
    return [why for url in settings.tika_url.split(",") if url and (why := _silent(url, settings))]


def _silent(url: str, settings: Settings) -> str:
    tika = Tika([url], settings)
    try:
        answers = tika.version() is not None
    except ParserDown as down:
        return f"{down} KB_TIKA_URL names it; documents that need Tika wait."
    finally:
        tika.close()
    return (
        ""
        if answers
        else f"No Tika server answers at {url}, which KB_TIKA_URL names: documents that need it wait."
    )
