"""What the first question needs is loaded beside the first requests; readiness says when it is there."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from kb.errors import Unavailable
from tests.web.conftest import World
from web import warmup
from web.warmup import Opening


class SlowIndex:
    """Opens when it is let; fails as often as it is told to first."""

    def __init__(self, failures: int = 0) -> None:
        self.let, self.failures, self.opened = threading.Event(), failures, 0

    def refresh(self) -> None:
        assert self.let.wait(10)
        if self.failures:
            self.failures -= 1
            raise Unavailable("The encoder is not here yet; fetch it.")
        self.opened += 1


def parts(world: World, index: SlowIndex) -> Any:
    world.kb.__dict__["index"] = index
    if "encoder" not in world.kb.__dict__:
        world.kb.__dict__["encoder"] = type(
            "E",
            (),
            {
                "encode_question": lambda self, text: np.zeros(3),
                "encode_documents": lambda self, texts: np.zeros((1, 3)),
            },
        )()
    return world.kb


def until(world: World, status: int) -> Any:
    deadline = time.monotonic() + 20
    while True:
        response = world.app.test_client().get("/readyz")
        if response.status_code == status:
            return response.get_json()
        assert time.monotonic() < deadline, response.get_json()
        time.sleep(0.01)


def test_ready_only_when_the_index_is_open_and_the_rest_works_before(world: World) -> None:
    index = SlowIndex()
    world.app.extensions["kb.opening"] = Opening(parts(world, index)).start()
    client = world.app.test_client()
    assert until(world, 503) == {"status": "not ready", "index": warmup.RUNNING}
    assert client.get("/livez").status_code == 200
    assert world.browser("reader").get("/").status_code == 200
    index.let.set()
    assert until(world, 200) == {"status": "ready"}
    assert index.opened >= 1


def test_what_fails_is_said_and_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(warmup, "AGAIN_S", 0.05)
    index = SlowIndex(failures=3)
    index.let.set()
    made = Opening(parts(world, index))
    assert not made.open()
    world.app.extensions["kb.opening"] = made
    assert until(world, 503)["index"] == Unavailable.title
    made.start()
    assert until(world, 200) == {"status": "ready"}
    said = capfd.readouterr().err
    assert said.count("kb serve: The encoder is not here yet; fetch it.") == 1  # not every time


def test_what_opening_needed_for_a_moment_goes_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[bool] = []
    index = SlowIndex()
    index.let.set()
    monkeypatch.setattr(warmup, "give_back", lambda: given.append(bool(index.opened)))
    assert Opening(parts(world, index)).open()
    assert given == [True]
