"""A side of a comparison that dies says which it was, and why."""

from __future__ import annotations

import os
import sys
from multiprocessing.connection import Connection

import pytest

from bench.child import Child


def serve(pipe: Connection, name: str, how: str) -> None:
    if how == "at once":
        raise ValueError("no such model")
    print("loaded", file=sys.stderr)
    pipe.send("ready")
    while (job := pipe.recv()) is not None:
        if how == "killed":
            os.write(2, b"out of memory\n\n")  # as a library in C does
            os.abort()
        pipe.send(2.0 * job[1])


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("at once", "theirs ended with status 1: ValueError: no such model"),
        ("killed", "theirs was ended by SIGABRT: out of memory"),
    ],
)
def test_the_side_that_died_is_named_with_its_last_line(how: str, said: str) -> None:
    with pytest.raises(SystemExit) as end:
        Child(serve, "theirs", how).ask("decode", 1)
    assert str(end.value) == said


def test_a_side_that_lives_answers_and_its_words_are_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    child = Child(serve, "ours", "well")
    assert child.ask("decode", 4) == 8.0
    child.close()
    assert capsys.readouterr().err == "loaded\n"
