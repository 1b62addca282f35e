"""Where a text may be cut, and how good each place is: before every token of the encoder, a strength 0…1.

A cut is best before a heading, then between blocks, sentences, lines or rows, clauses, words; inside a word
only where the encoder itself parts it (Chinese and Japanese: between any two characters).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ingest.layout import Span
from kb.ports import Encoder

HEADING, BLOCK, ROW, SENTENCE, LINE, CLAUSE, WORD, INSIDE = 1.0, 0.7, 0.7, 0.5, 0.4, 0.15, 0.05, 0.0
SEGMENT = 16_000  # characters given to the tokeniser at a time
LONG = 100  # a word longer than this is one 'unknown' token to WordPiece, whatever its length
STEP, STEP_WEIGHT = 48, 24  # so it counts by its characters, and may be cut

SENTENCES = re.compile(
    r"""[.!?…]["'”’)\]]*\s+(?=[^\W_a-z]|["'“‘(\[])|[。！？；…‥｡!?]["'”’」』）)\]]*(?=\S)"""
)
CLAUSES = re.compile(r"[,;:]\s+|[，、：；]|\s[–—-]\s")
LINES = re.compile(r"\n\s*")
CELLS = re.compile(r"\t+")
WORDS = re.compile(r"\s+")


def tokens(text: str, span: Span, encoder: Encoder) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Start offsets of the block's tokens, and what each weighs. At least one token, covering the block."""
    starts: list[NDArray[np.int64]] = []
    weights: list[NDArray[np.int32]] = []
    for begin, end in _segments(text, span.start, span.end):
        found = np.array(encoder.token_spans(text[begin:end]), dtype=np.int64).reshape(-1, 2)
        if not len(found):
            continue
        lengths = found[:, 1] - found[:, 0]
        if lengths.max() > LONG:
            where, weight = _cut_long(found)
        else:
            where, weight = found[:, 0], np.ones(len(found), np.int32)
        starts.append(where + begin)
        weights.append(weight)
    if not starts:
        return np.array([span.start], np.int64), np.ones(1, np.int32)
    first = np.concatenate(starts)
    first[0] = span.start  # characters the tokeniser drops belong to somebody too
    # One character may become several tokens (½ → 1 / 2): a cut between them would be an empty piece.
    keep = np.concatenate([[True], np.diff(first) > 0])
    weight = np.add.reduceat(np.concatenate(weights), np.flatnonzero(keep)).astype(np.int32)
    return first[keep], weight


def strengths(text: str, span: Span, starts: NDArray[np.int64], before: Span | None) -> NDArray[np.float32]:
    """How good a cut before each token of the block is. before: the block above, None at the start."""
    out = np.full(len(starts), INSIDE, np.float32)
    body = text[span.start : span.end]
    table = span.kind == "table"
    patterns: Sequence[tuple[re.Pattern[str], float]] = (
        ((WORDS, WORD), (CELLS, CLAUSE), (LINES, ROW))
        if table
        else ((WORDS, WORD), (CLAUSES, CLAUSE), (LINES, LINE), (SENTENCES, SENTENCE))
    )
    for pattern, strength in patterns:
        ends = np.fromiter((found.end() for found in pattern.finditer(body)), np.int64) + span.start
        if len(ends):
            at = np.searchsorted(starts, ends)
            at = at[at < len(starts)]
            out[at] = np.maximum(out[at], strength)
    if before is None:
        out[0] = BLOCK
    elif before.kind == "heading":
        out[0] = INSIDE  # a heading is not parted from what it heads
    else:
        out[0] = HEADING if span.kind == "heading" else BLOCK
    return out


def _segments(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Stretches to tokenise, cut at white space, where the encoder cuts as well."""
    while end - start > SEGMENT:
        space = next(
            (found.end() for found in WORDS.finditer(text, start + SEGMENT, min(end, start + 2 * SEGMENT))),
            start + SEGMENT,
        )
        yield start, space
        start = space
    if end > start:
        yield start, end


def _cut_long(found: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    starts: list[int] = []
    weights: list[int] = []
    for start, end in found.tolist():
        if end - start <= LONG:
            starts.append(start)
            weights.append(1)
        else:
            here = range(start, end - STEP // 2, STEP)
            starts.extend(here)
            weights.extend([STEP_WEIGHT] * len(here))
    return np.array(starts, np.int64), np.array(weights, np.int32)
