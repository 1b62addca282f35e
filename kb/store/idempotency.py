"""One answer per Idempotency-Key: the first request runs, the same one again gets the first one's answer.

first = Idempotency(db).claim(principal, key, request_hash)
if first is not None: return first                    # (status, body) of the first request
…do the work…  then complete(…, status, body), or forget(…) when it failed in a way worth retrying
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from kb.errors import Conflict, FieldError, Invalid
from kb.store import clock
from kb.store.audit import who
from kb.store.db import Database
from kb.store.tables import IdempotencyRow
from kb.store.values import clean, now
from kb.types import Principal

KEPT = timedelta(days=1)  # after this a key may be used anew
STALLED_S = 180.0  # a first request without an answer by then died; the next may run
LONGEST = 255


class Idempotency:
    """Keys belong to their principal: nobody meets another's."""

    def __init__(self, db: Database) -> None:
        self.db = db

    def claim(self, principal: Principal, key: str, request_hash: str) -> tuple[int, str] | None:
        """None: do the work, the key is ours. (status, body): it was done before. request_hash: of method, path, body.

        Conflict for the same key with another request, and while the first is still running (retry_after).
        """
        if not key or len(key) > LONGEST or not key.isprintable():
            raise Invalid(
                f"Idempotency-Key must have 1 to {LONGEST} printable characters.",
                errors=(FieldError("/headers/idempotency-key", "length or characters"),),
            )
        with self.db.write() as session:
            row = session.get(IdempotencyRow, (who(principal), key))
            if row is not None and (row.created_at < now() - KEPT or _stalled(row)):
                session.delete(row)
                session.flush()
                row = None
            if row is None:
                self._sweep(session)
                session.add(
                    IdempotencyRow(
                        principal=who(principal),
                        key=key,
                        request_hash=request_hash,
                        status=0,
                        body=_began(),
                        created_at=now(),
                    )
                )
                return None
            if row.request_hash != request_hash:
                raise Conflict(
                    "This Idempotency-Key was used for another request. Use a new key for a new request.",
                    slug="idempotency-key-reused",
                )
            if row.status == 0:
                raise Conflict(
                    "The first request with this Idempotency-Key is still running. Ask again in a moment.",
                    slug="idempotency-in-progress",
                    retry_after=1,
                )
            return row.status, row.body

    def complete(self, principal: Principal, key: str, status: int, body: str) -> None:
        """Keep the answer for the next time."""
        with self.db.write() as session:
            session.execute(
                update(IdempotencyRow)
                .where(IdempotencyRow.principal == who(principal), IdempotencyRow.key == key)
                .values(status=status, body=clean(body))
            )

    def forget(self, principal: Principal, key: str) -> None:
        """Give the key back: the work was not done (busy, disk full), so the same request may run again."""
        with self.db.write() as session:
            session.execute(
                delete(IdempotencyRow).where(
                    IdempotencyRow.principal == who(principal),
                    IdempotencyRow.key == key,
                    IdempotencyRow.status == 0,
                )
            )

    def _sweep(self, session: Session) -> None:
        session.execute(delete(IdempotencyRow).where(IdempotencyRow.created_at < now() - KEPT))


def _began() -> str:
    """What stands in the place of an answer while there is none: when the first request began, on the leases' clock.

    By the wall clock, a jump of an hour would let the same request run beside the first one.
    """
    return f"{clock.seconds():.0f} {clock.boot_id()}"


def _stalled(row: IdempotencyRow) -> bool:
    """Whether the first request must have died: too long ago, or before this machine was started."""
    if row.status:
        return False
    began, _, boot = row.body.partition(" ")
    return boot != clock.boot_id() or clock.seconds() - float(began) > STALLED_S
