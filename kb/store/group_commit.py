"""Small writes of many threads in one transaction: who comes while one is being committed shares the next.

A commit waits for the disk, and between its steps for the interpreter: thirty people who ask at once would otherwise
wait for thirty commits, one behind the other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy.orm import Session

from kb.errors import KbError
from kb.store.db import Database

MOST = 64  # writes in one transaction
T = TypeVar("T")


@dataclass(eq=False)  # itself, whatever it does
class _Write(Generic[T]):
    act: Callable[[Session], T]
    done: bool = False
    result: T | None = None
    error: BaseException | None = None


class Together:
    """One for each kind of write of a process."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._turn = threading.Condition()
        self._waiting: list[_Write[object]] = []
        self._busy = False

    def write(self, act: Callable[[Session], T]) -> T:
        """What `act` returns, once it is committed. Raises its KbError, or what the transaction raised.

        act: must raise its KbErrors before it changes anything, since what it changed by then would be committed
        with the others' writes; may be called a second time, after a rollback.
        """
        mine: _Write[object] = _Write(act)
        with self._turn:
            self._waiting.append(mine)
        while batch := self._next(mine):  # more than once where more than MOST were before it
            try:
                self._commit(batch)
            except BaseException as error:  # this thread is to end: the others must not think they were heard
                for each in batch:
                    each.error = each.error or error
                with self._turn:
                    if mine in self._waiting:  # nobody is there any more to hear of it
                        self._waiting.remove(mine)
                raise
            finally:
                with self._turn:
                    for each in batch:
                        each.done = True
                    self._busy = False
                    self._turn.notify_all()
        if mine.error is not None:
            raise mine.error
        return mine.result  # type: ignore[return-value]

    def _next(self, mine: _Write[object]) -> list[_Write[object]]:
        """Wait for a turn to commit, and take the writes that are first in line; none: `mine` is done."""
        with self._turn:
            while self._busy and not mine.done:
                self._turn.wait()
            if mine.done:
                return []
            self._busy = True
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            return batch

    def _commit(self, batch: list[_Write[object]]) -> None:
        try:
            self._run(batch)
        except KbError as error:  # busy, disk full: as true of each as of all
            for each in batch:
                each.error = error
        except Exception as error:
            if len(batch) == 1:
                batch[0].error = error
                return
            for each in batch:  # one of them cannot be written; the others can
                self._commit([each])

    def _run(self, batch: list[_Write[object]]) -> None:
        with self._db.write() as session:
            for each in batch:
                each.error = None
                try:
                    each.result = each.act(session)
                    session.flush()
                except KbError as error:
                    each.error = error
