"""Marks point only at passages that were shown, and quotations are exact."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kb.answer import cite
from kb.answer.extract import Quote
from tests.fakes_answer import passage

SHOWN = (
    passage(1, "Leave", "Employees get 25 days of leave. Unused days expire in March."),
    passage(2, "Requests", "Requests go to the team lead."),
    passage(4, "Pay", "Salaries are paid on the last day of the month."),
)


@pytest.mark.parametrize(
    ("said", "plain"),
    [
        ("A [1].", "A [1]."),
        ("A [1, 2].", "A [1][2]."),
        ("A [1][2].", "A [1][2]."),
        ("A [1-2].", "A [1][2]."),
        ("A 【1】【2†L4-L9】。", "A [1][2]。"),
        ("A [2†source].", "A [2]."),
        ("A [Source 2].", "A [2]."),
        ("A [3].", "A."),
        ("A [1, 3, 99].", "A [1]."),
        ("A [0] [-1] [^1].", "A [-1] [1]."),
        ("A 【文档 2】。", "A [2]。"),
        ("See [section a] of it.", "See [section a] of it."),
        ("In [2024] it was.", "In [2024] it was."),
        ("A [[9]3].", "A."),
        ("A 【[0]2】.", "A [2]."),
        (
            "1. Open it [9] now.\n   - Wait.\n      - Then go [1].",
            "1. Open it now.\n   - Wait.\n      - Then go [1].",
        ),
    ],
)
def test_marks_become_plain(said: str, plain: str) -> None:
    assert cite.normalise(said, SHOWN) == plain


@given(st.text(alphabet="ab .,[]【】†0123456789-–、", max_size=60))
@example("【[0]0】")
def test_no_mark_ever_names_a_passage_that_was_not_shown(said: str) -> None:
    text = cite.normalise(said, SHOWN)
    assert {citation.n for citation in cite.citations(text, SHOWN)} <= {1, 2, 4}
    assert cite.normalise(text, SHOWN) == text


def test_the_quotation_is_the_sentence_that_says_it() -> None:
    found = cite.citations("Unused days are lost in March [1]. Ask the team lead [2].", SHOWN)
    assert [(c.n, c.quote) for c in found] == [
        (1, "Unused days expire in March."),
        (2, "Requests go to the team lead."),
    ]
    assert found[0].document_id == "doc_Leave" and found[0].url == "/documents/doc_Leave"


def test_claims_are_words_without_markdown() -> None:
    text = "1. **Open** the app [1].\n- Wait.\n> Quoted.\n\n| Code | Meaning |\n| --- | --- |\n| E04 | no `water` |"
    assert [claim for claim, _ in cite.claims(text)] == [
        "Open the app.",
        "Wait.",
        "Quoted.",
        "Code Meaning",
        "E04 no water",
    ]


def test_a_mark_after_the_full_stop_belongs_to_the_sentence_before() -> None:
    assert cite.claims("Leave is 25 days.[1] Ask the lead. [2]") == [
        ("Leave is 25 days.", (1,)),
        ("Ask the lead.", (2,)),
    ]
    assert cite.claims("休假25天。[1]请找组长。[2]") == [("休假25天。", (1,)), ("请找组长。", (2,))]


def test_runs_of_blanks_are_one() -> None:
    """So many that a pattern which tries each of them as a beginning would take half a minute."""
    assert cite.normalise("A" + " " * 60_000 + "B [1].", SHOWN) == "A B [1]."


def test_a_citation_names_the_page_of_its_quotation_not_of_the_passage() -> None:
    text = "E07 means the grinder is stuck.\nE37 means the tray is missing."
    shown = [passage(1, "Codes", text, turns=((32, 2),))]
    (generated,) = cite.citations("The tray is missing [1].", shown)
    assert generated.quote.startswith("E37") and generated.page == 2
    (first,) = cite.citations("The grinder is stuck [1].", shown)
    assert first.page == 1
    quotes = [Quote(1, text[32:], 32, len(text), 1.0), Quote(1, text[:31], 0, 31, 0.5)]
    assert [found.page for found in cite.quotations(quotes, shown)] == [2, 1]
