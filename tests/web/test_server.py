"""A real gunicorn: streams, readers who leave, large bodies, and the end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from kb.settings import Settings
from kb.store import Database
from tests.web.conftest import Template, World, make_kb
from web import create_app
from web.slow_clients import ARRIVE_S

ROOT = Path(__file__).resolve().parents[2]


class Running:
    """The server process, and how to reach it."""

    def __init__(self, settings: Settings, template: Template, arrive_s: float) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.data, self.url = settings.data, f"http://127.0.0.1:{self.port}"
        self.headers = {"Authorization": f"Bearer {template.keys['all']}"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.web.serve", str(settings.data), str(self.port), str(arrive_s)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def wait(self) -> Running:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                if httpx.get(f"{self.url}/livez").status_code == 200:
                    return self
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError("the server did not start")

    def closed(self, within_s: float) -> bool:
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            if (self.data / "trace").exists():
                return True
            time.sleep(0.05)
        return False


@contextmanager
def running(settings: Settings, template: Template, arrive_s: float = ARRIVE_S) -> Iterator[Running]:
    """A server on a copy of the template's state, stopped at the end."""
    shutil.copytree(template.data, settings.data)
    made = Running(settings, template, arrive_s)
    try:
        yield made.wait()
    finally:
        made.process.terminate()
        try:
            made.process.wait(40)
        except subprocess.TimeoutExpired:
            made.process.kill()
            made.process.wait()


@pytest.fixture
def server(settings: Settings, template: Template) -> Iterator[Running]:
    with running(settings, template) as made:
        yield made


def asking(server: Running) -> dict[str, object]:
    headers = {**server.headers, "Accept": "text/event-stream"}
    return {
        "method": "POST",
        "url": f"{server.url}/api/v1/ask",
        "json": {"question": "x"},
        "headers": headers,
    }


def test_a_stream_arrives_as_it_is_made_and_ends_with_the_reader(server: Running) -> None:
    with httpx.Client(timeout=20) as client, client.stream(**asking(server)) as response:  # type: ignore[arg-type]
        lines = response.iter_lines()
        assert next(lines) == "event: sources"
        assert not server.closed(0)
        while "token" not in next(lines):
            pass
    assert server.closed(10)


def test_a_reader_who_leaves_a_plain_request_stops_it_too(server: Running) -> None:
    body = b'{"question": "x"}'
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        head = f"POST /api/v1/ask HTTP/1.1\r\nHost: x\r\nAuthorization: {server.headers['Authorization']}\r\n"
        sock.sendall(
            f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        )
        assert not server.closed(1)
    assert server.closed(10)


def test_the_end_is_said_to_streams(server: Running) -> None:
    with httpx.Client(timeout=30) as client, client.stream(**asking(server)) as response:  # type: ignore[arg-type]
        lines = response.iter_lines()
        assert next(lines) == "event: sources"
        server.process.send_signal(signal.SIGTERM)
        rest = list(lines)
    assert "event: error" in rest
    problem = json.loads(rest[rest.index("event: error") + 1].removeprefix("data: "))
    assert problem["type"] == "/problems/shutting-down" and problem["status"] == 503
    assert server.process.wait(40) == 0


def test_a_worker_ends_without_taking_the_interpreter_apart_under_its_threads(server: Running) -> None:
    server.process.terminate()
    assert server.process.wait(40) == 0
    assert not (server.data / "taken apart").exists()  # a thread in C++ would abort the process


def test_too_large_is_said_before_the_body_is_read(server: Running) -> None:
    head = (
        f"POST /api/v1/documents HTTP/1.1\r\nHost: x\r\nAuthorization: {server.headers['Authorization']}\r\n"
    )
    head += "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock:
        sock.sendall(head.encode() + b"--b\r\n")
        assert sock.recv(12) == b"HTTP/1.1 413"


def test_a_body_without_a_length_has_a_limit_too(server: Running) -> None:
    def endless() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
        for _ in range(64):
            yield b"x" * 2**18

    headers = {**server.headers, "Content-Type": "multipart/form-data; boundary=b"}
    try:
        response = httpx.post(
            f"{server.url}/api/v1/documents", content=endless(), headers=headers, timeout=20
        )
        assert response.status_code == 413
    except httpx.TransportError:
        pass  # the server closed while we still sent: refused as well
    assert httpx.get(f"{server.url}/livez").status_code == 200
    assert not any((server.data / "incoming").iterdir())


def test_a_server_that_cannot_be_made_ends_instead_of_trying_for_ever(tmp_path: Path) -> None:
    from sqlalchemy import text

    db = Database(Settings(data=tmp_path).database)
    db.migrate()
    with db.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    db.close()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    done = subprocess.run(
        [sys.executable, "-m", "kb.cli", "serve", "--port", port],
        cwd=ROOT,
        env={**os.environ, "KB_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1 and done.stderr.count("made by a newer kb (schema 9999)") == 1


def test_heartbeats(settings: Settings, template: Template, monkeypatch: pytest.MonkeyPatch) -> None:
    from kb.types import Event
    from web import sse

    shutil.copytree(template.data, settings.data)
    db = Database(settings.database)
    kb = make_kb(settings, db)
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(sse, "WATCH_S", 0.05)

    def silent(cancel: object) -> Iterator[Event]:
        yield Event("sources", {"passages": ()})
        time.sleep(0.6)

    kb.asker.script = silent  # type: ignore[attr-defined]
    rest = World(kb, create_app(kb), template.keys).rest()
    text = rest.ask("x", headers={"Accept": "text/event-stream"}).get_data(as_text=True)
    assert text.count(": still here") >= 2
    assert text.rstrip().split("\n\n")[-1].startswith("event: error")  # it ended without `done`
    assert rest.ask("x").status_code == 503
    db.close()
