"""The queue before the model: in order of arrival, with everybody told their place."""

from __future__ import annotations

import threading
import time
from collections import deque

from kb.errors import Unavailable
from kb.llm.local.errors import OutOfPages
from kb.llm.local.sequences import Sequence


def stopping() -> Unavailable:
    """What is said to whoever cannot be served any more."""
    return Unavailable("The model server is stopping.", retry_after=10)


class Waiting:
    """Sequences without a place. Safe for several threads; `changed` is notified of every arrival."""

    def __init__(self, most: int, seconds: float) -> None:
        self.changed = threading.Condition()
        self.closing = False  # nobody is let in any more
        self._most, self._seconds = most, seconds
        self._queue: deque[Sequence] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, sequences: list[Sequence]) -> None:
        """Queue all of them or none. OutOfPages when the queue is full."""
        with self.changed:
            if self.closing:
                raise stopping()
            if len(self._queue) + len(sequences) > max(self._most, len(sequences)):
                raise OutOfPages(
                    f"{len(self._queue)} requests wait for the model already.", retry_after=self.estimate()
                )
            self._queue.extend(sequences)
            self._changed()

    def put_back(self, sequence: Sequence) -> None:
        """At the front: it has been running and had to give way."""
        with self.changed:
            self._queue.appendleft(sequence)
            self._changed()

    def first(self) -> Sequence | None:
        """Who is next. Only the scheduler's thread takes away, so it stays next until `take`."""
        with self.changed:
            return self._queue[0] if self._queue else None

    def take(self) -> None:
        """Remove the first."""
        with self.changed:
            self._queue.popleft().place = 0
            self._changed()

    def leave(self) -> list[Sequence]:
        """Remove and return who was cancelled, has waited too long without a word, or must be turned away."""
        late = time.monotonic() - self._seconds
        with self.changed:
            gone = [
                sequence
                for sequence in self._queue
                if self.closing
                or sequence.cancelled.is_set()
                or (sequence.first_token_at is None and sequence.asked_at < late)
            ]
            for sequence in gone:
                self._queue.remove(sequence)
            if gone:
                self._changed()
            return gone

    def late(self) -> OutOfPages:
        """What is said to who has waited too long."""
        words = f"The model found no room for this request within {self._seconds:g} s."
        return OutOfPages(words, retry_after=self.estimate())

    def estimate(self) -> int:
        """Seconds after which it is worth coming back, roughly."""
        return min(60, 2 + 2 * len(self._queue))

    def _changed(self) -> None:
        for place, sequence in enumerate(self._queue, start=1):
            sequence.place = place
        self.changed.notify_all()
