"""The Tika client: one request per port at a time, every limit set, every answer mapped to an outcome.

200                                   Extract, perhaps with warnings; Encrypted or Unreadable
413 415 422                           Unreadable
429, 503 busy                         ParserBusy
cut, 500, 503 crash, late             Poison: this document broke its own JVM
refused everywhere, not JSON, too much, too slow to send, a redirect    ParserDown
"""

from __future__ import annotations

import json
import queue
import re
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from ingest import tika_answer
from ingest.blocks import Extract
from ingest.outcome import ParserBusy, ParserDown, Poison, Unreadable
from kb.settings import Settings

OLDEST = (3, 2, 3)  # before it: XML external entities through PDF forms (CVE-2025-54988, CVE-2025-66516)
MAX_ANSWER = 64 * 2**20
BODY_S = 60.0  # Tika answers when it has finished: then the body comes at once
RESTART_S = 15.0
START_S = 60.0  # two JVMs of our own on a busy machine
NAMED_START_S = 5.0  # one that KB_TIKA_URL names runs already
BREAKER_S = 10.0

CRASHED = "Reading this file crashed the parser, or took more memory than there is."
LATE = "Reading this file took longer than {seconds} seconds."


class Tika:
    """A pool of Tika's addresses. Thread-safe; `parse` takes a free one or waits for it."""

    def __init__(self, urls: Sequence[str], settings: Settings) -> None:
        self.urls = tuple(url.rstrip("/") for url in urls)
        self.timeout_s = settings.parse_timeout_s
        self.start_s = NAMED_START_S if settings.tika_url else START_S
        self.max_embedded = settings.max_embedded
        self._free: queue.LifoQueue[str] = queue.LifoQueue()
        for url in self.urls:
            self._free.put(url)
        self._client = httpx.Client(
            timeout=httpx.Timeout(10.0, connect=3.0),
            follow_redirects=False,  # to wherever a strange server likes, with a document in hand
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),  # a JVM that restarts leaves no stale sockets
        )
        self._lock = threading.Lock()
        self._down_until = 0.0
        self._checked = False

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def available(self) -> bool:
        """False while the circuit breaker is open; then one request may try again."""
        with self._lock:
            return time.monotonic() >= self._down_until

    def version(self) -> tuple[int, ...] | None:
        """Version of the server, None if it does not answer. Raises ParserDown for one that is too old."""
        for url in self.urls:
            try:
                said = self._client.get(f"{url}/version", timeout=3)
            except httpx.HTTPError:
                continue
            if said.status_code >= 400:  # it listens before it knows its own paths
                continue
            found = re.search(r"(\d+)\.(\d+)\.(\d+)", said.text[:200])
            if not found:
                raise ParserDown(f"What answers at {url} is not a Tika server.")
            version = tuple(int(number) for number in found.groups())
            if version < OLDEST:
                raise ParserDown(f"Tika {found[0]} has known security holes; kb needs 3.2.3 or newer.")
            return version
        return None

    def parse(self, path: Path, kind: str, limit: int, *, ocr: bool = False) -> Extract:
        """Read one file; `limit` characters at most. Raises the outcomes named above."""
        if not self.available():
            raise ParserDown("Tika does not answer for now.")
        url = self._free.get()
        try:
            if not self._checked:
                self.wait_ready()
            items = self._ask(url, path, kind, limit, ocr)
        except ParserDown:
            with self._lock:
                self._down_until = time.monotonic() + BREAKER_S
            raise
        finally:
            self._free.put(url)
        return tika_answer.extract(items, kind, limit)

    def wait_ready(self) -> None:
        """Until it answers for the first time and is new enough. Raises ParserDown."""
        end = time.monotonic() + self.start_s
        while self.version() is None:
            if time.monotonic() > end:
                raise ParserDown("Tika does not answer.")
            time.sleep(0.2)
        self._checked = True

    def _ask(
        self, url: str, path: Path, kind: str, limit: int, ocr: bool, *, patient: bool = True
    ) -> list[dict[str, Any]]:
        """patient: where nobody answers, the JVM may be just restarting; wait for it, and ask once more."""
        started = time.monotonic()
        try:
            status, body = self._put(url, path, kind, limit, ocr)
        except httpx.ConnectError:
            if not (patient and self._returns(url)):
                raise ParserDown("Tika does not answer.") from None
            return self._ask(url, path, kind, limit, ocr, patient=False)
        except (httpx.ReadTimeout, httpx.WriteTimeout):
            raise Poison(LATE.format(seconds=self.timeout_s)) from None
        except httpx.HTTPError:
            # Cut in the middle. If the server as a whole is gone, the document is not to blame.
            if not self._returns(url):
                raise ParserDown("Tika stopped.") from None
            late = time.monotonic() - started > 0.9 * self.timeout_s
            raise Poison(LATE.format(seconds=self.timeout_s) if late else CRASHED) from None
        return self._read(url, status, body)

    def _put(self, url: str, path: Path, kind: str, limit: int, ocr: bool) -> tuple[int, bytes]:
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # so that what is counted is what there is
            "Content-Length": str(path.stat().st_size),
            "Content-Disposition": f'attachment; filename="file.{_safe(kind)}"',
            "writeLimit": str(limit),
            "maxEmbeddedResources": str(self.max_embedded),
            "X-Tika-PDFOcrStrategy": "auto" if ocr else "no_ocr",
        }
        if not ocr:
            headers["X-Tika-OCRskipOcr"] = "true"
        # Longer than Tika's own clock, so that its verdict comes first.
        timeout = httpx.Timeout(30.0, connect=3.0, read=self.timeout_s + 30.0)
        with self._client.stream(
            "PUT", f"{url}/rmeta/xml", content=_chunks(path), headers=headers, timeout=timeout
        ) as answer:
            return answer.status_code, self._body(answer, MAX_ANSWER + 6 * limit)

    def _body(self, answer: httpx.Response, most: int) -> bytes:
        end = time.monotonic() + BODY_S
        parts: list[bytes] = []
        size = 0
        for part in answer.iter_raw():
            size += len(part)
            if size > most:
                raise ParserDown("Tika's answer is larger than it may be.")
            if time.monotonic() > end:
                raise ParserDown("Tika's answer came too slowly.")
            parts.append(part)
        return b"".join(parts)

    def _read(self, url: str, status: int, body: bytes) -> list[dict[str, Any]]:
        if status == 200:
            try:
                items = json.loads(body)
            except ValueError:
                items = None
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise ParserDown(f"What answers at {url} is not a Tika server.")
            return items
        if status in (413, 415, 422):
            raise Unreadable("This kind of file, or this variant of it, cannot be read.")
        if status == 429:
            raise ParserBusy("The parser is busy.")
        if status == 503:
            if re.search(rb"TIMEOUT|OOM|CRASH", body[:2000]):
                raise Poison(CRASHED)
            raise ParserBusy("The parser is busy.")
        if status == 500:
            self._returns(url)
            raise Poison(CRASHED)
        raise ParserDown(f"Tika answered with status {status}.")

    def _returns(self, url: str) -> bool:
        """Whether the address answers again within the time that a restart takes."""
        end = time.monotonic() + RESTART_S
        while time.monotonic() < end:
            try:
                if self._client.get(f"{url}/version", timeout=3).status_code == 200:
                    return True
            except httpx.HTTPError:
                time.sleep(0.2)
        return False


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            yield block


def _safe(kind: str) -> str:
    """A header takes no surprises: letters and digits only."""
    return re.sub(r"[^a-z0-9]", "", kind)[:12] or "bin"
