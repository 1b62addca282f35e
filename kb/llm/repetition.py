"""Noticing a model that has fallen into a loop."""

from __future__ import annotations

SPAN = 320
CYCLES = 5
LONGEST = 400


def loops(text: str) -> bool:
    """Whether the text ends in one unit (1–400 characters) said five times and over 320 characters at least.

    Rules of dashes and table borders repeat too, so units without a letter or digit must fill four times
    that span.
    """
    tail = text[-(LONGEST * (CYCLES + 1)) :]
    if len(tail) < SPAN:
        return False
    probe = tail[-24:]
    at = tail.rfind(probe, 0, len(tail) - 1)
    if at < 0:
        return False
    period = len(tail) - 24 - at
    if period > LONGEST:
        return False
    span = max(SPAN, period * CYCLES)
    if not any(character.isalnum() for character in tail[-period:]):
        span = SPAN * 4
    if len(tail) < span:
        return False
    return tail[-span:-period] == tail[-(span - period) :]
