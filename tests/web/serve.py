"""A real server on a scratch state with a slow, simple answerer: run by test_server.py as its own process."""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kb.settings import Settings
from kb.store import Database
from kb.types import Event
from tests.web.conftest import make_kb
from web import create_app, slow_clients, sse, transfers
from web.server import Server


class ScratchServer(Server):
    """The server with its application made of simple parts."""

    def load(self) -> Any:
        kb = make_kb(self.settings, Database(self.settings.database))
        trace = self.settings.data / "trace"

        def slow(cancel: threading.Event) -> Iterator[Event]:
            yield Event("sources", {"passages": ()})
            try:
                for n in range(600):
                    if cancel.wait(0.05):
                        return
                    if n % 10 == 0 and n:
                        yield Event("token", {"text": f"{n} "})
            finally:
                trace.write_text("closed")

        kb.asker.script = slow  # type: ignore[attr-defined]
        atexit.register((self.settings.data / "taken apart").touch)
        return create_app(kb)


if __name__ == "__main__":
    slow_clients.ARRIVE_S = transfers.LOOK_S = float(sys.argv[3])
    transfers.SLOWEST = 2**20
    sse.FINISH_S = sse.PAUSE_S = sse.QUOTE_S = 1.0
    ScratchServer(Settings(data=Path(sys.argv[1]), port=int(sys.argv[2]), max_file_mb=1)).run()
