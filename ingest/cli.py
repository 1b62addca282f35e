"""`kb worker`: reads the documents that are queued."""

from __future__ import annotations

import logging
import os
import signal
import threading
from types import FrameType

import click

from ingest import worker as ingestion
from kb.app import build


@click.command()
@click.option("--until-idle", is_flag=True, help="Stop when nothing is left to read.")
def worker(until_idle: bool) -> None:
    """Read queued documents: parse, split, embed, publish. Ctrl-C or SIGTERM hands unfinished ones back."""
    logging.basicConfig(level=logging.WARNING, format="worker: %(message)s")
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    kb = build()
    ended = True
    try:
        ended = ingestion.run(kb, stop, until_idle=until_idle)
    finally:
        kb.close()
    if not ended:
        # the interpreter would take such a thread down inside the encoder, which aborts the process
        logging.shutdown()
        os._exit(0)
