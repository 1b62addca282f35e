"""kill -9 of a real Tika in the middle of a file, with the worker running: the file is read again, and becomes ready."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import select

from ingest import setup_tika
from ingest.tika import Tika
from ingest.tika_server import TikaServer
from ingest.worker import Worker
from kb.app import build
from kb.settings import Settings
from kb.store import SYSTEM, Database
from kb.store.tables import JobRow
from tests.fakes import FakeEncoder
from tests.waiting import until

pytestmark = [pytest.mark.tika, pytest.mark.slow]
# seconds of work for Tika, and one sentence for everybody else
LONG = b"{\\rtf1\\ansi " + b"{\\b\\i\\ul }" * 1_500_000 + b" The gate opens at seven.\\par}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TikaServer]:
    if setup_tika.java() is None or setup_tika.present() is None:
        pytest.skip("needs Java and the Tika server (python -m ingest.setup_tika)")
    with TikaServer(Settings(data=tmp_path_factory.mktemp("tika"), tika_slots=1)) as server:
        yield server


def reading(server: TikaServer) -> bool:
    """Whether somebody is connected to the JVM that reads documents."""
    port = int(server.urls[0].rsplit(":", 1)[1])
    mine = psutil.Process().net_connections("tcp")
    return any(c.raddr and c.raddr.port == port and c.status == psutil.CONN_ESTABLISHED for c in mine)


def jvm(server: TikaServer) -> None:
    """The process that reads; its parent starts another."""
    assert server.pid
    [child] = psutil.Process(server.pid).children()
    child.kill()


def everything(server: TikaServer) -> None:
    """The whole of Tika; the worker starts it again."""
    assert server.pid
    os.killpg(server.pid, signal.SIGKILL)


@pytest.mark.parametrize("kill", [jvm, everything])
def test_the_file_is_read_again(
    kill: Callable[[TikaServer], None], server: TikaServer, settings: Settings, db: Database, tmp_path: Path
) -> None:
    kb = build(settings, db=db, encoder=FakeEncoder())
    kb.collections.create(SYSTEM, "docs", "Documents")
    tika = Tika(server.urls, settings)
    tika.wait_ready()
    document = kb.documents.add(SYSTEM, "docs", io.BytesIO(LONG), "long.rtf")[0]
    stop = threading.Event()
    worker = threading.Thread(target=Worker(kb, tika).run, args=(stop, server.ensure))
    worker.start()
    try:
        until(lambda: reading(server))
        time.sleep(0.2)  # into the file
        kill(server)
        assert kb.documents.get(SYSTEM, document.id).state == "parsing"
        until(lambda: kb.documents.get(SYSTEM, document.id).state not in ("parsing", "queued", "embedding"))
    finally:
        stop.set()
        worker.join(30)
        tika.close()
    with db.read() as session:
        [job] = session.scalars(select(JobRow))
        assert (job.state, job.attempts) == ("done", 2)
        assert job.strikes <= 1
    assert kb.documents.get(SYSTEM, document.id).state == "ready"
    assert kb.documents.text(SYSTEM, document.id).text.strip() == "The gate opens at seven."
