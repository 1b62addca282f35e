"""A greeting is answered as one, and nothing that asks is taken for one."""

from __future__ import annotations

import pytest

from kb.answer import smalltalk
from tests.fakes_answer import FakeConversations
from tests.kb.answer.test_ask import asker, run


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "Hi!",
        "Hello there 👋",
        "Good morning, thanks!",
        "THANK YOU",
        "thanks a lot 🙏",
        "你好！",
        "您好，谢谢",
    ],
)
def test_courtesy_is_seen(text: str) -> None:
    assert smalltalk.only(text)


@pytest.mark.parametrize(
    "text",
    [
        "hello, what does it cost?",
        "Hi-vis vests",
        "high",
        "thank you card budget",
        "你好吗的英文怎么说",
        "谢谢信模板",
        "great circle",
        "bye-laws",
        "hello world program",
    ],
)
def test_whatever_asks_is_a_question(text: str) -> None:
    assert not smalltalk.only(text)


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("Thanks!", "You are welcome."),
        ("thank you so much 🙏", "You are welcome."),
        ("Good morning, thanks!", "Hello."),
        ("谢谢！", "不客气"),
        ("您好，谢谢", "您好"),
    ],
)
def test_thanks_are_not_greeted(text: str, reply: str) -> None:
    assert run(asker(), text)[-1].data.text.startswith(reply)


def test_a_greeting_is_answered_without_searching() -> None:
    conversations = FakeConversations()
    answer = run(asker(conversations=conversations), "Hello!")[-1].data
    assert (answer.tier, answer.answerable, answer.support) == ("none", False, "unchecked")
    assert answer.text.startswith("Hello. Ask me") and not answer.passages
    assert "retrieve" not in answer.timings_ms and len(conversations.saved) == 1
    assert run(asker(), "你好")[-1].data.text.startswith("您好")
