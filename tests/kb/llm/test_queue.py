"""First come first served, one asker's second question behind everybody's first, and a limit."""

from __future__ import annotations

import threading
import time

import pytest

from kb.errors import Busy
from kb.llm.queue import Queue, Ticket


def test_served_at_once_while_there_is_room() -> None:
    queue = Queue(2, 0)
    with queue.enter("a") as first, queue.enter("b") as second:
        assert first.served and second.served and first.position == 0
        with pytest.raises(Busy):
            queue.enter("c")
    assert queue.serving == 0


def order_of(arrivals: str) -> str:
    queue = Queue(1, 50)
    busy = queue.enter("somebody")
    tickets: list[Ticket] = [queue.enter(key) for key in arrivals]
    served = ""
    busy.close()
    while len(served) < len(tickets):
        now = next(ticket for ticket in tickets if ticket.served and not ticket.closed)
        assert sum(ticket.served and not ticket.closed for ticket in tickets) == 1
        served += now.key
        now.close()
    return served


def test_fair_between_askers() -> None:
    assert order_of("abc") == "abc"
    assert order_of("aaab") == "abaa"
    assert order_of("aaabbc") == "abcaba"


def test_positions_count_down_and_leaving_frees_the_place() -> None:
    queue = Queue(1, 2)
    serving = queue.enter("a")
    first, second = queue.enter("b"), queue.enter("c")
    assert (first.position, second.position) == (1, 2)
    with pytest.raises(Busy):
        queue.enter("d")
    first.close()
    assert second.position == 1 and queue.waiting == 1
    serving.close()
    serving.close()
    assert second.wait(0) and queue.serving == 1


def test_a_waiter_wakes_when_its_turn_comes() -> None:
    queue = Queue(1, 1)
    serving = queue.enter("a")
    waiting = queue.enter("b")
    assert not waiting.wait(0.01)
    threading.Timer(0.05, serving.close).start()
    began = time.monotonic()
    assert waiting.wait(5) and time.monotonic() - began < 4


def test_under_load_never_more_than_allowed_and_everybody_is_served() -> None:
    queue, lock = Queue(3, 100), threading.Lock()
    now = most = done = 0

    def ask(key: str) -> None:
        nonlocal now, most, done
        with queue.enter(key) as ticket:
            while not ticket.wait(0.5):
                pass
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.002)
            with lock:
                now -= 1
                done += 1

    threads = [threading.Thread(target=ask, args=(f"user{n % 7}",)) for n in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == 60 and most == 3 and queue.serving == queue.waiting == 0
