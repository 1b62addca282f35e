"""Threads that run kernels: a caller held up between waking them and publishing the job is still served."""

from __future__ import annotations

import threading
import time

from kb.llm.local.kernels.compile import paths
from tests.kb.llm.local.test_kernels import Built, _activations, _released


def test_a_job_published_after_the_threads_lost_patience_is_still_run() -> None:
    built = Built(paths()[-1])
    source, _, _ = _activations(3)
    expected = built.multiply(_released(300, "int8"), source, 3, exact=False)
    submit = built.pool._submit

    def held_up(*arguments: int) -> None:
        time.sleep(0.5)  # a crowded machine: the woken thread spins, gives up and sleeps again
        submit(*arguments)

    built.pool._submit = held_up
    found = []
    thread = threading.Thread(
        target=lambda: found.append(built.multiply(_released(300, "int8"), source, 3, exact=False)),
        daemon=True,
    )
    thread.start()
    thread.join(20)
    assert found, "the caller waits for a thread that sleeps for good"
    assert (found[0] == expected).all()
    built.pool._submit = submit
    built.pool.close()
