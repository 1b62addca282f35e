"""What the scheduler counts; `metrics` prints it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Counters:
    """Since the start. Written by the scheduler's thread, read by any."""

    finished: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("stop", "length", "cancelled", "error", "rejected"), 0)
    )
    prompt_tokens: int = 0
    reused_tokens: int = 0  # of prompts, found in the cache
    computed_tokens: int = 0  # of prompts, computed (again after a preemption)
    generated_tokens: int = 0
    steps: int = 0
    step_seconds: float = 0.0
    preemptions: int = 0
    first_tokens: int = 0
    first_token_seconds: float = 0.0
