"""Documents that hang, exit, eat the heap or throw inside a real Tika: each harms itself only.

Tika's own MockParser does what such a document asks for. Needs Java and, once, Maven.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest import setup_tika
from ingest.outcome import Poison
from ingest.tika import Tika
from ingest.tika_server import TikaServer
from kb.errors import KbError
from kb.settings import Settings

pytestmark = [pytest.mark.tika, pytest.mark.slow]
MOCK = '<?xml version="1.0" encoding="UTF-8"?><mock><write element="p">before the fault</write>{}</mock>'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TikaServer]:
    if setup_tika.java() is None or setup_tika.present() is None:
        pytest.skip("needs Java and the Tika server (python -m ingest.setup_tika)")
    try:
        mock = setup_tika.fetch(setup_tika.MOCK_PARSER)
    except KbError as error:
        pytest.skip(f"needs Tika's MockParser: {error.detail}")
    state = tmp_path_factory.mktemp("tika")
    settings = Settings(data=state, parse_timeout_s=3, tika_heap_mb=200)
    with TikaServer(settings, class_path=(mock,)) as server:
        client = Tika(server.urls, settings)
        client.wait_ready()
        client.close()
        yield server


@pytest.fixture
def tika(server: TikaServer, settings: Settings) -> Iterator[Tika]:
    client = Tika(server.urls, settings.model_copy(update={"parse_timeout_s": 3}))
    yield client
    client.close()


def document(tmp_path: Path, fault: str) -> Path:
    path = tmp_path / "mock.xml"
    path.write_text(MOCK.format(fault))
    return path


@pytest.mark.parametrize(
    "fault", ['<hang millis="60000" heavy="false" pulse_millis="100"/>', "<system_exit/>", "<oom/>"]
)
def test_a_fault_is_this_documents_and_the_next_is_read(tika: Tika, tmp_path: Path, fault: str) -> None:
    with pytest.raises(Poison):
        tika.parse(document(tmp_path, fault), "mockxml", 10_000)
    assert "before the fault" in tika.parse(document(tmp_path, ""), "mockxml", 10_000).blocks[0].text


def test_a_throw_leaves_the_text_before_it(tika: Tika, tmp_path: Path) -> None:
    fault = '<throw class="java.io.IOException">/home/secret path</throw>'
    found = tika.parse(document(tmp_path, fault), "mockxml", 10_000)
    assert found.blocks[0].text == "before the fault"
    assert found.warnings and not any("secret" in warning for warning in found.warnings)


def test_the_server_leaves_nothing_behind(server: TikaServer, tika: Tika) -> None:
    import psutil

    tika.wait_ready()
    parent = psutil.Process(server.pid)
    children = parent.children(recursive=True)
    assert len(children) == len(server.urls)
    server.stop()
    _, alive = psutil.wait_procs([parent, *children], timeout=10)
    assert not alive
    server.ensure()  # and starts again on the same ports
    tika.wait_ready()
