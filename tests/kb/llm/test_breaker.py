"""closed → open → half-open with one probe → closed or open again."""

from __future__ import annotations

from kb.llm.breaker import Breaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(failures=3, rest_s=10, probe_s=60, clock=clock)
    for _ in range(3):
        assert breaker.allow()
        breaker.failure()
    return breaker


def test_it_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker(failures=2, clock=Clock())
    breaker.failure()
    breaker.success()
    breaker.failure()
    assert breaker.allow() and breaker.state == "closed"
    breaker.failure()
    assert not breaker.allow() and not breaker.available() and breaker.state == "open"


def test_one_probe_at_a_time_after_the_rest() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now = 10
    assert breaker.available() and breaker.state == "half-open"
    assert breaker.allow() and not breaker.allow() and not breaker.available()
    breaker.success()
    assert breaker.allow() and breaker.allow()


def test_a_failed_probe_opens_again_for_the_whole_rest() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now = 10
    assert breaker.allow()
    breaker.failure()
    clock.now = 19
    assert not breaker.allow()
    clock.now = 20
    assert breaker.allow()


def test_a_probe_without_a_verdict_gives_its_pass_back() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now = 10
    assert breaker.allow()
    breaker.release()
    assert breaker.allow()
    clock.now = 70  # the second probe never came back
    assert breaker.allow()
