"""Ingestion as `kb eval` uses it (entry point `kb.ingestors`): its steps one by one, or all of it until nothing is left."""

from __future__ import annotations

import threading

from ingest import worker
from ingest.pipeline import finished, parse, prepare
from kb.app import Kb

__all__ = ["drain", "finished", "parse", "prepare"]


def drain(kb: Kb) -> None:
    """Work like `kb worker --until-idle`."""
    worker.run(kb, threading.Event(), until_idle=True)
