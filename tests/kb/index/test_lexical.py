"""The lexical index by itself."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from kb.index.lexical import FEW, Lexical
from kb.index.rows import Allowed
from kb.index.text import terms
from kb.store.chunks import IndexedChunk
from kb.types import Filters

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


def chunk(number: int, collection: int) -> IndexedChunk:
    text = f"Pump {number} is serviced " + "twice " * (number % 7) + "a year"
    return IndexedChunk(number, collection, f"d{number}", text, "", "", "upload", "txt", "en", WHEN)


def test_scores_do_not_depend_on_how_the_allowed_set_is_looked_up(tmp_path: Path) -> None:
    lexical = Lexical(tmp_path)
    lexical.add([chunk(number, 1 + number % 3) for number in range(3 * FEW)])
    lexical.commit()
    question, filters = terms("service twice"), Filters()
    some = range(0, FEW, 2)
    one_by_one = lexical.search(question, Allowed(frozenset({1, 2}), filters), 1000, among=some)
    many = lexical.search(
        question,
        Allowed(frozenset({1, 2} | set(range(10, 10 + 2 * FEW))), filters),
        1000,
        among=[*some, *range(10**6, 10**6 + 2 * FEW)],
    )
    assert dict(zip(*(part.tolist() for part in one_by_one), strict=True)) == dict(
        zip(*(part.tolist() for part in many), strict=True)
    )
    assert {number % 3 for number in one_by_one[0].tolist()} == {0, 1}
    assert set(one_by_one[0].tolist()) == {n for n in some if n % 3 != 2}
