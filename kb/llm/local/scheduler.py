"""One thread that drives the model: requests join and leave between tokens.

Each step takes one token of every text being written and, within a budget, the next part of prompts being read,
so that a long prompt slows the others but never stops them. Pages run out: idle ones are taken first, then the
newest request gives its own back and starts over later. Every sequence ends in exactly one Finished or Failed.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time

import numpy as np
from numpy.typing import NDArray

from kb.errors import Busy, Invalid, KbError
from kb.llm.local.admission import Waiting, stopping
from kb.llm.local.budget import StepBudget
from kb.llm.local.counters import Counters
from kb.llm.local.errors import ModelError, OutOfPages, no_memory
from kb.llm.local.holdings import Holdings, Keeper
from kb.llm.local.limits import Limits
from kb.llm.local.memory_pressure import Relief
from kb.llm.local.prefix import PagePool
from kb.llm.local.sequences import Failed, Finished, Sequence, as_batch
from kb.llm.local.types import PAGE, Batch, Engine

log = logging.getLogger(__name__)

_LONGEST_STEP_S = 30.0
_IDLE_LOOK_S = 2.0  # between looks at the machine's memory while nobody asks
_STEP_BYTES = 256_000_000  # given back when a step has no room; 512 tokens of a prompt work in about so much
_CANCELLED = Busy("Cancelled.", slug="cancelled")


class Scheduler:
    """Drives one engine. `submit`, `cancel` and `close` may be called from any thread."""

    def __init__(
        self,
        engine: Engine,
        limits: Limits,
        pool: PagePool,
        keeper: Keeper | None = None,
        memory: Relief | None = None,
    ) -> None:
        self.counters = Counters()
        self.pool = pool
        self.context = min(limits.context, engine.max_position, pool.size * PAGE)
        self._engine, self._limits, self._memory = engine, limits, memory
        self._holdings = Holdings(pool, self.counters, keeper)
        self._budget = StepBudget(limits.chunk, limits.mixed_chunk, limits.mixed_s)
        self._most_running = limits.running  # fewer once memory has run out
        self._waiting = Waiting(limits.queue, limits.queue_s)
        self._running: list[Sequence] = []  # the thread's own, oldest first
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Sequences in the queue."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Sequences being read or written."""
        return len(self._running)

    def check_fits(self, length: int) -> None:
        """Invalid for a prompt of so many tokens that no answer has room beside it."""
        if length >= self.context:
            raise Invalid(
                f"This prompt has {length} tokens; together with an answer at most {self.context} fit."
                " Shorten it, or raise KB_MODEL_CONTEXT and KB_MODEL_KV_RAM.",
                slug="context_length_exceeded",
            )

    def submit(self, sequences: list[Sequence]) -> None:
        """Queue sequences, all or none. Invalid when a prompt is too long, OutOfPages when the queue is full."""
        for sequence in sequences:
            self.check_fits(len(sequence.request.prompt))
        try:
            self._waiting.put(sequences)
        except OutOfPages:
            self.counters.finished["rejected"] += len(sequences)
            raise

    def cancel(self, sequence: Sequence) -> None:
        """Nobody reads this any more: its pages are free after the step in hand."""
        sequence.cancelled.set()

    def close(self, grace: float = 0.0) -> bool:
        """Refuse what comes, turn away who waits, let running texts end for `grace` seconds, then cut them.

        False when the model is still busy with a step half a minute later: then its memory must stay.
        """
        with self._waiting.changed:
            self._waiting.closing = True
        deadline = time.monotonic() + grace
        while self._running and time.monotonic() < deadline:
            time.sleep(0.02)
        with self._waiting.changed:
            self._closed = True
            self._waiting.changed.notify_all()
        self._thread.join(_LONGEST_STEP_S)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._closed:
            try:
                self._turn()
            except MemoryError:
                with contextlib.suppress(
                    MemoryError
                ):  # whoever cannot even be told now is told at the next turn
                    self._fail_all(no_memory())
            except Exception as error:  # a mistake here must not leave readers waiting for ever
                log.exception("the scheduler failed")
                self._fail_all(ModelError(f"The model server failed: {error}"))
        self._waiting.closing = True
        self._fail_all(stopping())

    def _turn(self) -> None:
        with self._waiting.changed:
            if not (len(self._waiting) or self._running or self._closed):
                self._waiting.changed.wait(_IDLE_LOOK_S if self._memory else None)
        if self._memory is not None:
            self._memory.look()
        self._leave()
        self._admit()
        self._step()

    def _step(self) -> None:
        """One forward over everybody who can go on, and a token for each whose prompt is read."""
        parts = self._parts()
        if not parts:
            return
        batch, drawing = as_batch(parts)
        began = time.monotonic()
        try:
            logits = self._forward(batch)
        except Exception as error:
            self._forward_failed([sequence for sequence, _ in parts], error)
            return
        took = time.monotonic() - began
        read = sum(size for sequence, size in parts if not sequence.decoding)
        self._budget.measured(read, took)
        self.counters.steps += 1
        self.counters.step_seconds += took
        self.counters.computed_tokens += read
        for sequence, size in parts:
            sequence.computed += size
        for row, number in enumerate(drawing):
            self._draw(parts[number][0], logits[row])
        for sequence, _ in parts:
            self._holdings.publish(sequence)
        for number in drawing:
            self._tell(parts[number][0])

    def _forward(self, batch: Batch) -> NDArray[np.float32]:
        """The model's step; once more with memory given back when it ran out. It then writes the same pages anew."""
        try:
            return self._engine.forward(batch)
        except MemoryError:
            if self._memory is None or not self._memory.give(_STEP_BYTES):
                raise
            return self._engine.forward(batch)

    def _parts(self) -> list[tuple[Sequence, int]]:
        """Who takes part in the next step with how many tokens: writers first, then readers within the budget."""
        parts: list[tuple[Sequence, int]] = []
        taking: set[int] = set()
        for sequence in [sequence for sequence in self._running if sequence.decoding]:
            if sequence in self._running and self._make_room(sequence, sequence.computed + 1, taking):
                parts.append((sequence, 1))
                taking.add(sequence.number)
        left = self._budget.tokens(len(parts))
        for sequence in [sequence for sequence in self._running if sequence.number not in taking]:
            if left <= 0:
                break
            if sequence not in self._running or sequence.decoding:
                continue
            self._holdings.adopt(sequence)
            size = min(left, len(sequence.tokens) - sequence.computed)
            if self._make_room(sequence, sequence.computed + size, taking):
                parts.append((sequence, size))
                taking.add(sequence.number)
                left -= size
        return parts

    def _make_room(self, sequence: Sequence, upto: int, taking: set[int]) -> bool:
        """Pages for the first `upto` tokens, at the cost of newer sequences; False if it has to wait itself."""
        while len(sequence.pages) * PAGE < upto:
            try:
                sequence.pages.append(self.pool.take())
            except OutOfPages:
                newest = max((s for s in self._running if s.number not in taking), key=lambda s: s.number)
                if newest is sequence and len(self._running) == 1:
                    raise  # alone and still no room: submit() would have refused it
                self._preempt(newest)
                if newest is sequence:
                    return False
        return True

    def _preempt(self, sequence: Sequence) -> None:
        """Give up its pages for now. What it has written stays, and is read again as part of its prompt."""
        self.counters.preemptions += 1
        self._running.remove(sequence)
        self._holdings.free(sequence)
        self._waiting.put_back(sequence)

    def _draw(self, sequence: Sequence, logits: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
        try:
            sequence.drawn = sequence.sampler.sample(logits)
        except ModelError as error:
            self._end(sequence, Failed(error))

    def _tell(self, sequence: Sequence) -> None:
        """Pass the drawn token on, and end the text where it ends."""
        if sequence.over or sequence.drawn is None:
            return
        chosen, sequence.drawn = sequence.drawn, None
        if sequence.first_token_at is None:
            sequence.first_token_at = time.monotonic()
            self.counters.first_tokens += 1
            self.counters.first_token_seconds += sequence.first_token_at - sequence.asked_at
            self._holdings.keep(sequence)
        self.counters.generated_tokens += 1
        sequence.append(chosen)
        reason = ""
        if chosen.token in sequence.request.stop_ids:
            reason = "stop"
        else:
            delta, ended = sequence.writer.feed(chosen)
            sequence.tell(delta)
            if ended:
                reason = "stop"
            elif sequence.generated >= sequence.request.max_tokens or len(sequence.tokens) >= self.context:
                reason = "length"
        if reason:
            sequence.tell(sequence.writer.close())
            self._end(
                sequence,
                Finished(
                    reason,
                    len(sequence.request.prompt),
                    sequence.generated,
                    sequence.writer.reasoning_tokens,
                    sequence.reused or 0,
                ),
            )

    def _leave(self) -> None:
        """Let go of who was cancelled, and of who has waited too long."""
        for sequence in [sequence for sequence in self._running if sequence.cancelled.is_set()]:
            self._end(sequence, Failed(_CANCELLED), "cancelled")
        for sequence in self._waiting.leave():
            if sequence.cancelled.is_set():
                self._end(sequence, Failed(_CANCELLED), "cancelled")
            elif self._waiting.closing:
                self._end(sequence, Failed(stopping()))
            else:
                self._end(sequence, Failed(self._waiting.late()), "rejected")

    def _admit(self) -> None:
        """Let in from the queue, in order, who fits beside the running; nobody while memory is too short."""
        if self._memory is not None and self._memory.short:
            while (sequence := self._waiting.first()) is not None:
                self._waiting.take()
                self._end(sequence, Failed(no_memory()), "rejected")
            return
        while (sequence := self._waiting.first()) is not None and len(self._running) < self._most_running:
            if self._running and not self._holdings.fit(sequence, self._running):
                return
            self._running.append(sequence)
            self._running.sort(key=lambda s: s.number)
            self._waiting.take()
            self._holdings.adopt(sequence)
            if sequence.reused is None:
                sequence.reused = sequence.computed
                self.counters.prompt_tokens += len(sequence.request.prompt)

    def _forward_failed(self, sequences: list[Sequence], error: Exception) -> None:
        """Whoever took part is told; what they have computed is not trusted."""
        log.error("the model failed at a step of %d sequences: %s", len(sequences), error)
        told: KbError
        if isinstance(error, MemoryError):
            self._most_running = max(1, min(self._most_running, len(self._running)) // 2)
            self._budget.shrink()
            told = no_memory()
        elif isinstance(error, KbError):
            told = error
        else:
            told = ModelError(f"The model failed: {error}")
        for sequence in sequences:
            self._end(sequence, Failed(told))

    def _fail_all(self, error: KbError) -> None:
        waiting = []
        while (sequence := self._waiting.first()) is not None:
            self._waiting.take()
            waiting.append(sequence)
        for sequence in [*self._running, *waiting]:
            self._end(sequence, Failed(error))

    def _end(self, sequence: Sequence, event: Finished | Failed, outcome: str = "error") -> None:
        if sequence.over:
            return
        sequence.over = True
        if sequence in self._running:
            self._running.remove(sequence)
        self._holdings.free(sequence)
        self.counters.finished[event.reason if isinstance(event, Finished) else outcome] += 1
        sequence.tell(event)
