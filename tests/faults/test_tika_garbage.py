"""A server that is no Tika, or one in a bad mood: every answer is an outcome, in bounded time and memory."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ingest import tika as tika_module
from ingest.outcome import Encrypted, ParserBusy, ParserDown, Poison, Trouble, Unreadable
from ingest.tika import Tika
from kb.settings import Settings

Mood = Callable[[BaseHTTPRequestHandler], None]
TRACE = "org.apache.tika.exception.{} at org.apache.tika.parser.Secret.parse(/home/me/secret.doc)"


def say(status: int, body: bytes, length: int | None = None, headers: dict[str, str] | None = None) -> Mood:
    def mood(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body) if length is None else length))
        request.end_headers()
        request.wfile.write(body)

    return mood


def answer(**keys: object) -> Mood:
    content = "<html><body><div class='page'><p>Some text, enough of it.</p></div></body></html>"
    return say(200, json.dumps([{"X-TIKA:content": content, **keys}]).encode())


def drip(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", "1000000")
    request.end_headers()
    for _ in range(200):
        request.wfile.write(b"x")
        request.wfile.flush()
        time.sleep(0.05)


def flood(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(10**12))
    request.end_headers()
    for _ in range(4000):
        request.wfile.write(b"x" * 65536)


def hang(request: BaseHTTPRequestHandler) -> None:
    time.sleep(2)


class Server:
    """An HTTP server in one mood; /version answers like Tika unless told otherwise."""

    def __init__(self) -> None:
        self.mood: Mood = answer()
        self.version = b"Apache Tika 3.3.2"
        self.headers: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None: ...

            def do_GET(self) -> None:
                say(200, outer.version)(self)

            def do_PUT(self) -> None:
                outer.headers.append(dict(self.headers))
                self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    outer.mood(self)
                except OSError:
                    pass  # the client has had enough, as it should
                self.close_connection = True

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def tika(server: Server, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tika]:
    monkeypatch.setattr(tika_module, "BODY_S", 1.0)
    monkeypatch.setattr(tika_module, "RESTART_S", 0.3)
    monkeypatch.setattr(tika_module, "START_S", 0.3)
    monkeypatch.setattr(tika_module, "MAX_ANSWER", 2**20)
    client = Tika([server.url], settings)
    yield client
    client.close()


@pytest.fixture
def pdf(tmp_path: Path) -> Path:
    path = tmp_path / "a.pdf"
    path.write_bytes(b"%PDF-1.4 whatever")
    return path


@pytest.mark.parametrize(
    ("mood", "outcome"),
    [
        (say(200, b"<html>Welcome to nginx</html>"), ParserDown),
        (say(200, b'[{"X-TIKA:content": "cut'), ParserDown),
        (say(200, b"\xff\xfe\x00garbage"), ParserDown),
        (say(200, b'{"not": "a list"}'), ParserDown),
        (say(200, b"[1, 2]"), ParserDown),
        (say(302, b"", headers={"Location": "http://169.254.169.254/latest/meta-data"}), ParserDown),
        (say(404, b"no such thing"), ParserDown),
        (say(200, b"[]"), Unreadable),
        (say(200, b"half", length=100), Poison),
        (say(413, b""), Unreadable),
        (say(415, b""), Unreadable),
        (say(422, TRACE.format("X").encode()), Unreadable),
        (say(429, b""), ParserBusy),
        (say(503, b""), ParserBusy),
        (say(503, b'{"type": "OOM"}'), Poison),
        (say(503, b"UNSPECIFIED_CRASH"), Poison),
        (say(500, TRACE.format("X").encode()), Poison),
        (drip, ParserDown),
        (flood, ParserDown),
    ],
)
def test_every_mood_is_an_outcome(
    server: Server, tika: Tika, pdf: Path, mood: Mood, outcome: type[Trouble]
) -> None:
    server.mood = mood
    with pytest.raises(outcome) as caught:
        tika.parse(pdf, "pdf", 10_000)
    assert type(caught.value) is outcome
    assert server.headers, "the fault was met"
    assert "apache" not in caught.value.reason and "/" not in caught.value.reason.replace(server.url, "")


def test_a_document_that_hangs_is_poison(
    server: Server, tika: Tika, pdf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.mood = hang
    tika.timeout_s = -29.5  # type: ignore[assignment]  # 30 s are added: half a second of patience
    with pytest.raises(Poison, match="longer than"):
        tika.parse(pdf, "pdf", 1000)


def test_an_old_server_is_refused(server: Server, tika: Tika, pdf: Path) -> None:
    server.version = b"Apache Tika 3.2.1"
    with pytest.raises(ParserDown, match="security holes"):
        tika.parse(pdf, "pdf", 1000)
    assert not server.headers, "no document was sent"


def test_the_breaker_opens_and_closes(
    server: Server, tika: Tika, pdf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tika_module, "BREAKER_S", 0.2)
    server.mood = say(200, b"garbage")
    with pytest.raises(ParserDown):
        tika.parse(pdf, "pdf", 1000)
    assert not tika.available()
    asked = len(server.headers)
    with pytest.raises(ParserDown):
        tika.parse(pdf, "pdf", 1000)
    assert len(server.headers) == asked, "an open breaker asks nobody"
    server.mood = answer()
    time.sleep(0.25)
    assert tika.parse(pdf, "pdf", 1000).blocks


def test_nobody_there(settings: Settings, pdf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tika_module, "START_S", 0.3)
    client = Tika(["http://127.0.0.1:9"], settings)
    with pytest.raises(ParserDown):
        client.parse(pdf, "pdf", 1000)
    client.close()


def test_what_is_asked(server: Server, tika: Tika, pdf: Path) -> None:
    tika.parse(pdf, "pdf", 1234)
    (headers,) = server.headers
    assert headers["writeLimit"] == "1234"
    assert headers["maxEmbeddedResources"] == "2000"
    assert headers["X-Tika-PDFOcrStrategy"] == "no_ocr" and headers["X-Tika-OCRskipOcr"] == "true"
    assert headers["Content-Disposition"] == 'attachment; filename="file.pdf"'
    tika.parse(pdf, "pdf", 1234, ocr=True)
    assert "X-Tika-OCRskipOcr" not in server.headers[1]


@pytest.mark.parametrize("prefix", ["X-TIKA:", "tk:"])
def test_exceptions_become_plain_words(server: Server, tika: Tika, pdf: Path, prefix: str) -> None:
    server.mood = say(
        200,
        json.dumps(
            [{f"{prefix}EXCEPTION:container_exception": TRACE.format("EncryptedDocumentException")}]
        ).encode(),
    )
    with pytest.raises(Encrypted, match="password"):
        tika.parse(pdf, "pdf", 1000)
    server.mood = say(
        200, json.dumps([{f"{prefix}EXCEPTION:container_exception": TRACE.format("TikaException")}]).encode()
    )
    with pytest.raises(Unreadable, match="PDF file is damaged") as caught:
        tika.parse(pdf, "pdf", 1000)
    assert "org.apache" not in caught.value.reason
    body = {
        f"{prefix}content": "<html><body><div class='page'><p>text so far, in words</p></div></body></html>",
        f"{prefix}EXCEPTION:container_exception": TRACE.format("TikaException"),
        f"{prefix}EXCEPTION:write_limit_reached": "true",
        f"{prefix}EXCEPTION:embedded_resource_limit_reached": "true",
    }
    server.mood = say(200, json.dumps([body]).encode())
    found = tika.parse(pdf, "pdf", 1000)
    assert len(found.warnings) == 3 and found.blocks[0].text == "text so far, in words"
    assert not any("apache" in warning for warning in found.warnings)


def test_a_claim_of_billions_of_pages_costs_nothing(server: Server, tika: Tika, pdf: Path) -> None:
    server.mood = answer(**{"xmpTPg:NPages": "2147483647"})
    assert tika.parse(pdf, "pdf", 1000).pages == 1
