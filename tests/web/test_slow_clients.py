"""Clients that send or read a byte now and then: nobody else waits for them."""

from __future__ import annotations

import json
import os
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from threading import Event, Thread
from unittest.mock import Mock

import httpx
import pytest
from flask import Flask, Response, g
from gunicorn.config import Config  # type: ignore[import-untyped]

from kb.errors import Busy
from kb.settings import Settings
from kb.types import Principal
from tests.web.conftest import Template
from tests.web.test_server import Running, running
from web import slow_clients, transfers
from web.slow_clients import Connection, Worker
from web.sockets import Socket

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
    with running(Settings(data=tmp_path_factory.mktemp("slow") / "state"), template) as made:
        yield made


@pytest.mark.parametrize("what", HALVES)
def test_clients_that_stop_half_way_keep_nobody_waiting(alive: Running, what: str) -> None:
    with ExitStack() as stack:
        for _ in range(MANY):
            connect(stack, alive, HALVES[what])
        for _ in range(3):
            assert httpx.get(f"{alive.url}/livez", timeout=HANG_S).status_code == 200


@pytest.mark.parametrize("what", ["a large sign-in", "a sign-in in parts", "a refused upload"])
def test_clients_that_trickle_what_nobody_reads_keep_nobody_waiting(alive: Running, what: str) -> None:
    with ExitStack() as stack:
        clients = [connect(stack, alive, HALVES[what]) for _ in range(MANY)]

        def trickle() -> None:
            for client in clients:
                with suppress(OSError):
                    client.send(b"x")

        with now_and_then(trickle, 0.1):
            for _ in range(3):
                assert httpx.get(f"{alive.url}/livez", timeout=HANG_S).status_code == 200


def test_clients_that_read_a_few_bytes_now_and_then_keep_nobody_waiting(alive: Running) -> None:
    path = "/api/v1/openapi.json"
    with ExitStack() as stack:
        clients = [reading_little(stack, alive, path) for _ in range(MANY)]

        def trickle() -> None:
            for client in clients:
                with suppress(BlockingIOError):
                    client.recv(64, socket.MSG_DONTWAIT)

        with now_and_then(trickle, 1.0):
            for _ in range(3):
                assert httpx.get(f"{alive.url}/livez", timeout=HANG_S).status_code == 200


def test_what_is_read_slowly_arrives_whole_and_the_connection_goes_on(alive: Running) -> None:
    path = "/api/v1/openapi.json"
    whole = httpx.get(alive.url + path).content
    with ExitStack() as stack:
        client = reading_little(stack, alive, path, "/livez")
        assert httpx.get(f"{alive.url}/livez", timeout=HANG_S).status_code == 200
        read = b""
        while whole not in read or b"HTTP/1.1 200" not in read.split(whole)[1]:
            more = client.recv(4096)
            assert more, len(read)
            read += more


def reading_little(stack: ExitStack, server: Running, *paths: str) -> socket.socket:
    """A client with hardly any room for answers, which the kernel then holds little of as well."""
    sock = stack.enter_context(socket.socket())
    sock.settimeout(HANG_S)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 88)
    sock.connect(("127.0.0.1", server.port))
    sock.sendall(b"".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in paths))
    return sock


@contextmanager
def now_and_then(what: Callable[[], None], every_s: float) -> Iterator[None]:
    over = Event()

    def work() -> None:
        while not over.wait(every_s):
            what()

    thread = Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


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


@pytest.mark.parametrize(
    ("sent", "status", "slug"),
    [
        (b"GET /livez HTTP/9.9\r\n\r\n", 400, "bad-request"),
        (b"GET /livez HTTP/1.1\r\nX-A: a\0b\r\n\r\n", 400, "bad-request"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414, "address-too-long"),
        (b"GET /livez HTTP/1.1\r\nX-A: " + b"a" * 9000 + b"\r\n\r\n", 431, "header-too-large"),
        (b"GET /livez HTTP/1.1\r\n" + b"X-A: b\r\n" * 12_000, 431, "header-too-large"),
    ],
)
def test_what_cannot_be_read_is_a_problem_like_every_error(
    alive: Running, sent: bytes, status: int, slug: str
) -> None:
    with ExitStack() as stack:
        answer = b""
        sock = connect(stack, alive, sent)
        while more := sock.recv(65536):
            answer += more
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"Content-Type: application/problem+json" in head
    problem = json.loads(body)
    assert (problem["type"], problem["status"]) == (f"/problems/{slug}", status)
    assert problem["title"] and problem["detail"]
    assert f"X-Request-Id: {problem['request_id']}".encode() in head


