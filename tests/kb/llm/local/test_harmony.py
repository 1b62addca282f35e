"""Channels told apart by token ids, and stop strings of which nothing leaks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kb.llm.local.harmony import Harmony
from kb.llm.local.sampling import Chosen
from kb.llm.local.stops import Stops
from kb.llm.local.tokenizer import Tokenizer
from kb.llm.local.writer import Writer

from . import speaking

TOKENIZER = Tokenizer(speaking.tokenizer_json())
PLAIN = Tokenizer(speaking.tokenizer_json(harmony=False))


def read(
    text: str, *, stops: list[str] | None = None, tokenizer: Tokenizer = TOKENIZER, chat: bool = True
) -> tuple[str, str, bool]:
    """Content, reasoning and whether the answer ended by itself, of generated text with control tokens."""
    writer = Writer(tokenizer, Harmony(tokenizer), stops or [], chat=chat)
    content = reasoning = ""
    ended = False
    for token in tokenizer.encode_template(text):
        delta, ended = writer.feed(Chosen(token, -1.0))
        content, reasoning = content + delta.content, reasoning + delta.reasoning
        if ended:
            break
    rest = writer.close()
    return content + rest.content, reasoning + rest.reasoning, ended


def test_only_the_final_channel_is_content() -> None:
    text = "<|channel|>analysis<|message|>Hm, “€”.<|end|><|start|>assistant<|channel|>final<|message|>Paris."
    assert read(text + "<|return|>") == ("Paris.", "Hm, “€”.", True)
    assert read(text) == ("Paris.", "Hm, “€”.", False)


def test_commentary_is_not_shown_and_constraints_are_no_text() -> None:
    text = '<|channel|>commentary to=f json<|message|>{"a": 1}<|end|><|start|>assistant<|channel|>final<|message|>A'
    assert read(text) == ("A", '{"a": 1}', False)


def test_control_words_spelled_as_text_change_nothing() -> None:
    text = "<|channel|>analysis<|message|>the <\ufdd0|channel|>final<\ufdd0|message|> channel"
    assert read(text) == ("", "the <|channel|>final<|message|> channel", False)


def test_a_message_without_a_channel_is_the_answer() -> None:
    assert read("<|message|>Plain.<|end|>") == ("Plain.", "", True)


def test_an_answer_cut_in_a_header_or_in_a_character_ends_cleanly() -> None:
    assert read("<|channel|>fin") == ("", "", False)
    writer = Writer(TOKENIZER, Harmony(TOKENIZER), chat=True)
    for token in TOKENIZER.encode_template("<|message|>€")[:-1]:
        assert writer.feed(Chosen(token))[0].content == ""
    assert writer.close().content == "\ufffd"


def test_a_model_without_harmony_speaks_plain_text() -> None:
    assert not Harmony(PLAIN).spoken
    assert read("analysis: yes<|endoftext|>", tokenizer=PLAIN)[0].startswith("analysis: yes")
    assert read("x<|endoftext|>y", tokenizer=PLAIN, chat=False)[0] == "xy"


def test_stops_count_in_the_answer_only() -> None:
    text = (
        "<|channel|>analysis<|message|>STOP<|end|><|start|>assistant<|channel|>final<|message|>one STOP two"
    )
    assert read(text, stops=["STOP"]) == ("one ", "STOP", True)


def test_log_probabilities_travel_with_the_text_they_belong_to() -> None:
    writer = Writer(TOKENIZER, Harmony(TOKENIZER), ["zz"], chat=True)
    seen = []
    for token in TOKENIZER.encode_template("<|channel|>final<|message|>a€z!"):
        delta, _ = writer.feed(Chosen(token, -0.5))
        if delta.content:
            seen.append((delta.content, len(delta.tokens)))
    assert seen == [("a", 1), ("€", 3), ("z!", 2)]


@given(st.text("abc"), st.lists(st.text("abc", min_size=1, max_size=4), max_size=3), st.data())
def test_text_ends_before_the_first_complete_stop_however_it_is_cut(
    text: str, stops: list[str], data: st.DataObject
) -> None:
    found = [(at + len(stop), at) for stop in stops if (at := text.find(stop)) >= 0]
    right = text[: min(found)[1]] if found else text  # the stop that is complete first
    gate, shown, left = Stops(stops), "", text
    while left and gate.hit is None:
        size = data.draw(st.integers(1, len(left)))
        shown += gate.feed(left[:size])
        left = left[size:]
        assert right.startswith(shown)
    assert shown + gate.close() == right
