"""/metrics in Prometheus' text form."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from kb.llm.local.scheduler import Scheduler

_STORE_GAUGES = frozenset({"slots", "slots_filled", "dense_bytes", "expert_bytes"})


def render(
    scheduler: Scheduler | None, store: Mapping[str, float], hint_rate: float | None, connections: int
) -> str:
    """All figures; scheduler: None while the model loads."""
    lines = [
        *_one("ready", "gauge", "1 when the model is loaded", int(scheduler is not None)),
        *_one("connections", "gauge", "open connections", connections),
        *_one("threads", "gauge", "Python threads of this process", threading.active_count()),
        *_one("open_files", "gauge", "file descriptors of this process", _open_files()),
    ]
    if scheduler is not None:
        lines += _scheduler(scheduler)
    if hint_rate is not None:
        lines += _one(
            "expert_hint_rate", "gauge", "share of experts used that were guessed a layer ahead", hint_rate
        )
    for name, value in store.items():
        kind = "gauge" if name in _STORE_GAUGES else "counter"
        lines += _one(f"store_{name}", kind, "of the store of weights", value)
    return "\n".join(lines) + "\n"


def _scheduler(scheduler: Scheduler) -> Iterator[str]:
    counters, pool = scheduler.counters, scheduler.pool
    yield from _many("requests_total", "counter", "texts by how they ended", "outcome", counters.finished)
    yield from _one("running", "gauge", "texts being read or written", scheduler.running)
    yield from _one("queued", "gauge", "texts waiting for a place", scheduler.waiting)
    for name, help_, value in (
        ("prompt_tokens_total", "tokens of prompts", counters.prompt_tokens),
        ("prompt_tokens_reused_total", "of these, found in the cache", counters.reused_tokens),
        (
            "prompt_tokens_computed_total",
            "prompt tokens computed, again after a preemption",
            counters.computed_tokens,
        ),
        ("generated_tokens_total", "tokens generated", counters.generated_tokens),
        ("steps_total", "forward passes", counters.steps),
        ("step_seconds_total", "time in forward passes", counters.step_seconds),
        ("preemptions_total", "texts that gave up their pages", counters.preemptions),
        ("page_evictions_total", "kept pages given up for room", pool.evictions),
        ("first_token_seconds_count", "texts that got a first token", counters.first_tokens),
        ("first_token_seconds_sum", "time until it, queue included", counters.first_token_seconds),
    ):
        yield from _one(name, "counter", help_, value)
    pages = {"used": pool.used, "kept": pool.idle, "free": pool.available - pool.idle}
    yield from _many("pages", "gauge", "pages of the key-value cache", "state", pages)


def _one(name: str, kind: str, help_: str, value: float) -> list[str]:
    name = "kb_model_" + name
    return [f"# HELP {name} {help_}", f"# TYPE {name} {kind}", f"{name} {value:.10g}"]


def _many(name: str, kind: str, help_: str, label: str, values: Mapping[str, float]) -> list[str]:
    name = "kb_model_" + name
    lines = [f"# HELP {name} {help_}", f"# TYPE {name} {kind}"]
    return lines + [f'{name}{{{label}="{key}"}} {value:.10g}' for key, value in values.items()]


def _open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(os.listdir(folder)) if folder.is_dir() else -1
