"""Only the final channel passes, however the text is cut into pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb.llm.harmony import FinalChannel

ANALYSIS = "<|channel|>analysis<|message|>The user wants a SECRET.<|end|>"
FINAL = "<|start|>assistant<|channel|>final<|message|>Leave is 25 days [1].<|return|>"
ANSWER = "Leave is 25 days [1]."

CASES = {
    "plain": ("Leave is 25 days [1].", ANSWER),
    "raw": (ANALYSIS + FINAL, ANSWER),
    "started": ("<|start|>assistant" + ANALYSIS + FINAL, ANSWER),
    "two analyses": (ANALYSIS + "<|start|>assistant" + ANALYSIS + FINAL, ANSWER),
    "commentary": (
        "<|channel|>commentary to=functions.x <|constrain|>json<|message|>{SECRET}<|call|>" + FINAL,
        ANSWER,
    ),
    "no end": (ANALYSIS + "<|start|>assistant<|channel|>final<|message|>Leave is 25 days [1].", ANSWER),
    "between bodies": (ANALYSIS + "SECRET" + FINAL, ANSWER),
    "stray tokens": ("Leave is <|end|>25 days [1].<|return|>", ANSWER),
    "stray end only": ("Leave is 25 days [1].<|endoftext|>", ANSWER),
    "bare": ("analysisWe need the SECRET plan.assistantfinalLeave is 25 days [1].", ANSWER),
    "think": ("<think>\nSECRET\n</think>\n\nLeave is 25 days [1].", ANSWER),
    "word analysis": ("analysis of leave: 25 days [1].", "analysis of leave: 25 days [1]."),
    "less than": ("25 < 30 and <b", "25 < 30 and <b"),
    "analysis only": (ANALYSIS, ""),
    "open analysis": ("<|channel|>analysis<|message|>SECRET and", ""),
    "open think": ("<think>SECRET and", ""),
    "bare only": ("analysisWe are SECRET", ""),
    "unknown channel": ("<|channel|>thoughts<|message|>SECRET<|end|>" + FINAL, ANSWER),
    "cut token": ("Leave is 25 days [1].<|ret", "Leave is 25 days [1].<|ret"),
}


def passed(pieces: list[str]) -> tuple[str, bool]:
    channel = FinalChannel()
    shown = "".join(channel.feed(piece) for piece in pieces) + channel.close()
    return shown, channel.seen


@pytest.mark.parametrize("case", CASES)
def test_cut_at_every_place(case: str) -> None:
    text, expected = CASES[case]
    for at in range(len(text) + 1):
        shown, seen = passed([text[:at], text[at:]])
        assert shown == expected and seen == bool(expected)
    assert passed(list(text))[0] == expected


@given(st.sampled_from(sorted(CASES)), st.lists(st.integers(1, 9), min_size=1, max_size=60))
def test_cut_at_random_places(case: str, sizes: list[int]) -> None:
    text, expected = CASES[case]
    pieces = []
    for size in sizes:
        pieces.append(text[:size])
        text = text[size:]
    assert passed([*pieces, text])[0] == expected


@given(st.text(max_size=80))
def test_ordinary_text_passes_unchanged_but_for_leading_space(text: str) -> None:
    shown, _ = passed(list("A" + text.replace("<|", "")))
    assert shown == "A" + text.replace("<|", "")
