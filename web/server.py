"""The web server: gunicorn with threads, one process, so that indexes and rate limits exist once.

A stream holds a thread for as long as its answer takes, a large file for as long as its client does, so there
are threads for all that the model's queue may hold, for all places of web/transfers.py, and more for the rest.
On SIGTERM no new requests are taken, answers come to an end as web/sse.py says, and the rest has GRACE_S to finish.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from typing import Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]

from kb.app import Kb, build
from kb.errors import KbError
from kb.local_access import open_door
from kb.ops.arenas import few_arenas
from kb.settings import Settings
from kb.store import upkeep
from web import create_app, transfers
from web.slow_clients import Worker, most_connections
from web.warmup import Opening

SPARE_THREADS = 16
GRACE_S = 25
KEEP_ALIVE_S = 15
UPKEEP_FIRST_S, UPKEEP_EVERY_S = 300.0, 24 * 3600.0

log = logging.getLogger("web")


class Server(BaseApplication):  # type: ignore[misc]
    """The application is made in the worker, after the fork: threads and connections do not survive one."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        super().__init__()

    def load_config(self) -> None:
        """Everything gunicorn needs to know; no files or flags of its own are read."""
        settings = self.settings
        for name, value in {
            "bind": f"[{settings.host}]:{settings.port}"
            if ":" in settings.host
            else f"{settings.host}:{settings.port}",
            "workers": 1,
            "worker_class": Worker,
            "threads": SPARE_THREADS
            + transfers.PLACES
            + transfers.WAITING
            + settings.llm_concurrency
            + settings.llm_queue,
            "worker_connections": most_connections(4000),
            "sendfile": False,  # Python waits for ever for room to send into, whatever limit the socket has
            "timeout": 60,  # the worker's own heartbeat, not a limit on requests
            "graceful_timeout": GRACE_S,
            "keepalive": KEEP_ALIVE_S,
            "limit_request_line": 8190,
            "limit_request_field_size": 8190,
            "loglevel": "warning",
            "proc_name": "kb-web",
            "control_socket_disable": True,
        }.items():
            self.cfg.set(name, value)

    def run(self) -> None:
        """Serve until told to stop. SystemExit with status 1 when the application cannot be made."""
        few_arenas()
        me = os.getpid()
        try:
            super().run()
        except SystemExit as end:  # also passed by each worker, on its way out of the fork
            if os.getpid() != me:
                _leave(end.code)
            if end.code == Arbiter.WORKER_BOOT_ERROR:
                raise SystemExit(1) from None
            raise

    def load(self) -> Any:
        """The WSGI application."""
        logging.captureWarnings(True)
        try:
            kb = build(self.settings)
            kb.collections.begin()
            door = open_door(self.settings.data, self.settings.local_url)
            app = create_app(kb, door)
            app.extensions["kb.opening"] = Opening(kb).start()
            threading.Thread(target=_upkeep, args=(kb,), name="upkeep", daemon=True).start()
        except KbError as error:
            print(f"kb serve: {error.detail}", file=sys.stderr, flush=True)
            # the one status after which gunicorn does not start another, which would fail like this one
            raise SystemExit(Arbiter.WORKER_BOOT_ERROR) from None
        print(f"kb is at {self.settings.local_url}", flush=True)
        return app


def _leave(code: object) -> None:
    """End a worker that has said all it had to say, without taking the interpreter apart under its threads.

    One that still encodes for a reader who left would be unwound in the middle of C++, which aborts the process.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0)


def _upkeep(kb: Kb) -> None:
    """Once a day, and first when the start is well over."""
    time.sleep(UPKEEP_FIRST_S)
    while True:
        keep = kb.settings
        try:
            upkeep(
                kb.db, kb.blobs, keep_answers_days=keep.keep_answers_days, keep_revisions=keep.keep_revisions
            )
        except (KbError, OSError) as error:
            log.warning("letting go of old rows and files: %s", error)
        time.sleep(UPKEEP_EVERY_S)
