"""One text being generated: its tokens, its pages, how far it has come, and what its reader is told."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from dataclasses import dataclass, field

import numpy as np

from kb.errors import KbError
from kb.llm.local.prefix import ROOT, Key, page_key, page_keys
from kb.llm.local.sampling import Chosen, Sampler, SamplingParams
from kb.llm.local.types import PAGE, Batch, Segment
from kb.llm.local.writer import Delta, Writer

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Request:
    """What to generate. save: leading tokens (a system prompt) worth keeping on disk."""

    prompt: list[int]
    params: SamplingParams
    max_tokens: int
    stop_ids: frozenset[int]
    save: int = 0


@dataclass(frozen=True)
class Finished:
    """The last event of a text that came to its end. reason: stop | length."""

    reason: str
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    reused_tokens: int  # of the prompt, found in the cache


@dataclass(frozen=True)
class Failed:
    """The last event of a text that did not."""

    error: KbError


Event = Delta | Finished | Failed
Events = queue.SimpleQueue[tuple[int, Event]]


@dataclass(eq=False)
class Sequence:
    """A request on its way. The scheduler's thread owns everything but `events`, `cancel` and `place`."""

    request: Request
    writer: Writer
    index: int = 0  # among the texts of one call
    events: Events = field(default_factory=queue.SimpleQueue)  # of all texts of one call
    cancelled: threading.Event = field(default_factory=threading.Event)
    number: int = field(default_factory=lambda: next(_numbers))
    asked_at: float = field(default_factory=time.monotonic)
    place: int = 0  # in the queue, from 1; 0: running
    tokens: list[int] = field(default_factory=list)  # prompt and what was generated
    pages: list[int] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)  # of the full pages of `tokens`
    computed: int = 0  # tokens whose keys and values are in the pages
    published: int = 0  # full pages that others can find
    reused: int | None = None  # tokens of the prompt found in the cache, once admitted
    drawn: Chosen | None = None  # by the present step, not told yet
    first_token_at: float | None = None
    over: bool = False

    def __post_init__(self) -> None:
        self.tokens = list(self.request.prompt)
        self.keys = page_keys(self.tokens)
        self.sampler = Sampler(self.request.params, self.request.prompt)

    @property
    def generated(self) -> int:
        """Tokens generated so far."""
        return len(self.tokens) - len(self.request.prompt)

    @property
    def decoding(self) -> bool:
        """Only the last token remains to be computed."""
        return self.computed == len(self.tokens) - 1 and self.generated > 0

    def append(self, chosen: Chosen) -> None:
        """A token was drawn: tell the reader."""
        self.tokens.append(chosen.token)
        if len(self.tokens) % PAGE == 0:
            before = self.keys[-1] if self.keys else ROOT
            self.keys.append(page_key(before, self.tokens[-PAGE:]))

    def tell(self, event: Event) -> None:
        """Pass an event on; an empty piece of text is none."""
        if event != Delta():
            self.events.put((self.index, event))


def as_batch(parts: list[tuple[Sequence, int]]) -> tuple[Batch, list[int]]:
    """A step's batch of (sequence, tokens to compute), and which of them have no token left after it: they draw one."""
    segments = [
        Segment(size, sequence.computed, np.array(sequence.pages, np.int32)) for sequence, size in parts
    ]
    ends = np.cumsum([size for _, size in parts]) - 1
    drawing = [
        number
        for number, (sequence, size) in enumerate(parts)
        if sequence.computed + size == len(sequence.tokens)
    ]
    tokens = np.concatenate(
        [np.array(s.tokens[s.computed : s.computed + size], np.int32) for s, size in parts]
    )
    return Batch(tokens, segments, ends[drawing].astype(np.int32)), drawing
