"""A chat model behind any OpenAI-compatible server: vLLM, llama-server, `transformers serve`, Ollama, ours.

Why not `langchain_openai.ChatOpenAI`: it was the plan, but its client (openai over httpx) times each read by
itself, so a slow drip outlives every limit; a blocked read cannot be woken by a cancel flag; a line of any
size is buffered; proxies are taken from the environment; a stream that breaks off without `finish_reason`
looks complete; and it retries by itself. The request needed here is one POST, so it is made over httpcore
with our own clocks (`kb.llm.wire`), and every one of those limits holds and is tested.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import httpcore

from kb.errors import Unavailable
from kb.llm.breaker import Breaker
from kb.llm.harmony import FinalChannel
from kb.llm.repetition import loops
from kb.llm.sse import DONE, chunks
from kb.llm.wire import Cancelled, Watch, connection
from kb.ports import Cancel
from kb.settings import Settings

log = logging.getLogger(__name__)

BODY_LIMIT = 1024 * 1024
CHARS_PER_TOKEN = 16  # no tokenizer packs more; a server that ignores max_tokens is cut here
LOOK_S = 2.0
CHECK_EVERY = 48  # characters between looks for repetition
NOT_DOWN = frozenset({400, 413, 422})  # this request is wrong, the server is well
HIDDEN_FIELDS = ("reasoning_content", "reasoning", "thinking")
UNWANTED = dict.fromkeys((*range(9), 11, 12, *range(14, 32), *range(127, 160), *range(55296, 57344)))


class Refused(Unavailable):
    """The server answered with an error status."""

    def __init__(self, status: int, said: str = "") -> None:
        hint = {
            401: "; check KB_LLM_KEY",
            403: "; check KB_LLM_KEY",
            404: "; check KB_LLM_URL and KB_LLM_MODEL",
        }
        super().__init__(
            f"The language model server answered {status}{hint.get(status, '')}.", slug="model-refused"
        )
        self.code = status
        self.said = said  # the server's own words


class OpenAIChat:
    """Streams the final channel of one chat completion at a time; safe to share between threads."""

    def __init__(self, settings: Settings, breaker: Breaker | None = None) -> None:
        url = httpcore.URL(settings.llm_url.rstrip("/"))
        self._settings = settings
        self._base = url
        self._name = settings.llm_model
        self._plain = False  # the server refused the fields beyond the OpenAI standard
        self.breaker = breaker or Breaker()

    @property
    def name(self) -> str:
        """The model's name, empty until the server was first asked for it."""
        return self._name

    def available(self) -> bool:
        """False while the breaker is open; never touches the network."""
        return self.breaker.available()

    def look(self, seconds: float = LOOK_S) -> str:
        """Why the server would not answer now, in words for an administrator; empty when it would.

        Asks /models, for so many seconds at most. The breaker neither hears of it nor is asked.
        """
        patience = {"connect_s": seconds, "first_token_s": seconds, "stall_s": seconds}
        watch = Watch(deadline=time.monotonic() + seconds, cancel=None, **patience)
        try:
            name = self._first_model(watch)
        except Refused as refused:
            return refused.said if refused.code == 503 and refused.said else refused.detail
        except Unavailable as problem:
            return problem.detail
        self._name = self._name or name
        return ""

    def stream(
        self, messages: Sequence[dict[str, str]], *, deadline: float, cancel: Cancel | None = None
    ) -> Generator[str]:
        """Pieces of the answer. deadline: time.monotonic() seconds. Closing it closes the socket.

        Raises Unavailable (slug says which way it failed) and Cancelled.
        """
        if not self.breaker.allow():
            raise Unavailable("The language model is resting after repeated failures.", slug="model-down")
        started = time.monotonic()
        verdict = self.breaker.release
        try:
            yield from self._answer(messages, deadline, cancel)
            verdict = self.breaker.success
        except Cancelled:
            raise
        except Unavailable as problem:
            impatient = time.monotonic() >= deadline and deadline - started < 5.0
            if not impatient and getattr(problem, "code", None) not in NOT_DOWN:
                verdict = self.breaker.failure
            log.warning("language model failed: %s", problem.detail)
            raise
        finally:
            verdict()

    def _answer(
        self, messages: Sequence[dict[str, str]], deadline: float, cancel: Cancel | None
    ) -> Iterator[str]:
        settings = self._settings
        watch = Watch(
            connect_s=settings.llm_connect_s,
            first_token_s=settings.llm_first_token_s,
            stall_s=settings.llm_stall_s,
            deadline=min(deadline, time.monotonic() + settings.llm_total_s),
            cancel=cancel,
        )
        if not self._name:
            self._name = self._first_model(watch)
        try:
            yield from self._request(self._payload(messages), watch)
        except Refused as refused:
            if refused.code not in (400, 422) or self._plain:
                if not settings.llm_model:
                    self._name = ""  # another model may be served by now
                raise
            # Refused before any text: once more with standard fields only (Ollama and others are strict).
            self._plain = True
            try:
                yield from self._request(self._payload(messages), watch)
            except Refused:
                self._plain = False  # so that was not the reason
                raise

    def _payload(self, messages: Sequence[dict[str, str]]) -> dict[str, Any]:
        settings = self._settings
        payload: dict[str, Any] = {
            "model": self._name,
            "messages": list(messages),
            "stream": True,
            "max_tokens": settings.llm_max_new_tokens,
            "temperature": settings.llm_temperature,
            "top_p": settings.llm_top_p,
        }
        if not self._plain:
            payload["repetition_penalty"] = settings.llm_repetition_penalty
            if settings.llm_reasoning_effort:
                payload["reasoning_effort"] = settings.llm_reasoning_effort
        return payload

    def _headers(self) -> list[tuple[str, str]]:
        headers = [
            ("Content-Type", "application/json"),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
        ]
        if self._settings.llm_key:
            headers.append(("Authorization", f"Bearer {self._settings.llm_key}"))
        return headers

    def _url(self, path: str) -> httpcore.URL:
        base = self._base
        return httpcore.URL(
            scheme=base.scheme,
            host=base.host,
            port=base.port,
            target=base.target.rstrip(b"/") + path.encode(),
        )

    def _request(self, payload: dict[str, Any], watch: Watch) -> Iterator[str]:
        body = json.dumps(payload).encode()
        try:
            with (
                connection(watch, tls=self._base.scheme == b"https") as pool,
                pool.stream(
                    "POST", self._url("/chat/completions"), headers=self._headers(), content=body
                ) as response,
            ):
                if response.status != 200:
                    log.warning("language model status %s: %r", response.status, _head(response))
                    raise Refused(response.status)
                yield from self._read(response, watch)
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as problem:
            raise self._down(problem) from problem

    def _read(self, response: httpcore.Response, watch: Watch) -> Iterator[str]:
        final = FinalChannel()
        generated = ""
        checked = 0
        finished = False
        limit = self._settings.llm_max_new_tokens * CHARS_PER_TOKEN
        for chunk in chunks(response.iter_stream()):
            if chunk is DONE:
                finished = True
                break
            content, hidden, reason = _delta(chunk)
            if content or hidden:
                watch.progress()
                generated += hidden + content
            if content and (shown := final.feed(content).translate(UNWANTED)):
                yield shown
            if reason == "content_filter":
                raise Unavailable("The language model refused to finish its answer.", slug="model-refused")
            finished = finished or bool(reason)
            if len(generated) - checked >= CHECK_EVERY:
                checked = len(generated)
                if loops(generated):
                    raise Unavailable("The language model repeats itself without end.", slug="model-loop")
            if len(generated) > limit:
                raise Unavailable(
                    "The language model did not stop where it was told to.", slug="model-garbage"
                )
        if not finished:
            raise Unavailable("The language model broke off in the middle of its answer.", slug="model-cut")
        if rest := final.close().translate(UNWANTED):
            yield rest
        if not final.seen:
            raise Unavailable("The language model gave no answer.", slug="model-empty")

    def _down(self, problem: Exception) -> Unavailable:
        where = self._base.host.decode() + (f":{self._base.port}" if self._base.port else "")
        why = re.sub(r"^\[Errno -?\d+\] ", "", str(problem)) or type(problem).__name__
        return Unavailable(
            f"The language model at {where} (KB_LLM_URL) does not answer: {why}. Is it running?",
            slug="model-down",
        )

    def _first_model(self, watch: Watch) -> str:
        """The first name of /models. Raises Unavailable naming KB_LLM_MODEL as the way out."""
        try:
            with (
                connection(watch, tls=self._base.scheme == b"https") as pool,
                pool.stream("GET", self._url("/models"), headers=self._headers()) as response,
            ):
                if response.status != 200:
                    raise Refused(response.status, _words(_head(response, BODY_LIMIT)))
                listed = json.loads(_head(response, BODY_LIMIT))
            name = listed["data"][0]["id"]
            if isinstance(name, str) and name:
                return name
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as problem:
            raise self._down(problem) from problem
        except (ValueError, LookupError, TypeError, RecursionError) as problem:
            raise Unavailable("The language model server lists no model; set KB_LLM_MODEL.") from problem
        raise Unavailable("The language model server lists no model; set KB_LLM_MODEL.")


def _head(response: httpcore.Response, limit: int = 300) -> bytes:
    """At most so many bytes of a body."""
    found = b""
    for piece in response.iter_stream():
        found += piece
        if len(found) >= limit:
            break
    return found[:limit]


def _words(body: bytes, longest: int = 300) -> str:
    """What an error in OpenAI's form says, on one line."""
    try:
        words = json.loads(body)["error"]["message"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return " ".join(words.split())[:longest] if isinstance(words, str) else ""


def _delta(chunk: dict[str, Any]) -> tuple[str, str, str | None]:
    """(content, hidden reasoning, finish reason) of a chunk. Raises Unavailable when it is misshapen."""
    try:
        choices = chunk.get("choices") or []
        if not choices:  # usage or keep-alive
            return "", "", None
        delta = choices[0].get("delta") or {}
        content = delta.get("content") or ""
        hidden = "".join(value for field in HIDDEN_FIELDS if isinstance(value := delta.get(field), str))
        reason = choices[0].get("finish_reason")
        if not isinstance(content, str):
            raise TypeError
        return content, hidden, reason if isinstance(reason, str) else None
    except (AttributeError, TypeError, KeyError, IndexError) as problem:
        raise Unavailable("The language model sent something misshapen.", slug="model-garbage") from problem
