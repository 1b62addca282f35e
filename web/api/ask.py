"""Questions: answers, as JSON or as a stream, and bare passages."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import structlog
from flask import Response, g, request

from kb.errors import Unavailable
from kb.types import Answer, Event, Filters, Question
from web import auth
from web.endpoints import Reply, endpoint, reply
from web.idempotency import Claim, Recall, claim
from web.problems import Gone, known, problem
from web.render import answer_html, languages
from web.responses import AnswerOut, PassagesOut, answer_json, browser, citation_json, passage_json
from web.schemas import AskIn, SearchIn
from web.sse import answering, encode, reader_present, stream

if TYPE_CHECKING:
    from kb.app import Kb
    from kb.types import Principal

log = structlog.get_logger("kb.web")


def _kept(body: str) -> str | None:
    """Where to find the answer again: its id. None when it could not be saved."""
    answer = json.loads(body)
    if not answer["conversation_id"]:
        return None
    return json.dumps({"answer": answer["id"], "timings_ms": answer["timings_ms"]})


def _kept_again(kb: Kb, principal: Principal, kept: str) -> str:
    """The answer as it may be shown to this caller now. NotFound when its conversation was deleted."""
    found = json.loads(kept)
    answer = replace(kb.conversations.get(principal, found["answer"]), timings_ms=found["timings_ms"])
    return json.dumps(answer_json(answer, principal), ensure_ascii=False)


@endpoint(
    "POST",
    "/ask",
    scope="ask",
    tag="Questions",
    body=AskIn,
    recall=Recall(_kept, _kept_again),
    replies={200: Reply(AnswerOut, "The answer; with `Accept: text/event-stream` a stream of events.")},
)
def ask(kb: Kb, principal: Principal, *, body: AskIn) -> Response:
    """Answer a question from the documents, with citations."""
    question = Question(
        text=body.question,
        collections=tuple(body.collections) if body.collections is not None else None,
        filters=body.filters.filters() if body.filters else Filters(),
        conversation_id=body.conversation_id,
        ticket_id=body.ticket_id,
        audience=body.audience or "internal",
        language=body.language,
        deadline_ms=body.deadline_ms,
    )
    events = answering(kb, principal, question, reader_present(), auth.again())
    first = next(events, None)  # a question refused at once is a plain error, not a stream
    if first is not None and first.kind == "error":
        raise first.data
    if request.accept_mimetypes.best_match(("application/json", "text/event-stream")) == "text/event-stream":
        told = _Told(principal, claim(), g.request_id, browser())
        return stream(_pieces(_before(first, events), told))
    return reply(answer_json(_last(_before(first, events)), principal))


@endpoint(
    "POST",
    "/search",
    scope="search",
    tag="Questions",
    body=SearchIn,
    recall=Recall(lambda body: "", lambda kb, principal, kept: None),  # searching again changes nothing
    replies={200: Reply(PassagesOut, "The best passages, best first.")},
)
def search(kb: Kb, principal: Principal, *, body: SearchIn) -> Response:
    """Find passages for a question, without an answer."""
    started = time.perf_counter()
    found = kb.retriever.retrieve(
        principal,
        body.question,
        collections=tuple(body.collections) if body.collections is not None else None,
        filters=body.filters.filters() if body.filters else Filters(),
        limit=body.limit or 10,
        audience="public" if body.audience == "public" else None,
    )
    timings = {**found.timings_ms, "total": round((time.perf_counter() - started) * 1000, 2)}
    return reply({"passages": [passage_json(p, principal) for p in found.passages], "timings_ms": timings})


def _before(first: Event | None, rest: Iterator[Event | None]) -> Iterator[Event | None]:
    yield first
    yield from rest


def _last(events: Iterator[Event | None]) -> Answer:
    for event in events:
        if event is not None and event.kind == "done":
            answer: Answer = event.data
            return answer
        if event is not None and event.kind == "error":
            raise event.data
    raise Unavailable("The answer ended too early. Please ask again.")


@dataclass(frozen=True)
class _Told:
    """What of the request its stream still needs when the request's context is gone."""

    principal: Principal
    claim: Claim | None
    request_id: str
    browser: bool


def _pieces(events: Iterator[Event | None], told: _Told) -> Iterator[str]:
    """The stream's text. Its last event is always `done` or `error`, unless the reader left."""
    ended = False

    def failed(error: Exception) -> str:
        found = known(error)
        if found.slug in ("internal", "disk-full"):  # what the reader is not told
            log.error("answer failed", request_id=told.request_id, exc_info=error)
        return encode("error", problem(found, told.request_id))

    try:
        for event in events:
            if event is None:
                yield ": still here\n\n"
                continue
            if event.kind == "error":
                ended = True
                yield failed(event.data)
                return
            shown = _shown(event, told.principal)
            if event.kind == "done":
                ended = True
                if told.claim is not None:
                    told.claim.settle(200, json.dumps(shown, ensure_ascii=False))
                if told.browser:
                    shown |= {"html": answer_html(event.data), "languages": languages(event.data)}
            yield encode(event.kind, shown)
            if ended:
                return
        yield failed(Unavailable("The answer ended too early. Please ask again."))
    except Gone:
        return
    except Exception as error:
        if not ended:
            yield failed(error)
    finally:
        if told.claim is not None:
            told.claim.release()  # does nothing once settled


def _shown(event: Event, principal: Principal) -> dict[str, Any]:
    if event.kind == "done":
        return answer_json(event.data, principal)
    if event.kind == "sources":
        return {"passages": [passage_json(p, principal) for p in event.data["passages"]]}
    if event.kind == "citations":
        return {"citations": [citation_json(citation) for citation in event.data["citations"]]}
    return dict(event.data)
