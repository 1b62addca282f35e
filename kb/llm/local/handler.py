"""One HTTP connection: OpenAI's paths, streams, and the watch for clients that have gone."""

from __future__ import annotations

import json
import logging
import queue
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kb.errors import Invalid, KbError, NotFound, TooLarge, UnsupportedType
from kb.llm.local.completions import Completion
from kb.llm.local.errors import no_memory
from kb.llm.local.protocol import ChatBody, CompletionBody, parse
from kb.llm.local.responses import Json, error_body, status_of
from kb.llm.local.sequences import Event, Failed
from kb.llm.local.service import Service
from kb.llm.local.state import State

log = logging.getLogger(__name__)

BODY_LIMIT = 8 << 20  # bytes
SOCKET_S = 30.0  # longest wait for a client to send or to take something
POLL_S = 0.2  # between looks whether the client is still there
SILENCE_S = 1.0  # after so long without a token, a stream says which place it has


class Gone(Exception):
    """The client has closed its connection."""


class ModelServer(ThreadingHTTPServer):
    """What a connection needs of the server it belongs to."""

    state: State
    connections: int


class Handler(BaseHTTPRequestHandler):
    """Speaks HTTP/1.1 with connections kept alive."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "kb-model", ""
    timeout = SOCKET_S
    disable_nagle_algorithm = True
    server: ModelServer

    def do_GET(self) -> None:
        """/v1/models, /livez, /metrics."""
        routes: dict[str, Callable[[], None]] = {
            "/livez": self._livez,
            "/metrics": self._metrics,
            "/v1/models": self._models,
        }
        self._answer(routes)

    def do_POST(self) -> None:
        """/v1/chat/completions, /v1/completions."""
        self._answer(
            {"/v1/chat/completions": self._chat, "/v1/completions": self._complete},
        )

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: what people ask does not belong in a log, and /metrics counts."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library refuses (malformed or oversized requests), in OpenAI's shape."""
        self.close_connection = True
        text = message or "The request cannot be read."
        self._send(
            code, {"error": {"message": text, "type": "invalid_request_error", "param": None, "code": None}}
        )

    def _answer(self, routes: dict[str, Callable[[], None]]) -> None:
        self._begun = self._framed = False
        try:
            route = routes.get(self.path.split("?", 1)[0])
            if route is None:
                if self.command == "POST":
                    self._body()  # or it would be taken for the next request
                raise NotFound(f"There is no {self.command} {self.path.split('?', 1)[0]} here.")
            route()
        except KbError as error:
            self._refuse(error)
        except (Gone, ConnectionError, TimeoutError):
            self.close_connection = True
        except MemoryError:
            self._refuse(no_memory())
        except Exception:
            log.exception("a request failed")
            self._refuse(KbError("The model server failed at this request; its log says why."))

    def _livez(self) -> None:
        ready = self.server.state.service is not None
        self._send(200, {"status": "ready" if ready else "loading"})

    def _metrics(self) -> None:
        text = self.server.state.metrics(self.server.connections)
        self._send(200, text.encode(), "text/plain; version=0.0.4; charset=utf-8")

    def _models(self) -> None:
        service = self.server.state.require()
        model = {
            "id": service.name,
            "object": "model",
            "created": self.server.state.since,
            "owned_by": "kb",
            "max_model_len": service.context,
        }
        self._send(200, {"object": "list", "data": [model]})

    def _chat(self) -> None:
        body = self._body()
        service = self.server.state.require()
        self._run(service, Completion(service, parse(ChatBody, body)))

    def _complete(self) -> None:
        body = self._body()
        service = self.server.state.require()
        self._run(service, Completion(service, parse(CompletionBody, body)))

    def _run(self, service: Service, completion: Completion) -> None:
        scheduler = service.scheduler
        scheduler.submit(completion.sequences)
        try:
            if completion.body.stream:
                self._stream(completion)
            else:
                for found in self._events(completion):
                    for index, event in found:
                        completion.add(index, _checked(event))
                self._send(200, completion.whole())
        finally:
            for sequence in completion.sequences:
                if not sequence.over:
                    scheduler.cancel(sequence)

    def _stream(self, completion: Completion) -> None:
        """Server-sent events. The status waits for the first token, so that a refusal can still be one."""
        silent_since = time.monotonic()
        for found in self._events(completion):
            if not found:
                if time.monotonic() - silent_since >= SILENCE_S:
                    silent_since = time.monotonic()
                    self._begin(completion)
                    place = max(sequence.place for sequence in completion.sequences)
                    self._chunk(f": {f'place {place} in the queue' if place else 'working'}\n\n".encode())
                continue
            for _, event in found:
                _checked(event)
            self._begin(completion)
            silent_since = time.monotonic()
            out = [chunk for index, event in found for chunk in completion.chunks(index, _checked(event))]
            if out:
                self._chunk(_sse(out))
        self._chunk(_sse(completion.closing()) + b"data: [DONE]\n\n")
        self._finish()

    def _events(self, completion: Completion) -> Iterator[list[tuple[int, Event]]]:
        """What has come since the last look, or nothing; ends when every text has ended. Gone if the client has."""
        left = len(completion.sequences)
        looked = time.monotonic()
        while left:
            found: list[tuple[int, Event]] = []
            try:
                found.append(completion.events.get(timeout=POLL_S))
                while True:
                    found.append(completion.events.get_nowait())
            except queue.Empty:
                pass
            if time.monotonic() - looked >= POLL_S:
                looked = time.monotonic()
                self._look()
            left -= sum(1 for _, event in found if hasattr(event, "reason") or isinstance(event, Failed))
            yield found

    def _look(self) -> None:
        """Gone when the client has closed its side."""
        watch = select.poll()
        watch.register(self.connection, select.POLLIN)
        if watch.poll(0) and not self.connection.recv(1, socket.MSG_PEEK):
            raise Gone

    def _body(self) -> bytes:
        """The request's body. Checked before the model is asked for: a refused body must still be read or cut."""
        # both at once is how one request is hidden in another's body
        chunked = "Transfer-Encoding" in self.headers
        length = "" if chunked else self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self.close_connection = True
            raise Invalid("Send the body with a Content-Length.", slug="length-required")
        # the interpreter refuses to read numbers of thousands of digits
        if len(length) > 12 or (size := int(length)) > BODY_LIMIT:
            self.close_connection = True
            raise TooLarge(f"The body has {length[:20]} bytes; at most {BODY_LIMIT} are read.")
        raw = self.rfile.read(size)
        if len(raw) < size:
            raise Gone
        # A page in a browser may send text/plain anywhere without asking; JSON it may not.
        if self.headers.get_content_type() != "application/json":
            raise UnsupportedType("Send Content-Type: application/json.")
        return raw

    def _begin(self, completion: Completion) -> None:
        if self._begun:
            return
        self._begun = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Cache-Control", "no-store")
        self._framed = (
            self.request_version != "HTTP/1.0"
        )  # proxies speak 1.0: there the end of the connection ends it
        if self._framed:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.close_connection = True
        self.end_headers()
        self._chunk(_sse(completion.opening()))

    def _chunk(self, data: bytes) -> None:
        """A part of a stream."""
        if data:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if self._framed else data)

    def _finish(self) -> None:
        """The end of a stream."""
        if self._framed:
            self.wfile.write(b"0\r\n\r\n")

    def _refuse(self, error: KbError) -> None:
        try:
            if self._begun:
                self._chunk(_sse([error_body(error)]))
                self._finish()
                self.close_connection = True
            else:
                self._send(status_of(error), error_body(error), retry_after=error.retry_after)
        except OSError:
            self.close_connection = True

    def _send(
        self, status: int, body: Json | bytes, kind: str = "application/json", retry_after: int | None = None
    ) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        if retry_after is not None:
            self.send_header("Retry-After", str(retry_after))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _checked(event: Event):  # type: ignore[no-untyped-def]
    """The event, unless it is a failure: then its error."""
    if isinstance(event, Failed):
        raise event.error
    return event


def _sse(objects: Iterable[Json]) -> bytes:
    return b"".join(b"data: " + json.dumps(part).encode() + b"\n\n" for part in objects)