@pytest.mark.parametrize("body", [b"ZZZ\r\n{}", b"1\r\n{}}}", b"1;a\rb\r\n{"])
def test_a_body_in_broken_chunks_is_the_clients_fault(alive: Running, body: bytes) -> None:
    key = f"Authorization: {alive.headers['Authorization']}"
    head = post("/api/v1/ask", key, "Content-Type: application/json", "Transfer-Encoding: chunked")
    with ExitStack() as stack:
        answer = connect(stack, alive, head + b"\r\n\r\n" + body + b"\r\n0\r\n\r\n").recv(65536)
    assert answer.startswith(b"HTTP/1.1 400 "), answer


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


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Flask:
    """An application with one place, in which every answer is large."""
    monkeypatch.setattr(transfers, "PLACES", 1)
    monkeypatch.setattr(transfers, "WAIT_S", 0.01)
    monkeypatch.setattr(transfers, "LARGE", 1)
    app = Flask("places")
    app.extensions["kb.places"] = transfers.Places()
    return app


def test_one_client_leaves_places_to_the_others(places: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "PLACES", 3)
    monkeypatch.setattr(transfers, "SHARE", 2)
    with places.test_request_context("/"):

        def one(who: str) -> Response:
            g.principal = Principal("key", who, who)
            return transfers.in_a_place(Response("a file"))

        kept = [one("a"), one("a")]
        with pytest.raises(Busy, match="2 of them yours"):
            one("a")
        kept.append(one("b"))
        with pytest.raises(Busy):
            one("c")
        kept.pop(0).close()
        one("c")


@pytest.mark.parametrize("trickles", [True, False])
def test_a_transfer_that_is_too_slow_is_cut_on_its_way(
    places: Flask, monkeypatch: pytest.MonkeyPatch, trickles: bool
) -> None:
    monkeypatch.setattr(transfers, "LOOK_S", 0.1)
    monkeypatch.setattr(transfers, "SLOWEST", 1000)
    ours, theirs = socket.socketpair()
    with Socket(ours) as sock, theirs:
        sent = 0
        with (
            places.test_request_context("/", environ_base={"gunicorn.socket": sock}),
            transfers.in_a_place(Response("a file")),
        ):
            try:
                while sent < 500:  # a whole look, or several
                    theirs.sendall(b"x" if trickles else b"x" * 1000)
                    sock.recv(1000)
                    sent += 1
                    time.sleep(0.002)
            except OSError:
                assert trickles
            else:
                assert not trickles
            assert (sent < 500) == trickles


def test_files_on_their_way_hold_places_until_they_are_sent(places: Flask) -> None:
    app = places
    with app.test_request_context("/"):
        first = transfers.in_a_place(Response("a file"))
        with pytest.raises(Busy):
            transfers.in_a_place(Response("another"))
        first.close()
        transfers.in_a_place(Response("another")).close()
    with app.test_request_context("/", method="HEAD"):
        for _ in range(2):
            transfers.in_a_place(Response("no more than its head"))


def test_a_head_is_looked_at_once_however_its_body_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = Mock(wraps=slow_clients._LENGTH)
    monkeypatch.setattr(slow_clients, "_LENGTH", looked)
    ours, theirs = socket.socketpair()
    with theirs, closing(Connection(Config(), ours, None, None)) as conn:
        for letter in b"\r\nPOST / HTTP/1.1\r\ncontent-length: 300\r\n\r\n" + b"\r\n" * 150:
            assert not conn.whole()
            conn.come.append(letter)
        assert conn.whole() and looked.search.call_count == 1
        assert conn.take().endswith(b"\n") and not conn.whole()


def test_a_word_before_an_answer_waits_for_no_reader_either() -> None:
    ours, theirs = socket.socketpair()
    with theirs, Socket(ours) as sock:
        while sock.push():
            sock.sendall(b"x" * 1000)
        kept = len(sock.rest)
        assert sock.send(b"HTTP/1.1 100 Continue\r\n\r\n") == 25  # as gunicorn sends it
        assert len(sock.rest) == kept + 25


def test_what_is_kept_for_all_clients_together_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_clients, "HELD", 1000)
    worker = Worker(0, os.getppid(), [], None, 30, Config(), None)
    with selectors.DefaultSelector() as worker.poller, ExitStack() as stack:
        stack.callback(worker.tmp.close)
        clients = []
        for size in (300, 500, 400):
            ours, theirs = socket.socketpair()
            clients.append(stack.enter_context(theirs))
            conn = Connection(worker.cfg, ours, None, None)
            stack.callback(conn.close)
            conn.come += b"x" * size
            worker.nr_conns += 1
            worker._gather(conn)
        worker.murder_pending()
        assert clients[1].recv(1) == b""  # the one for whom the most was kept
        assert [conn.held() for conn in worker.pending_conns] == [300, 400] and worker.nr_conns == 2
