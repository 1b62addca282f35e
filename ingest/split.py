"""Splitting the stored text into chunks of at most so many of the encoder's tokens.

Every character that is not white space lies in exactly one chunk. Chunks do not cross pages or embedded files.
The text is tokenised once; within a page the pieces come out about equally long (no tiny rest), each cut at
the best place near its due end. A piece that starts inside a table carries the table's header row before its
own rows; its offsets cover only those.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest import boundaries
from ingest.layout import Laid, Span
from kb.ports import Encoder
from kb.types import Chunk

SHORTEST = 0.4  # of the limit: a piece is not cut shorter for a better place
DISTANCE = 0.9  # what being a whole limit away from the due end costs


@dataclass(frozen=True)
class _Table:
    """A table's place in the run's tokens, and its header row."""

    first: int
    last: int
    body: int  # offset in the text after the header row
    header: str
    tokens: int


@dataclass(frozen=True)
class _Tokens:
    """The tokens of a run: where each starts, what all before it weigh, and how good a cut before it is.

    firsts: of each span, its first token. tables: those whose header is repeated.
    """

    starts: NDArray[np.int64]
    upto: NDArray[np.int64]
    strengths: NDArray[np.float32]
    firsts: Sequence[int]
    tables: Sequence[_Table]


def split(laid: Laid, encoder: Encoder, max_tokens: int) -> list[Chunk]:
    """Chunks in reading order. max_tokens: without the encoder's two marks."""
    chunks: list[Chunk] = []
    for run in _runs(laid.spans):
        chunks.extend(_split_run(laid.text, run, encoder, max_tokens, len(chunks)))
    return chunks


def budget(chunk_tokens: int, encoder: Encoder) -> int:
    """Tokens a chunk may have: what is set, or what the encoder reads, less its start and end marks."""
    return max(8, min(chunk_tokens, encoder.max_tokens) - 2)


def _runs(spans: Sequence[Span]) -> Iterator[list[Span]]:
    """Neighbouring spans of one page and one file: what chunks do not cross."""
    run: list[Span] = []
    for span in spans:
        if run and (span.page != run[-1].page or span.part != run[-1].part):
            yield run
            run = []
        run.append(span)
    if run:
        yield run


def _split_run(text: str, run: list[Span], encoder: Encoder, limit: int, ordinal: int) -> Iterator[Chunk]:
    tokens = _measured(text, run, encoder, limit)
    count = len(tokens.starts)
    at = 0
    while at < count:
        begin = int(tokens.starts[at])
        table = _table_at(tokens.tables, at, begin)
        header, cost = (f"{table.header}\n", table.tokens) if table else ("", 0)
        cut = _cut(tokens.upto, tokens.strengths, at, count, limit - cost)
        piece = text[begin : int(tokens.starts[cut]) if cut < count else run[-1].end]
        own = piece.strip()
        if own:
            begin += len(piece) - len(piece.lstrip())
            span = run[max(0, int(np.searchsorted(tokens.firsts, at, side="right")) - 1)]
            yield Chunk(
                ordinal=ordinal,
                text=header + own,
                start=begin,
                end=begin + len(own),
                page=span.page,
                heading=span.heading,
                part=span.part,
                tokens=int(tokens.upto[cut] - tokens.upto[at]) + cost,
            )
            ordinal += 1
        at = cut


def _measured(text: str, run: list[Span], encoder: Encoder, limit: int) -> _Tokens:
    starts: list[NDArray[np.int64]] = []
    weights: list[NDArray[np.int32]] = []
    strengths: list[NDArray[np.float32]] = []
    firsts: list[int] = []
    tables: list[_Table] = []
    count = 0
    before: Span | None = None
    for span in run:
        own, weight = boundaries.tokens(text, span, encoder)
        starts.append(own)
        weights.append(weight)
        strengths.append(boundaries.strengths(text, span, own, before))
        firsts.append(count)
        if span.kind == "table" and (table := _table(text, span, own, weight, count, limit)):
            tables.append(table)
        count += len(own)
        before = span
    upto = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(weights), dtype=np.int64)])
    return _Tokens(np.concatenate(starts), upto, np.concatenate(strengths), firsts, tables)


def _cut(upto: NDArray[np.int64], strengths: NDArray[np.float32], at: int, count: int, room: int) -> int:
    """Index of the token before which the piece that starts at `at` ends."""
    rest = int(upto[count] - upto[at])
    farthest = int(np.searchsorted(upto, upto[at] + room, side="right")) - 1
    farthest = max(farthest, at + 1)
    nearest = int(np.searchsorted(upto, upto[at] + SHORTEST * room, side="left"))
    if rest <= room:
        # All of it fits; still, two sections of some length are two chunks.
        last = int(np.searchsorted(upto, upto[count] - SHORTEST * room, side="right"))
        headings = np.flatnonzero(strengths[nearest : max(nearest, last)] == boundaries.HEADING)
        return nearest + int(headings[0]) if len(headings) else count
    due = rest / -(-rest // room)
    places = np.arange(min(nearest, farthest), farthest + 1)
    places = places[(places > at) & (places < count)]
    if not len(places):
        return farthest
    away = np.abs(upto[places] - upto[at] - due) / room
    return int(places[int(np.argmax(strengths[places] - DISTANCE * away))])


def _table(
    text: str, span: Span, starts: NDArray[np.int64], weights: NDArray[np.int32], first: int, limit: int
) -> _Table | None:
    """Its header row: the first of its first three rows with several cells; None if there is none to repeat."""
    at = span.start
    for line in text[span.start : span.end].split("\n", 3)[:3]:
        if "\t" in line:
            stop = at + len(line)
            inside = (starts >= at) & (starts < stop)
            size = int(weights[inside].sum()) + 1
            if size > limit // 3 or stop >= span.end:
                return None
            return _Table(first, first + len(starts), stop, line, size)
        at += len(line) + 1
    return None


def _table_at(tables: Sequence[_Table], token: int, offset: int) -> _Table | None:
    """The table in whose rows, below the header, a piece starts."""
    for table in tables:
        if table.first <= token < table.last and offset >= table.body:
            return table
    return None
