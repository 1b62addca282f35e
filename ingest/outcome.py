"""How parsing can end other than well, and what the worker does about each.

Unreadable    permanent: the job fails with the reason
Encrypted     permanent: a password is needed
Poison        this document broke or hung its parser: a strike, quarantined at the second
ParserBusy    not now: the job is put back for `delay_s`, no strike
ParserDown    the parser does not answer at all: circuit breaker, the job waits, no strike
"""

from __future__ import annotations


class Trouble(Exception):
    """`reason` is a sentence for people; nothing from the parser's own messages."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unreadable(Trouble):
    """The document cannot be read, now or later."""


class Encrypted(Unreadable):
    """The document is protected by a password."""

    def __init__(self, what: str = "The document") -> None:
        super().__init__(f"{what} is protected by a password. Remove the password and add it again.")


class Poison(Trouble):
    """The parser crashed, hung or ran out of memory on this document."""


class ParserBusy(Trouble):
    """The parser has no room for now."""

    def __init__(self, reason: str, delay_s: float = 5.0) -> None:
        super().__init__(reason)
        self.delay_s = delay_s


class ParserDown(Trouble):
    """The parser does not answer, or not sensibly; no document's fault."""
