"""A model hub on this machine: the few calls a download makes, with faults on demand."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34


@dataclass
class Hub:
    """Serves the files of one folder as repository `repo`; what was asked is in `requests`."""

    folder: Path
    repo: str = "acme/tiny"
    cut: dict[str, list[int]] = field(
        default_factory=dict
    )  # file → after how many bytes the next answers break off
    wrong: set[str] = field(default_factory=set)  # files whose bytes are spoilt on the way
    busy: dict[str, int] = field(default_factory=dict)  # file → how often 503 comes first
    ranges: bool = True  # whether Range is understood
    status: int = 200  # of the repository's description
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # (file, Range)

    def __enter__(self) -> Hub:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub._answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def asked(self, name: str) -> list[str | None]:
        """The Range headers with which a file was asked for."""
        return [span for file, span in self.requests if file == name]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(handler.path).path)
        if path.startswith(f"/api/models/{self.repo}"):
            return self._describe(handler)
        start = f"/{self.repo}/resolve/{COMMIT}/"
        if path.startswith(start) and (self.folder / path.removeprefix(start)).is_file():
            return self._send(handler, path.removeprefix(start))
        return self._reply(handler, 404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def _describe(self, handler: BaseHTTPRequestHandler) -> None:
        files = []
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                data, name = path.read_bytes(), str(path.relative_to(self.folder))
                entry: dict[str, Any] = {"rfilename": name, "size": len(data)}
                entry["blobId"] = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
                if name.endswith(".safetensors"):
                    entry["lfs"] = {
                        "sha256": hashlib.sha256(data).hexdigest(),
                        "size": len(data),
                        "pointerSize": 100,
                    }
                files.append(entry)
        body = {"id": self.repo, "modelId": self.repo, "sha": COMMIT, "siblings": files}
        self._reply(handler, self.status, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _send(self, handler: BaseHTTPRequestHandler, name: str) -> None:
        span = handler.headers.get("Range")
        self.requests.append((name, span))
        if self.busy.get(name, 0):
            self.busy[name] -= 1
            return self._reply(handler, 503, b"")
        data = (self.folder / name).read_bytes()
        if name in self.wrong:
            data = data[:-1] + bytes([data[-1] ^ 1])
        status, first = 200, 0
        if span and self.ranges:
            status, first = 206, int(span.removeprefix("bytes=").rstrip("-"))
        data = data[first:]
        if self.cut.get(name):
            self._reply(handler, status, data[: self.cut[name].pop(0)], {}, len(data))
            handler.close_connection = True
            return None
        return self._reply(handler, status, data)

    @staticmethod
    def _reply(
        handler: BaseHTTPRequestHandler,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        length: int | None = None,
    ) -> None:
        handler.send_response(status)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        handler.end_headers()
        handler.wfile.write(body)
