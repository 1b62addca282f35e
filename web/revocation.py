"""Whether who asked may still have what they are being told: a model writes for minutes, and a key is revoked in one.

A request's caller is known when it begins. While an answer is made, that is asked again every `RECHECK_S`: a key that
was revoked, an account that was closed, a password or a role that was changed ends the answer with an error; of
documents that were deleted, or are not the caller's to read any more, nothing more is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from kb.errors import Conflict

if TYPE_CHECKING:
    from kb.app import Kb
    from kb.types import Event, Principal

RECHECK_S = 1.0


class Standing:
    """Of one answer's asker. again: who is asking, found out anew; Unauthenticated when nobody is any more."""

    def __init__(self, kb: Kb, principal: Principal, again: Callable[[], Principal]) -> None:
        self._kb, self._principal, self._again = kb, principal, again
        self._sources: set[str] = set()
        self._readable = True
        self._looked = time.monotonic()

    def passes(self, event: Event | None) -> bool:
        """Whether this event may be told (None: nothing happened, only time went by).

        Raises Unauthenticated when the key or the session ended, Conflict when other rights came with it.
        """
        if event is not None and event.kind == "sources":
            self._sources = {passage.document_id for passage in event.data["passages"]}
        if time.monotonic() - self._looked >= RECHECK_S:
            self._look()
            self._looked = time.monotonic()
        # the end, `citations` and `done`, was cut to what is readable where it was made
        return event is None or event.kind != "token" or self._readable

    def _look(self) -> None:
        now, before = self._again(), self._principal
        if (now.role, now.scopes, now.collections) != (before.role, before.scopes, before.collections):
            raise Conflict("What you may do was changed while this was answered. Please ask again.")
        if self._readable:  # what was once taken away stays so: the text goes on from it
            self._readable = self._sources <= self._kb.conversations.readable(now, self._sources)
