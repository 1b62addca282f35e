"""From ranked chunks to shown passages."""

from __future__ import annotations

from dataclasses import replace

from kb.retrieval.passages import arrange
from kb.store.chunks import LoadedChunk


def chunk(number: int, document: str, ordinal: int, text: str) -> LoadedChunk:
    return LoadedChunk(
        id=number, document_id=document, external_id=document, title=document, collection="docs",
        revision_id=ord(document), revision=1, ordinal=ordinal, text=text, start=0, end=len(text), page=1,
        heading="", part=None, language="en", sentences=None,
    )  # fmt: skip


def test_a_neighbour_ranked_below_the_last_passage_still_joins_it() -> None:
    ranked = [chunk(1, "a", 0, "First part."), chunk(2, "b", 0, "Elsewhere."), chunk(3, "c", 0, "Far off.")]
    ranked.append(chunk(4, "a", 1, "Second part."))
    found = arrange(ranked, [4.0, 3.0, 2.0, 1.0], {}, limit=2)
    assert [passage.text for passage in found] == ["First part.\nSecond part.", "Elsewhere."]


def test_one_document_does_not_keep_the_others_out() -> None:
    ranked = [chunk(n, "a", 5 * n, f"Rule {n} of this long book.") for n in range(1, 6)]
    ranked.append(chunk(9, "b", 0, "Elsewhere."))
    found = arrange(ranked, [float(9 - n) for n in range(6)], {}, limit=4)
    assert [passage.document_id for passage in found] == ["a", "a", "a", "b"]


def test_a_joined_passage_knows_where_its_pages_turn() -> None:
    parts = [
        replace(chunk(n, "a", n, text), page=page)
        for n, (text, page) in enumerate([("One.", 4), ("Two.", 4), ("Three.", 5)])
    ]
    (passage,) = arrange([parts[1], parts[0], parts[2]], [3.0, 2.0, 1.0], {}, limit=5)
    assert passage.text == "One.\nTwo.\nThree." and passage.page == 4
    assert [passage.page_at(passage.text.index(word)) for word in ("One", "Two", "Three")] == [4, 4, 5]
