"""What the client sends, and what it makes of what comes back. The bad moods are in tests/faults."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from kb.errors import Unavailable
from kb.llm.local.server import Server
from kb.llm.local.state import State
from kb.llm.openai import OpenAIChat
from kb.llm.repetition import loops
from kb.llm.sse import LINE_LIMIT, chunks, lines
from kb.settings import Settings
from tests.fakes_llm import GOOD, FakeLLM

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def llm() -> Iterator[FakeLLM]:
    with FakeLLM() as server:
        yield server


def say(chat: OpenAIChat) -> str:
    return "".join(chat.stream(HELLO, deadline=time.monotonic() + 5))


def test_it_sends_the_settings_and_finds_the_model_itself(llm: FakeLLM) -> None:
    chat = OpenAIChat(
        Settings(llm_url=llm.url("good"), llm_key="secret", llm_temperature=0.7, llm_max_new_tokens=99)
    )
    assert chat.name == "" and say(chat) == GOOD and chat.name == "fake-model"
    entry = llm.log()[-1]
    body = entry["request"]
    assert body == {
        "model": "fake-model", "messages": HELLO, "stream": True, "max_tokens": 99, "temperature": 0.7,
        "top_p": 0.95, "repetition_penalty": 1.05, "reasoning_effort": "low",
    }  # fmt: skip
    assert entry["headers"]["Authorization"] == "Bearer secret"


def test_a_strict_server_is_asked_again_with_standard_fields_and_remembered(llm: FakeLLM) -> None:
    chat = OpenAIChat(Settings(llm_url=llm.url("strict"), llm_model="m"))
    before = len(llm.log())
    assert say(chat) == say(chat) == GOOD
    sent = [entry["request"] for entry in llm.log()[before:]]
    assert ["repetition_penalty" in body for body in sent] == [True, False, False]


def test_redirects_are_not_followed(llm: FakeLLM) -> None:
    before = len(llm.log())
    with pytest.raises(Unavailable, match="302"):
        say(OpenAIChat(Settings(llm_url=llm.url("redirect"), llm_model="m")))
    assert [entry["mood"] for entry in llm.log()[before:]] == ["redirect"]


def test_no_model_listed_names_the_way_out(llm: FakeLLM) -> None:
    chat = OpenAIChat(Settings(llm_url=f"http://127.0.0.1:{llm.port}/nowhere"))
    with pytest.raises(Unavailable):
        say(chat)


def test_a_look_tells_a_server_that_answers_loads_hangs_or_is_gone(llm: FakeLLM) -> None:
    chat = OpenAIChat(Settings(llm_url=llm.url("good")))
    assert chat.look() == "" and chat.name == "fake-model"

    loading = Server("127.0.0.1", 0, State())
    threading.Thread(target=loading.serve_forever, args=(0.02,), daemon=True).start()
    chat = OpenAIChat(Settings(llm_url=loading.url + "/v1"))
    assert chat.look() == "The model is still loading." and chat.name == ""
    loading.shutdown()
    loading.server_close()
    assert re.fullmatch(
        r"The language model at 127.0.0.1:\d+ \(KB_LLM_URL\) does not answer: .+\. Is it running\?",
        chat.look(),
    )
    assert chat.available()  # looking is no failure

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        chat = OpenAIChat(Settings(llm_url=f"http://127.0.0.1:{silent.getsockname()[1]}/v1"))
        began = time.monotonic()
        assert "in time" in chat.look(0.3) and time.monotonic() - began < 5


def test_lines_are_joined_over_pieces_and_limited() -> None:
    assert list(lines([b"da", b"ta: 1\r\n\nx", b"y"])) == [b"data: 1", b"", b"xy"]
    with pytest.raises(Unavailable, match="line beyond"):
        list(lines([b"x" * LINE_LIMIT, b"x" * 10]))
    with pytest.raises(Unavailable, match="no event stream"):
        list(chunks([b"<html>\n"]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("and again " * 60, True),
        ("。好的" * 200, True),
        ("a" * 400, True),
        ("The leave is 25 days. " * 30, True),
        ("-" * 400, False),
        ("-" * 2000, True),
        (" ".join(f"{n}. step number {n} of the list" for n in range(200)), False),
        ("".join(f"| row {n} | yes | no |\n" for n in range(100)), False),
        ("short", False),
    ],
)
def test_loops_are_told_from_lists_and_rules(text: str, expected: bool) -> None:
    assert loops("Some honest words first. " + text) is expected
