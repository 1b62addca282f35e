"""The generating step: a place at the model, a prompt, tokens out, and a clear account of how it ended."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from kb.answer import guard, prompts
from kb.answer.messages import Language, named, say
from kb.errors import Busy, Unavailable
from kb.llm.queue import Queue
from kb.llm.wire import Cancelled
from kb.ports import Cancel, ChatModel
from kb.types import Event, Passage, Turn

LEAST_S = 0.5  # with less time than this a model is not asked at all
RESERVE_S = 0.15  # kept back for citations and saving
POLL_S = 0.1
OPENING = 60  # characters in which NOT_FOUND counts; further on it is a word of the answer


@dataclass(frozen=True)
class Request:
    """What to generate from. key: whose turn it is in the queue. deadline: time.monotonic() seconds."""

    question: str
    passages: Sequence[Passage]
    history: Sequence[Turn]
    language: Language
    wanted: str | None  # a language the asker named
    key: str
    budget: int  # tokens of passages and history
    deadline: float
    cancel: Cancel | None
    hurry: Cancel | None = None  # no time is left for a model: the caller says what it can without one


@dataclass
class Generated:
    """How it ended. text None: use another tier, and say `notice`. streamed: tokens went out already."""

    text: str | None = None
    not_found: bool = False
    notice: str = "quoted-down"
    streamed: bool = False
    shown: tuple[Passage, ...] = ()
    queue_ms: float = 0.0
    first_token_ms: float = 0.0


def generate(model: ChatModel, queue: Queue, request: Request, outcome: Generated) -> Iterator[Event]:
    """status and token events; fills `outcome`. Raises Cancelled only."""
    if not model.available():
        return
    if request.deadline - RESERVE_S - time.monotonic() < LEAST_S or _set(request.hurry):
        outcome.notice = "quoted-late"
        return
    try:
        ticket = queue.enter(request.key)
    except Busy:
        outcome.notice = "quoted-busy"
        return
    began = time.monotonic()
    with ticket:
        # Half of what is left may go to waiting, so that the other half is there for writing.
        patience = began + (request.deadline - began) / 2
        told = 0
        while not ticket.wait(POLL_S):
            if _set(request.cancel):
                raise Cancelled("The question was withdrawn.")
            position = ticket.position
            if position and position != told:
                told = position
                message = say("waiting", request.language, position=position)
                yield Event("status", {"message": message, "position": position})
            if time.monotonic() >= patience or _set(request.hurry):
                outcome.notice = "quoted-busy"
                return
        outcome.queue_ms = round((time.monotonic() - began) * 1000, 2)
        yield Event("status", {"message": say("writing", request.language)})
        yield from _write(model, request, outcome)


def _write(model: ChatModel, request: Request, outcome: Generated) -> Iterator[Event]:
    prompt = prompts.build(
        request.question,
        request.passages,
        request.history,
        budget=request.budget,
        language=request.wanted or named(request.language),
    )
    outcome.shown = prompt.shown
    sources = "\n".join(passage.text for passage in prompt.shown)
    stream = guard.OutputStream(sources)
    whole = held = ""  # held: the beginning, while it may still turn out to be NOT_FOUND
    began = time.monotonic()
    deadline = request.deadline - RESERVE_S
    try:
        with closing(model.stream(prompt.messages, deadline=deadline, cancel=_Stop(request))) as pieces:
            for piece in pieces:
                if not whole:
                    outcome.first_token_ms = round((time.monotonic() - began) * 1000, 2)
                whole += piece
                held += piece
                if _may_be_not_found(whole):
                    continue
                if text := stream.feed(held):
                    outcome.streamed = True
                    yield Event("token", {"text": text})
                held = ""
    except Cancelled:
        if _set(request.cancel):
            raise
        outcome.notice = "quoted-broken" if outcome.streamed else "quoted-late"
        return
    except Unavailable as problem:
        late = problem.slug == "model-late"
        outcome.notice = "quoted-broken" if outcome.streamed else "quoted-late" if late else "quoted-down"
        return
    bare = guard.output(whole, sources).strip()
    if prompts.NOT_FOUND in bare[:OPENING] or not bare or prompts.mark_leaked(bare, prompt.mark):
        outcome.not_found = prompts.NOT_FOUND in bare
        outcome.notice = "quoted-broken"
        return
    if text := stream.feed(held) + stream.close():
        outcome.streamed = True
        yield Event("token", {"text": text})
    outcome.text = bare


def _may_be_not_found(begun: str) -> bool:
    """Whether a text that begins so is, or may become, the model's word that the passages hold no answer."""
    said = begun.strip(" `*\"'.[]\n")
    return prompts.NOT_FOUND in begun[:OPENING] or (
        len(begun) <= 40 and prompts.NOT_FOUND.startswith(said[: len(prompts.NOT_FOUND)])
    )


@dataclass(frozen=True)
class _Stop:
    """Why the model may have to stop: nobody waits any more, or nobody can wait for it any more."""

    request: Request

    def is_set(self) -> bool:
        return _set(self.request.cancel) or _set(self.request.hurry)


def _set(flag: Cancel | None) -> bool:
    return flag is not None and flag.is_set()
