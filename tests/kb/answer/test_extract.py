"""The sentence that answers comes first, whatever else speaks of the same thing."""

from __future__ import annotations

import pytest

from kb.answer import complete, extract, quotations
from kb.answer.words import terms
from kb.index.sentences import spans
from tests.fakes import FakeEncoder
from tests.fakes_answer import passage

LEAVE = passage(
    1,
    "Leave policy",
    "Paid leave lets employees rest. Employees get 25 days a year. Unused days expire in March.",
)
PUMP = passage(2, "Pump X3", "The Pump X3 is blue. It weighs 12 kg. Its motor was built in Kiel in 1998.")
PUMPS = passage(3, "水泵手册", "水泵X3是蓝色的。它重12公斤。电机于1998年在基尔制造。")


def quoted(question: str, encoder: FakeEncoder | None = None) -> str:
    wanted = {*terms(question)}
    shown = sorted((LEAVE, PUMP, PUMPS), key=lambda p: -len(wanted & {*terms(p.title + p.text)}))
    return quotations.choose(extract.read(question, shown, encoder), shown)[0].text


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("How many days of leave do employees get a year?", "Employees get 25 days a year."),
        ("When do unused days expire?", "Unused days expire in March."),
        ("How much does the Pump X3 weigh?", "It weighs 12 kg."),
        ("When was the motor of the Pump X3 built?", "Its motor was built in Kiel in 1998."),
        ("水泵X3重多少公斤？", "它重12公斤。"),
        ("水泵X3的电机是哪一年制造的？", "电机于1998年在基尔制造。"),
    ],
)
@pytest.mark.parametrize("encoder", [None, FakeEncoder()])
def test_the_first_quotation_holds_the_answer(
    question: str, answer: str, encoder: FakeEncoder | None
) -> None:
    found = quoted(question, encoder)
    assert answer in found and len(found) <= 2.5 * len(answer)


def test_quotes_are_exact_spans_and_few_are_embedded() -> None:
    encoder = FakeEncoder()
    long = passage(1, "Long", " ".join(f"Sentence number {n} about pumps." for n in range(300)))
    reading = extract.read("What about pumps?", (long,), encoder)
    assert all(long.text[quote.start : quote.end] == quote.text for quote in reading.quotes)
    assert len(reading.quotes) == extract.SENTENCES_PER_PASSAGE and encoder.encoded == extract.EMBEDDED


def test_sentences_whose_nearness_is_known_are_not_embedded_again() -> None:
    question, encoder = "How much does the pump weigh?", FakeEncoder()
    plain = extract.read(question, [LEAVE, PUMP], encoder)
    vector = encoder.encode_question(question)
    known = {
        shown.n: {
            (a, b): float(encoder.encode_documents([shown.text[a:b]])[0] @ vector)
            for a, b in spans(shown.text)
        }
        for shown in (LEAVE, PUMP)
    }
    encoder.encoded = 0
    assert extract.read(question, [LEAVE, PUMP], encoder, known) == plain and encoder.encoded == 0
    del known[PUMP.n][spans(PUMP.text)[1]]
    assert extract.read(question, [LEAVE, PUMP], encoder, known) == plain and encoder.encoded == 1


def test_sentences_in_a_row_are_one_quotation() -> None:
    text = "Leave is 25 days for employees. Leave is 15 days for part-time employees. The sky is blue."
    shown = (passage(1, "Leave", text),)
    quotes = quotations.choose(extract.read("How many days is leave for employees?", shown), shown)
    assert [quote.text for quote in quotes] == [text[: text.index(" The sky")]]
    assert quotations.compose(quotes).endswith(" [1]")


def test_instructions_go_on() -> None:
    text = "To reset the router press the red button. Hold it for ten seconds. Wait until the lamp is green."
    shown = (passage(1, "Router", text + " Unrelated words follow here." * 30),)
    quotes = quotations.choose(extract.read("How do I reset the router?", shown), shown)
    assert quotes[0].text.startswith(text) and len(quotes[0].text) <= complete.STEPS


def test_a_document_s_own_marks_are_not_ours() -> None:
    shown = (passage(1, "Leave", "Employees get 25 days of paid leave [7]."),)
    quotes = quotations.choose(extract.read("How many days of paid leave?", shown), shown)
    assert quotations.compose(quotes) == "Employees get 25 days of paid leave (7). [1]"
    assert quotes[0].text == shown[0].text


def test_repeats_are_quoted_once() -> None:
    same = "Employees get 25 days of paid leave."
    shown = (passage(1, "A", same), passage(2, "B", same))
    assert len(quotations.choose(extract.read("How many days of paid leave?", shown), shown)) == 1


def test_nothing_to_read() -> None:
    reading = extract.read("anything", ())
    assert reading.best is None and quotations.choose(reading, ()) == () and quotations.compose(()) == ""


def test_quotations_keep_lists_and_leave_headings_out() -> None:
    text = "## Travel\n\nAsk first.\nThen book:\n\n- trains: second class\n- planes: economy"
    quote = extract.Quote(n=2, start=0, end=len(text), text=text, score=1.0, features={})
    assert (
        quotations.compose([quote]) == "Ask first. Then book:\n- trains: second class\n- planes: economy [2]"
    )
    alone = extract.Quote(n=1, start=0, end=9, text="## Travel", score=1.0, features={})
    assert quotations.compose([alone]) == "Travel [1]"


def test_a_table_of_contents_is_not_quoted() -> None:
    text = "- [How travel expenses are claimed](#claim)\n- [Receipts](#receipts)\nExpenses go to the finance team by Friday."
    shown = (passage(1, "Travel", text),)
    reading = extract.read("How are travel expenses claimed?", shown)
    assert [quote.text for quote in reading.quotes] == ["Expenses go to the finance team by Friday."]
    only = (passage(1, "Travel", "- [How travel expenses are claimed](#claim)"),)
    assert extract.read("How are travel expenses claimed?", only).best is not None
