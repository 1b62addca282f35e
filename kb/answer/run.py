"""One question on its way, and an answer before it is finished."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from kb.answer.messages import Language
from kb.llm.wire import Cancelled
from kb.ports import Cancel
from kb.types import Citation, Passage, Principal, Question, Support, Tier, Turn


@dataclass
class Run:
    """One question on its way: what is known so far, and the clocks."""

    principal: Principal
    asked: Question
    cancel: Cancel | None
    began: float
    deadline: float
    text: str = ""
    standalone: str = ""
    language: Language = "en"
    history: tuple[Turn, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)
    slips: dict[str, str] = field(default_factory=dict)  # words that were read as other ones
    hurry: Cancel | None = None

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step, in milliseconds; done twice, both count."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = (time.perf_counter() - start) * 1000
            self.timings[name] = round(self.timings.get(name, 0.0) + spent, 2)

    def stop_if_cancelled(self) -> None:
        """Raises Cancelled when nobody waits any more."""
        if self.cancel is not None and self.cancel.is_set():
            raise Cancelled("The question was withdrawn.")


@dataclass(frozen=True)
class Draft:
    """An answer before it has an id and a place in a conversation."""

    text: str
    tier: Tier
    answerable: bool
    support: Support
    citations: tuple[Citation, ...] = ()
    passages: tuple[Passage, ...] = ()
    model: str | None = None
    notice: str | None = None
    confidence: float = 0.0
