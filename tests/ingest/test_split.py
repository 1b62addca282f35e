"""Splitting: nothing lost, nothing too long, cut where a person would."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest import layout
from ingest.blocks import Block
from ingest.layout import Laid, lay_out
from ingest.split import split
from kb.types import Chunk
from tests.fakes import FakeEncoder

ENCODER = FakeEncoder()

words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
sentences = st.lists(words, min_size=1, max_size=30).map(" ".join)
bodies = st.one_of(
    sentences,
    st.lists(sentences, min_size=1, max_size=4).map("\n".join),
    st.text("水箱编号保修期三年。，", min_size=1, max_size=200),
    st.text("ab", min_size=90, max_size=900),
)
tables = st.lists(st.lists(words, min_size=1, max_size=4).map("\t".join), min_size=1, max_size=30).map(
    "\n".join
)
blocks_ = st.lists(
    st.one_of(
        st.builds(Block, bodies, st.sampled_from(["text", "item", "code"])),
        st.builds(Block, sentences, st.just("heading"), st.integers(1, 6)),
        st.builds(Block, tables, st.just("table")),
    ).filter(lambda block: block.text.strip()),
    max_size=12,
)


def squeezed(text: str) -> str:
    return "".join(text.split())


def check(laid: Laid, chunks: list[Chunk], limit: int) -> None:
    assert squeezed("".join(laid.text[c.start : c.end] for c in chunks)) == squeezed(laid.text)
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    last = 0
    for chunk in chunks:
        assert last <= chunk.start < chunk.end <= len(laid.text)
        assert chunk.text.endswith(laid.text[chunk.start : chunk.end])
        assert chunk.tokens <= limit
        last = chunk.end


@given(blocks_, st.integers(30, 64))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_character_lies_in_exactly_one_chunk(blocks: list[Block], limit: int) -> None:
    laid = lay_out(blocks)
    check(laid, split(laid, ENCODER, limit), limit)


@given(blocks_, st.lists(st.integers(0, 3), min_size=12, max_size=12), st.integers(0, 3), st.integers(30, 64))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_pages_begin_where_they_are_said_to(
    blocks: list[Block], turns: list[int], empty: int, limit: int
) -> None:
    paged = [
        replace(block, page=page) for block, page in zip(blocks, accumulate(turns, initial=1), strict=False)
    ]
    pages = paged[-1].page + empty if paged and paged[-1].page else 0
    laid = lay_out(paged, pages)
    check(laid, split(laid, ENCODER, limit), limit)
    assert len(laid.page_starts) == pages
    feeds = [at for at, letter in enumerate(laid.text, 1) if letter == "\f"]
    assert list(laid.page_starts) == ([0, *feeds] if pages else [])
    assert [bisect_right(laid.page_starts, span.start) for span in laid.spans] == [b.page for b in paged]
    assert all(
        laid.text[s.start : s.end].endswith(b.text)
        for s, b in zip(laid.spans, paged, strict=True)
        if s.kind != "heading"
    )


@given(st.lists(sentences, min_size=1, max_size=8), st.integers(30, 64))
@settings(max_examples=60, deadline=None)
def test_no_chunk_has_more_of_the_encoders_tokens(texts: list[str], limit: int) -> None:
    laid = lay_out([Block(text) for text in texts if text.strip()])
    for chunk in split(laid, ENCODER, limit):
        assert len(ENCODER.token_spans(chunk.text)) <= limit


def test_sentences_stay_whole() -> None:
    sentence = "The tank holds two litres of water and is filled from above."
    laid = lay_out([Block(" ".join([sentence] * 12))])
    chunks = split(laid, ENCODER, 40)
    assert len(chunks) > 3
    assert all(chunk.text.startswith("The tank") and chunk.text.endswith("above.") for chunk in chunks)


def test_chinese_sentences_stay_whole() -> None:
    class Characters(FakeEncoder):
        def token_spans(self, text: str) -> list[tuple[int, int]]:
            return [(at, at + 1) for at, c in enumerate(text) if not c.isspace()]

    laid = lay_out([Block("请使用除垢剂，不要使用白醋。" * 20)])
    chunks = split(laid, Characters(), 60)
    assert all(chunk.text.endswith("。") for chunk in chunks)


def test_no_tiny_rest() -> None:
    laid = lay_out([Block(" ".join(f"w{n}" for n in range(105)))])
    sizes = [chunk.tokens for chunk in split(laid, ENCODER, 50)]
    assert len(sizes) == 3 and max(sizes) - min(sizes) < 10


def test_sections_of_some_length_are_chunks_of_their_own() -> None:
    blocks = []
    for name in ("Filling", "Cleaning"):
        blocks += [Block(name, "heading", 2), Block(" ".join(f"{name.lower()}{n}" for n in range(40)))]
    first, second = split(lay_out(blocks), ENCODER, 100)
    assert (first.heading, second.heading) == ("Filling", "Cleaning")
    assert second.text.startswith("## Cleaning")


def test_a_heading_is_never_parted_from_its_text() -> None:
    blocks = []
    for n in range(30):
        blocks += [Block(f"Part {n}", "heading", 2), Block(" ".join(f"word{n}" for _ in range(n % 7 + 9)))]
    for chunk in split(lay_out(blocks), ENCODER, 40):
        assert not chunk.text.rstrip().split("\n")[-1].startswith("## ")


def test_whoever_counts_the_form_feeds_is_on_the_right_page() -> None:
    blocks = [Block(f"text of page {page}", page=page) for page in (2, 5)]
    laid = lay_out(blocks, pages=7)
    pages = laid.text.split("\f")
    assert [number for number, text in enumerate(pages, 1) if text.strip()] == [2, 5]
    assert len(pages) == len(laid.page_starts) == 7
    assert [laid.text[start - 1] for start in laid.page_starts[1:]] == ["\f"] * 6
    assert "\f" not in lay_out([Block("a"), Block("b")]).text


def test_heading_path_page_and_part() -> None:
    blocks = [
        Block("Manual", "heading", 1, 1),
        Block("Cleaning", "heading", 2, 1),
        Block("Use the descaler.", page=1),
        Block("Next page.", page=3),
        Block("notes.txt", "heading", 1, None, "notes.txt"),
        Block("An attachment.", part="notes.txt"),
    ]
    laid = lay_out(blocks, pages=4)
    one, two, three = split(laid, ENCODER, 50)
    assert (one.page, one.heading) == (1, "Manual")
    assert (two.page, two.heading, two.text) == (3, "Manual › Cleaning", "Next page.")
    assert (three.part, three.heading, three.page) == ("notes.txt", "notes.txt", None)
    assert len(laid.page_starts) == 4
    assert laid.text[laid.page_starts[2] :].startswith("Next page.")


def test_every_piece_of_a_table_repeats_its_header() -> None:
    rows = ["part\tprice\tstock", *(f"pump {n}\t{n * 3}\t{n % 5}" for n in range(100))]
    laid = lay_out([Block("Our parts", "heading", 1), Block("\n".join(rows), "table")])
    chunks = split(laid, ENCODER, 60)
    check(laid, chunks, 60)
    assert len(chunks) > 5
    for chunk in chunks:
        assert "part\tprice\tstock" in chunk.text
        assert chunk.text.count("price") == 1
        own = laid.text[chunk.start : chunk.end]
        assert all(row in rows for row in own.split("\n") if "\t" in row)  # no row is cut


def test_a_small_table_stays_with_its_text() -> None:
    laid = lay_out([Block("Prices:"), Block("a\tb\n1\t2\n3\t4", "table")])
    (chunk,) = split(laid, ENCODER, 50)
    assert chunk.text == "Prices:\n\na\tb\n1\t2\n3\t4"


@pytest.mark.parametrize("character", ["x", "水", "ก"])
def test_words_without_end_are_cut(character: str) -> None:
    laid = lay_out([Block(character * 5000)])
    chunks = split(laid, ENCODER, 64)
    check(laid, chunks, 64)
    assert len(chunks) > 10


def test_a_text_is_tokenised_once() -> None:
    class Counting(FakeEncoder):
        seen = 0

        def token_spans(self, text: str) -> list[tuple[int, int]]:
            self.seen += len(text)
            return super().token_spans(text)

    encoder = Counting()
    laid = lay_out([Block("The tank holds two litres of water. " * 5000)])
    assert len(split(laid, encoder, 254)) > 100
    assert encoder.seen == len(laid.text)


def test_nothing_makes_no_chunk() -> None:
    assert split(lay_out([]), ENCODER, 50) == []
    assert layout.lay_out([]).text == ""
