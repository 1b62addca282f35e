"""What is exported as CSV is imported as the same."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest

from kb.store.faqfile import FIELDS, csv_row, read_rows
from kb.types import FaqEntry

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def there_and_back(question: str, answer: str, *variants: str) -> tuple[str, dict[str, object]]:
    """The file with one entry, and the row it is read as."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(FIELDS)
    writer.writerow(csv_row(FaqEntry("faq_1", question, variants, answer, "default", "en", NOW, NOW)))
    (row,) = read_rows("csv", out.getvalue().encode())
    return out.getvalue(), row


@pytest.mark.parametrize(
    "variants",
    [
        ("a|b", "c"),
        ("a\\|b", "C:\\", "\\\\server\\x", "d\\"),
        ("two\nlines", "back\\\nslash", "|", "\\"),
        ("two\r\nlines", "=a|-b"),
        ("-x", "'=y"),
    ],
)
def test_wordings_come_back_whole(variants: tuple[str, ...]) -> None:
    _, row = there_and_back("When?", "Now.", *variants)
    assert row["variants"] == list(variants)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(1)", "'=1", "''-x", "'quoted'", "it's", "1=1"])
def test_no_cell_is_a_formula_and_none_changes(text: str) -> None:
    written, row = there_and_back(text, text, text)
    assert row == {
        "id": "faq_1",
        "question": text,
        "variants": [text],
        "answer": text,
        "collection": "default",
        "language": "en",
    }
    (_, cells) = csv.reader(io.StringIO(written))
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)


def test_files_written_by_hand_mean_what_they_meant() -> None:
    text = b'question,answer,variants\nQ,-5 degrees,"a | b\\c\nd\\"\n'
    assert read_rows("csv", text) == [
        {"question": "Q", "answer": "-5 degrees", "variants": ["a", "b\\c", "d\\"]}
    ]


def test_a_cell_of_backslashes_is_read_in_passing() -> None:
    text = b"question,answer,variants\nQ,A," + b"\\" * 120_000 + b"x\n"
    assert len(read_rows("csv", text)[0]["variants"][0]) == 120_001
