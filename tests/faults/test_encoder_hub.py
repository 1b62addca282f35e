"""KB_ENCODER names a model of a hub: one that cannot be reached is said in seconds, with the way out."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kb.errors import Invalid, KbError, Unavailable
from kb.index import encoder_hub, open_encoder
from kb.settings import Settings

MODEL = "acme/does-not-come"


class Exports:
    """What was started to fetch and export: never anything, and the environment it got."""

    def __init__(self) -> None:
        self.environments: list[dict[str, str]] = []

    def run(
        self, command: list[str], *, env: dict[str, str], **_: object
    ) -> subprocess.CompletedProcess[str]:
        self.environments.append(env)
        return subprocess.CompletedProcess(command, 1, "", "Traceback\nOSError: no such model")


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Exports:
    made = Exports()
    monkeypatch.setattr("kb.index.encoder_files.subprocess.run", made.run)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(encoder_hub, "CONNECT_S", 0.3)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return made


class Gateway(BaseHTTPRequestHandler):
    """Says 404 to everything; with the code that a hub gives it, or without, as a proxy does."""

    code: str | None = None

    def do_HEAD(self) -> None:
        self.send_response(404)
        if self.code:
            self.send_header("X-Error-Code", self.code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def answering(code: str | None) -> Iterator[str]:
    handler = type("Handler", (Gateway,), {"code": code})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(params=["refuses", "hangs", "unknown name", "looking up hangs", "a gateway answers"])
def hub(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "a gateway answers":
        with answering(None) as address:
            monkeypatch.setenv("HF_ENDPOINT", f"http://{address}")
            yield address
        return
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if request.param == "hangs":
            silent.listen()
        if request.param == "looking up hangs":
            monkeypatch.setattr(encoder_hub, "ANSWER_S", 0.1)
            monkeypatch.setattr(encoder_hub, "CONNECT_S", 3.0)  # the name server's own patience
            silent.listen()
        port = silent.getsockname()[1]
        name = "hub.invalid" if request.param == "unknown name" else "127.0.0.1"
        monkeypatch.setenv("HF_ENDPOINT", f"http://{name}:{port}")
        yield f"{name}:{port}"


def refusal(settings: Settings) -> KbError:
    with pytest.raises(KbError) as caught:
        open_encoder(settings.model_copy(update={"encoder": MODEL}))
    return caught.value


def test_a_hub_that_cannot_be_reached_is_said_before_anything_is_fetched(
    hub: str, exports: Exports, settings: Settings
) -> None:
    error = refusal(settings)
    assert isinstance(error, Unavailable)
    for word in (MODEL, "KB_ENCODER", hub, "HF_ENDPOINT", "directory", "all-MiniLM-L6-v2"):
        assert word in error.detail
    assert not exports.environments


def test_a_hub_that_answers_is_asked_for_the_model(
    exports: Exports, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering("RepoNotFound") as address:
        monkeypatch.setenv("HF_ENDPOINT", f"http://{address}")
        error = refusal(settings)
    assert isinstance(error, Invalid) and "no such model" in error.detail
    [environment] = exports.environments
    assert "HF_HUB_OFFLINE" not in environment


def test_a_model_in_the_hubs_cache_needs_no_hub(
    hub: str, exports: Exports, settings: Settings, tmp_path: Path
) -> None:
    home = tmp_path / "hub-cache" / ("models--" + MODEL.replace("/", "--"))
    snapshot = home / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("c0ffee")
    refusal(settings)
    [environment] = exports.environments
    assert environment["HF_HUB_OFFLINE"] == "1"
