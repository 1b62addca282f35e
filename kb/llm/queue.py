"""Bounded concurrency before the model: first come first served, but nobody's second question before
everybody's first.

Each waiting ticket gets a round: one more than the last round of the same asker, and never below the
round being served. Tickets are served by (round, arrival), which is start-time fair queueing.
"""

from __future__ import annotations

import itertools
import threading
from types import TracebackType

from kb.errors import Busy


class Ticket:
    """A place in the queue. Leave with `close` (or `with`), whether or not it was served."""

    def __init__(self, queue: Queue, key: str, order: tuple[int, int]) -> None:
        self._queue = queue
        self.key = key
        self.order = order
        self.served = False
        self.closed = False

    @property
    def position(self) -> int:
        """0 when served, otherwise 1 for the next in line."""
        return self._queue._position(self)

    def wait(self, seconds: float) -> bool:
        """Wait for at most so long; whether it is this ticket's turn."""
        return self._queue._wait(self, seconds)

    def close(self) -> None:
        """Give the place back."""
        self._queue._close(self)

    def __enter__(self) -> Ticket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Queue:
    """`concurrency` served at a time, at most `waiting` in line; more are refused at once with Busy."""

    def __init__(self, concurrency: int, waiting: int) -> None:
        self._concurrency = concurrency
        self._limit = waiting
        self._changed = threading.Condition()
        self._waiting: list[Ticket] = []
        self._serving = 0
        self._round = 0
        self._last_round: dict[str, int] = {}
        self._arrivals = itertools.count()

    def enter(self, key: str) -> Ticket:
        """Take a ticket for an asker. Raises Busy when the line is full."""
        with self._changed:
            if self._serving >= self._concurrency and len(self._waiting) >= self._limit:
                raise Busy("Too many people are waiting for the language model.", retry_after=5)
            turn = max(self._round, self._last_round.get(key, -1) + 1)
            self._last_round[key] = turn
            ticket = Ticket(self, key, (turn, next(self._arrivals)))
            self._waiting.append(ticket)
            self._waiting.sort(key=lambda waiting: waiting.order)
            self._advance()
            return ticket

    @property
    def waiting(self) -> int:
        """How many are in line."""
        with self._changed:
            return len(self._waiting)

    @property
    def serving(self) -> int:
        """How many are being served."""
        with self._changed:
            return self._serving

    def _advance(self) -> None:
        while self._waiting and self._serving < self._concurrency:
            ticket = self._waiting.pop(0)
            ticket.served = True
            self._serving += 1
            self._round = max(self._round, ticket.order[0])
        if not self._waiting:  # nobody to be fair to: forget who came how often
            self._last_round = {key: turn for key, turn in self._last_round.items() if turn > self._round}
        self._changed.notify_all()

    def _position(self, ticket: Ticket) -> int:
        with self._changed:
            return 0 if ticket.served or ticket.closed else self._waiting.index(ticket) + 1

    def _wait(self, ticket: Ticket, seconds: float) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: ticket.served or ticket.closed, timeout=seconds)
            return ticket.served and not ticket.closed

    def _close(self, ticket: Ticket) -> None:
        with self._changed:
            if ticket.closed:
                return
            ticket.closed = True
            if ticket.served:
                self._serving -= 1
            else:
                self._waiting.remove(ticket)
            self._advance()
