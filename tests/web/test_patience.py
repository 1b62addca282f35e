"""Clients that send or read a byte now and then: nobody else waits for them."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import httpx
import pytest
from flask import Flask, Response

from kb.errors import Busy
from kb.settings import Settings
from tests.web.conftest import Template
from tests.web.test_server import Running, running
from web import transfers

MANY = 150  # more than the server has threads
HANG_S = 10.0  # far more than any answer takes: without the mending none comes at all


def connect(stack: ExitStack, server: Running, sent: bytes) -> socket.socket:
    sock = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=HANG_S))
    sock.sendall(sent)
    return sock


def post(path: str, *headers: str) -> bytes:
    lines = (f"POST {path} HTTP/1.1", "Host: x", "Sec-Fetch-Site: same-origin", *headers)
    return "\r\n".join(lines).encode()


FORM = "Content-Type: application/x-www-form-urlencoded"
HALVES = {
    "the head": b"GET /livez HTTP/1.1\r\nHost: x\r\nX-A",
    "the first line": b"GET /li",
    "a question": post("/api/v1/ask", "Content-Type: application/json", "Content-Length: 500") + b"\r\n\r\n{",
    "a sign-in": post("/login", FORM, "Content-Length: 500") + b"\r\n\r\nemail=",
    "a large sign-in": post("/login", FORM, "Content-Length: 900000") + b"\r\n\r\nemail=",
    "a sign-in in parts": post("/login", FORM, "Transfer-Encoding: chunked") + b"\r\n\r\n6\r\nemail=",
    "a refused upload": post("/api/v1/documents", "Content-Length: 900000") + b"\r\n\r\n--b",
    "the second request": b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HT",
    "the end": b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",  # and never closed
}


@pytest.fixture(scope="module")
def alive(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(Settings(data=tmp_path_factory.mktemp("patience") / "state"), template) as made:
        yield made


@pytest.mark.parametrize("what", HALVES)
def test_clients_that_stop_half_way_keep_nobody_waiting(alive: Running, what: str) -> None:
    with ExitStack() as stack:
        for _ in range(MANY):
            connect(stack, alive, HALVES[what])
        for _ in range(3):
            assert httpx.get(f"{alive.url}/livez", timeout=HANG_S).status_code == 200


def test_uploads_that_trickle_leave_threads_to_the_others(alive: Running) -> None:
    key = f"Authorization: {alive.headers['Authorization']}"
    half = post(
        "/api/v1/documents", key, "Content-Type: multipart/form-data; boundary=b", "Content-Length: 900000"
    )
    with ExitStack() as stack:
        waiting = [connect(stack, alive, half + b"\r\n\r\n--b") for _ in range(MANY)]
        asked = httpx.post(
            f"{alive.url}/api/v1/search", json={"question": "x"}, headers=alive.headers, timeout=HANG_S
        )
        assert asked.status_code == 200
        refused = waiting[-1].recv(4096)  # the last, long after all places were taken
        assert refused.startswith(b"HTTP/1.1 503") and b"Retry-After: 5" in refused


def test_what_comes_in_pieces_is_one_request(alive: Running) -> None:
    body = b'{"question": "' + b"x" * 3000 + b'"}'
    head = post(
        "/api/v1/search",
        f"Authorization: {alive.headers['Authorization']}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    whole = head + b"\r\n\r\n" + body
    with ExitStack() as stack:
        sock = connect(stack, alive, b"")
        for _ in range(2):  # on the same connection
            for at in range(0, len(whole), 500):
                sock.sendall(whole[at : at + 500])
            assert answers(sock, 1)
        sock.sendall(whole + whole)  # one behind the other
        assert answers(sock, 2)


def answers(sock: socket.socket, count: int) -> bool:
    """Whether so many searches are answered on this connection."""
    read = b""
    while read.count(b'"timings_ms"') < count:
        more = sock.recv(65536)
        assert more, read
        read += more
    return read.count(b"HTTP/1.1 200") == count


def test_what_will_not_be_a_request_is_let_go_at_once(alive: Running) -> None:
    with ExitStack() as stack:
        assert connect(stack, alive, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").recv(100) == b""
        long = b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 12_000
        assert connect(stack, alive, long).recv(100).startswith(b"HTTP/1.1 431 ")


def test_what_takes_for_ever_is_let_go(settings: Settings, template: Template) -> None:
    with running(settings, template, arrive_s=1) as made, ExitStack() as stack:
        key = f"Authorization: {made.headers['Authorization']}"
        kind = "Content-Type: multipart/form-data; boundary=b"
        for begun in (
            b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Trickle: ",
            post("/api/v1/documents", key, kind, "Content-Length: 70000") + b"\r\n\r\n--b",
        ):
            sock = connect(stack, made, begun)
            with suppress(ConnectionError):
                for _ in range(int(HANG_S / 0.01)):  # a byte now and then does not prolong it
                    time.sleep(0.01)
                    sock.sendall(b"x")
            with pytest.raises(OSError):
                for _ in range(2):
                    sock.sendall(b"x")
                    time.sleep(0.1)


def test_files_on_their_way_hold_places_until_they_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "PLACES", 1)
    monkeypatch.setattr(transfers, "WAIT_S", 0.01)
    monkeypatch.setattr(transfers, "LARGE", 1)
    app = Flask("places")
    app.extensions["kb.places"] = transfers.Places()
    with app.test_request_context("/"):
        first = transfers.in_a_place(Response("a file"))
        with pytest.raises(Busy):
            transfers.in_a_place(Response("another"))
        first.close()
        transfers.in_a_place(Response("another")).close()
    with app.test_request_context("/", method="HEAD"):
        for _ in range(2):
            transfers.in_a_place(Response("no more than its head"))
