"""A model server in every bad mood: each question still ends in one labelled answer, within its time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from kb.answer import Asker
from kb.llm.breaker import Breaker
from kb.llm.openai import OpenAIChat
from kb.settings import Settings
from kb.types import Answer, Event, Question
from tests.fakes_answer import ALICE, FakeConversations, FakeRetriever
from tests.fakes_llm import MOODS, FakeLLM

BUDGET_S = 1.6
LATE_S = 10.0  # the fakes hang for a minute: who waited for one is later than this, a busy machine is not
QUESTION = "How many days of paid leave do employees get?"
WRITES = {
    "good", "reasoning", "raw_harmony", "recovers", "strict", "nuls", "bad_citations", "wrong_numbers"
}  # fmt: skip


@pytest.fixture(scope="module")
def llm() -> Iterator[FakeLLM]:
    with FakeLLM() as server:
        yield server


def asker(llm: FakeLLM, mood: str, **more: Any) -> tuple[Asker, OpenAIChat, FakeConversations]:
    values = {"llm_first_token_s": 0.7, "llm_stall_s": 0.7, "llm_total_s": BUDGET_S} | more
    settings = Settings(llm_url=llm.url(mood), **values)
    chat = OpenAIChat(settings, Breaker(failures=3, rest_s=0.3))
    conversations = FakeConversations()
    return Asker(settings, conversations, FakeRetriever(), None, chat), chat, conversations


def set_soon() -> threading.Event:
    """A flag that goes up in a moment, while the model is being waited for."""
    flag = threading.Event()
    threading.Timer(0.3, flag.set).start()
    return flag


def ends(events: list[Event]) -> list[Event]:
    return [event for event in events if event.kind in ("done", "error")]


@pytest.mark.parametrize("mood", MOODS)
def test_every_mood_ends_in_a_labelled_answer(llm: FakeLLM, mood: str) -> None:
    ask, _chat, conversations = asker(llm, mood)
    before = len(llm.log())
    began = time.monotonic()
    events = list(ask.ask(ALICE, Question(QUESTION)))
    took = time.monotonic() - began
    assert ends(events) == [events[-1]] and events[-1].kind == "done"
    answer: Answer = events[-1].data
    assert took < LATE_S
    assert any(entry["mood"] == mood for entry in llm.log()[before:]), "the fault never landed"
    expected = "generated" if mood in WRITES else "none" if mood == "not_found" else "extractive"
    assert answer.tier == expected
    assert answer.answerable == (expected != "none")
    if expected == "extractive":
        assert "25 days" in answer.text and answer.citations and answer.support == "full"
        assert answer.notice is not None and answer.notice.startswith("Quoted from the documents")
    assert "SECRET-PLAN" not in "".join(str(event.data) for event in events)
    assert "<|" not in answer.text and "\0" not in answer.text and "evil.example" not in answer.text
    assert conversations.saved[0][0].id == answer.id


def test_a_deadline_of_the_asker_is_kept_by_a_hanging_model(llm: FakeLLM) -> None:
    ask, _, _ = asker(llm, "hangs", llm_first_token_s=30.0, llm_total_s=60.0)
    began = time.monotonic()
    answer = list(ask.ask(ALICE, Question(QUESTION, deadline_ms=900)))[-1].data
    assert answer.tier == "extractive" and "in time" in answer.notice
    assert time.monotonic() - began < LATE_S


def test_the_breaker_opens_and_the_model_recovers(llm: FakeLLM) -> None:
    ask, chat, _ = asker(llm, "recovers")
    llm.fail(3)
    tiers = [list(ask.ask(ALICE, Question(QUESTION)))[-1].data.tier for _ in range(3)]
    assert tiers == ["extractive"] * 3 and not chat.available()
    before = len(llm.log())
    assert list(ask.ask(ALICE, Question(QUESTION)))[-1].data.tier == "extractive"
    assert len(llm.log()) == before, "an open breaker asked the server"
    time.sleep(0.4)
    assert list(ask.ask(ALICE, Question(QUESTION)))[-1].data.tier == "generated"
    assert chat.breaker.state == "closed"


def closed_after(llm: FakeLLM, mood: str, since: int) -> float:
    """Seconds after which the server saw its client hang up."""
    for _ in range(200):
        entry = llm.log()[since:][-1]
        if entry["end"]:
            assert entry["mood"] == mood and entry["end"].startswith("closed by client"), entry
            return float(entry["end"].split()[-2])
        time.sleep(0.05)
    raise AssertionError("the upstream connection stayed open")


def test_a_client_that_leaves_closes_the_upstream_socket(llm: FakeLLM) -> None:
    ask, _, conversations = asker(llm, "endless", llm_total_s=60.0)
    since = len(llm.log())
    events = ask.ask(ALICE, Question(QUESTION))
    for event in events:
        if event.kind == "token":
            break
    events.close()
    assert closed_after(llm, "endless", since) < LATE_S
    assert conversations.saved == []


@pytest.mark.parametrize("mood", ["hangs", "hangs_after_headers", "stalls", "endless"])
def test_a_cancel_from_another_thread_closes_the_upstream_socket(llm: FakeLLM, mood: str) -> None:
    ask, chat, conversations = asker(llm, mood, llm_first_token_s=30.0, llm_stall_s=30.0, llm_total_s=60.0)
    since = len(llm.log())
    cancel = set_soon()
    began = time.monotonic()
    events = list(ask.ask(ALICE, Question(QUESTION), cancel=cancel))
    assert time.monotonic() - began < LATE_S
    assert [event.data.slug for event in ends(events)] == ["cancelled"]
    assert closed_after(llm, mood, since) < LATE_S
    assert conversations.saved == []
    assert chat.breaker.state == "closed" and chat.available()


@pytest.mark.parametrize("mood", ["hangs", "hangs_after_headers", "stalls", "endless"])
def test_who_cannot_wait_for_the_model_any_more_gets_a_quotation(llm: FakeLLM, mood: str) -> None:
    ask, chat, conversations = asker(llm, mood, llm_first_token_s=30.0, llm_stall_s=30.0, llm_total_s=60.0)
    since = len(llm.log())
    hurry = set_soon()
    events = list(ask.ask(ALICE, Question(QUESTION), hurry=hurry))
    assert ends(events) == [events[-1]] and events[-1].kind == "done"
    answer: Answer = events[-1].data
    said = "in time" if mood.startswith("hangs") else "broke off"
    assert answer.tier == "extractive" and said in (answer.notice or "")
    assert closed_after(llm, mood, since) < 5 and [saved.id for saved, _ in conversations.saved] == [
        answer.id
    ]
    assert chat.breaker.state == "closed" and chat.available()
    assert list(ask.ask(ALICE, Question(QUESTION), hurry=hurry))[-1].data.tier == "extractive"
    assert len(llm.log()) == since + 1, "with no time left the model was asked"


def test_a_server_that_is_not_there_is_quoted_around(llm: FakeLLM) -> None:
    settings = Settings(llm_url="http://127.0.0.1:9/v1", llm_total_s=BUDGET_S)
    ask = Asker(settings, FakeConversations(), FakeRetriever(), None, OpenAIChat(settings))
    assert list(ask.ask(ALICE, Question(QUESTION)))[-1].data.tier == "extractive"


def test_proxies_of_the_environment_are_not_asked(llm: FakeLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    ask, _, _ = asker(llm, "good")
    assert list(ask.ask(ALICE, Question(QUESTION)))[-1].data.tier == "generated"
