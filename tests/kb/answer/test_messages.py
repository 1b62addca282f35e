"""The fixed sentences of answers."""

from __future__ import annotations

import re

import pytest

from kb.answer.messages import _TEXTS, LANGUAGES, say, spoken


@pytest.mark.parametrize("key", _TEXTS)
def test_every_sentence_is_there_in_every_language_with_the_same_blanks(key: str) -> None:
    texts = _TEXTS[key]
    assert set(texts) == set(LANGUAGES)
    assert len({tuple(re.findall(r"{\w+}", text)) for text in texts.values()}) == 1
    assert len(set(texts.values())) == len(LANGUAGES)


@pytest.mark.parametrize(
    ("language", "text", "wanted"),
    [
        ("de", "Wie viele Urlaubstage habe ich?", None), ("fr", "Quels sont les frais de port ?", None),
        ("zh", "年假有几天？", None), ("en", "パスワードを忘れました", None), ("en", "Ile dni urlopu mam?", None),
        ("en", "VPN", None), ("zh", "How many days?", "zh-Hant"), ("de", "How many days?", "de-CH"),
    ],
)  # fmt: skip
def test_a_question_is_answered_in_its_language(language: str, text: str, wanted: str | None) -> None:
    assert spoken(text, wanted) == language
    assert say("nothing", spoken(text, wanted))
