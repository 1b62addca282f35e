"""A fake OpenAI-compatible server, a process of its own, in a good mood or one of many bad ones.

    python tests/fakes_llm.py [--port N]       prints `listening <port>`

The mood is the first path segment: http://127.0.0.1:PORT/<mood>/v1 . `/log` returns what happened: requests by
mood, and for each stream how it ended (`sent all`, or `closed by client after <s>`). Only the standard library.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

GOOD = "Employees get 25 days of paid leave [1]. Requests go to the team lead [2]."
RAW = (
    "<|channel|>analysis<|message|>The user asks about SECRET-PLAN.<|end|>"
    f"<|start|>assistant<|channel|>final<|message|>{GOOD}<|return|>"
)


class State:
    """What the process remembers, and the clocks of its bad moods."""

    lock = threading.Lock()
    log: list[dict[str, Any]] = []
    broken_for = 0  # mood `recovers`: this many requests still fail


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        if self.path == "/log":
            with State.lock:
                self._json(State.log)
        elif self.path.startswith("/fail/"):
            State.broken_for = int(self.path.rsplit("/", 1)[1])
            self._json({})
        elif self.path.endswith("/models"):
            self._json({"object": "list", "data": [{"id": "fake-model", "object": "model"}]})
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        mood = self.path.split("/")[1]
        entry = {"mood": mood, "request": body, "headers": dict(self.headers), "end": None}
        with State.lock:
            State.log.append(entry)
        started = time.monotonic()
        self.close_connection = True
        try:
            getattr(self, "mood_" + mood)(body)
            entry["end"] = "sent all"
        except OSError:
            entry["end"] = f"closed by client after {time.monotonic() - started:.2f} s"

    # ---- moods

    def mood_good(self, body: dict[str, Any]) -> None:
        self._stream(_pieces(GOOD))

    def mood_reasoning(self, body: dict[str, Any]) -> None:
        self._begin()
        for field in ("reasoning_content", "reasoning"):
            self._event({"choices": [{"delta": {field: "SECRET-PLAN "}, "finish_reason": None}]})
        self._pieces(_pieces(GOOD))
        self._finish()

    def mood_raw_harmony(self, body: dict[str, Any]) -> None:
        self._stream(list(RAW))

    def mood_analysis_only(self, body: dict[str, Any]) -> None:
        self._stream(["<|channel|>analysis<|message|>", "SECRET-PLAN and no more", "<|end|>"])

    def mood_error500(self, body: dict[str, Any]) -> None:
        self._json({"error": {"message": "CUDA out of memory"}}, 500)

    def mood_recovers(self, body: dict[str, Any]) -> None:
        if State.broken_for > 0:
            State.broken_for -= 1
            self._json({"error": "loading"}, 503)
        else:
            self.mood_good(body)

    def mood_strict(self, body: dict[str, Any]) -> None:
        if "repetition_penalty" in body or "reasoning_effort" in body:
            self._json({"error": {"message": "unknown field"}}, 400)
        else:
            self.mood_good(body)

    def mood_redirect(self, body: dict[str, Any]) -> None:
        self.send_response(302)
        self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/good/v1/chat/completions")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def mood_hangs(self, body: dict[str, Any]) -> None:
        self._wait(60)

    def mood_hangs_after_headers(self, body: dict[str, Any]) -> None:
        self._begin()
        self._wait(60)

    def mood_comments(self, body: dict[str, Any]) -> None:
        self._begin()
        for _ in range(600):
            self._write(b": still thinking\n\n")
            self._wait(0.1)

    def mood_stalls(self, body: dict[str, Any]) -> None:
        self._begin()
        self._pieces(_pieces(GOOD)[:4])
        self._wait(60)

    def mood_half_stream(self, body: dict[str, Any]) -> None:
        self._begin()
        self._pieces(_pieces(GOOD)[:6])

    def mood_cut(self, body: dict[str, Any]) -> None:
        """The connection is reset in the middle, without even an end of the response."""
        self._begin()
        self._pieces(_pieces(GOOD)[:6])
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.connection.close()

    def mood_garbage(self, body: dict[str, Any]) -> None:
        self._begin()
        self._write(b"data: {not json at all\n\n")

    def mood_html(self, body: dict[str, Any]) -> None:
        self._begin()
        self._write(b"<html><body>502 Bad Gateway</body></html>\n")

    def mood_misshapen(self, body: dict[str, Any]) -> None:
        self._begin()
        self._event({"choices": [{"delta": {"content": {"a": [1]}}}]})
        self._finish()

    def mood_error_event(self, body: dict[str, Any]) -> None:
        self._begin()
        self._pieces(_pieces(GOOD)[:3])
        self._event({"error": {"message": "engine died"}})

    def mood_repetition(self, body: dict[str, Any]) -> None:
        self._begin()
        while True:
            self._pieces(["the same ", "again and ", "again "])

    def mood_huge_line(self, body: dict[str, Any]) -> None:
        self._begin()
        self._write(b"data: " + b"x" * 10_000_000)

    def mood_slow_drip(self, body: dict[str, Any]) -> None:
        """One piece every 0.6 s: under any stall limit, and far over the total."""
        self._begin()
        for piece in _pieces(GOOD * 20):
            self._pieces([piece])
            self._wait(0.6)

    def mood_byte_drip(self, body: dict[str, Any]) -> None:
        """Single bytes of one line that never ends."""
        self._begin()
        for _ in range(600):
            self._write(b"d")
            self._wait(0.1)

    def mood_nuls(self, body: dict[str, Any]) -> None:
        self._stream(["\0\0" + GOOD[:20] + "\0\x1b[31m\x07", GOOD[20:] + "\ud800"])

    def mood_empty(self, body: dict[str, Any]) -> None:
        self._stream(["", "  "])

    def mood_bad_citations(self, body: dict[str, Any]) -> None:
        self._stream(
            ["Leave is 25 days 【1†L2-3】 [77] ![x](http://evil.example/?q=1) ", "<b>really</b> [1, 9]."]
        )

    def mood_wrong_numbers(self, body: dict[str, Any]) -> None:
        self._stream(["Employees get 99 days of paid leave [1]."])

    def mood_not_found(self, body: dict[str, Any]) -> None:
        self._stream(["NOT_", "FOUND"])

    def mood_endless(self, body: dict[str, Any]) -> None:
        """Good text, slowly, for as long as anybody listens."""
        self._begin()
        for n in range(100_000):
            self._pieces([f"word{n} "])
            self._wait(0.05)

    # ---- plumbing

    def _wait(self, seconds: float) -> None:
        """Sleep, but notice a client that hangs up."""
        ready, _, _ = select.select([self.connection], [], [], seconds)
        if ready and not self.connection.recv(1, socket.MSG_PEEK):
            raise ConnectionResetError

    def _json(self, value: Any, status: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()

    def _write(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def _event(self, value: Any) -> None:
        self._write(b"data: " + json.dumps(value).encode() + b"\n\n")

    def _pieces(self, pieces: list[str]) -> None:
        for piece in pieces:
            self._event({"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]})

    def _finish(self) -> None:
        self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self._write(b"data: [DONE]\n\n")

    def _stream(self, pieces: list[str]) -> None:
        self._begin()
        self._pieces(pieces)
        self._finish()


def _pieces(text: str) -> list[str]:
    return [text[at : at + 5] for at in range(0, len(text), 5)]


MOODS = sorted(name.removeprefix("mood_") for name in vars(Handler) if name.startswith("mood_"))


class FakeLLM:
    """Starts the process and talks about it; use as a context manager."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve())],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ},
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline().split()[1])

    def url(self, mood: str) -> str:
        """The base URL whose server is in that mood."""
        return f"http://127.0.0.1:{self.port}/{mood}/v1"

    def log(self) -> list[dict[str, Any]]:
        """All chat requests so far."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/log", timeout=5) as response:
            found: list[dict[str, Any]] = json.load(response)
            return found

    def fail(self, times: int) -> None:
        """Mood `recovers` fails so many more times."""
        urllib.request.urlopen(f"http://127.0.0.1:{self.port}/fail/{times}", timeout=5).close()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __enter__(self) -> FakeLLM:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    server = ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Handler)
    server.daemon_threads = True
    print("listening", server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
