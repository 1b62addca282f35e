"""What the scheduler allows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What the scheduler allows."""

    context: int  # longest prompt and answer together, tokens
    running: int = 16
    queue: int = 64
    queue_s: float = 120.0  # longest wait for a place
    chunk: int = 512  # prompt tokens in a step when nobody is writing
    mixed_chunk: int = 256  # and at most when somebody is
    mixed_s: float = 0.5  # longest step aimed at when somebody is
