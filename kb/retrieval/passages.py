"""From ranked chunks to the passages that are shown: doubles out, neighbours joined, no document floods the list."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from kb.store.chunks import LoadedChunk
from kb.types import Passage

JOINED = 3  # chunks in one passage at most
PER_DOCUMENT = 3  # passages of one document, until the others had their turn
SAME = 0.9  # share of common words from which two chunks tell the same
_PIECE = re.compile(r"[^\s,.;:!?，。、；：！？]+")  # words; clauses where no spaces are written


@dataclass
class _Group:
    """Neighbouring chunks of one revision, in order of their place."""

    chunks: list[LoadedChunk]
    score: float

    def touches(self, chunk: LoadedChunk) -> bool:
        first, last = self.chunks[0], self.chunks[-1]
        same = (chunk.revision_id, chunk.part, chunk.heading) == (
            first.revision_id,
            first.part,
            first.heading,
        )
        return same and chunk.ordinal in (first.ordinal - 1, last.ordinal + 1) and len(self.chunks) < JOINED

    def join(self, chunk: LoadedChunk) -> None:
        self.chunks.insert(0 if chunk.ordinal < self.chunks[0].ordinal else len(self.chunks), chunk)


def arrange(
    chunks: Sequence[LoadedChunk],
    scores: Sequence[float],
    why: Mapping[int, Mapping[str, Any]],
    limit: int,
) -> tuple[Passage, ...]:
    """At most `limit` passages, best first, numbered from 1. chunks: best first, with their scores."""
    groups: list[_Group] = []
    shown: list[frozenset[str]] = []
    for chunk, score in zip(chunks, scores, strict=True):
        near = next((group for group in groups if group.touches(chunk)), None)
        if near is None and _enough(groups, limit):
            continue  # it could only be joined to one that is shown
        bag = _pieces(chunk.text)
        if _told(bag, shown):
            continue
        shown.append(bag)
        if near is not None:
            near.join(chunk)
        else:
            groups.append(_Group([chunk], score))
    chosen = _spread(groups)[:limit]
    return tuple(_passage(n, group, why) for n, group in enumerate(chosen, 1))


def _enough(groups: Sequence[_Group], limit: int) -> bool:
    """Whether `limit` passages are there without any document having more than its share."""
    if len(groups) < limit:
        return False
    held = Counter(group.chunks[0].document_id for group in groups)
    return sum(min(count, PER_DOCUMENT) for count in held.values()) >= limit


def _spread(groups: Sequence[_Group]) -> list[_Group]:
    """The same order, with what exceeds PER_DOCUMENT moved to the end."""
    seen: dict[str, int] = {}
    first: list[_Group] = []
    rest: list[_Group] = []
    for group in groups:
        document = group.chunks[0].document_id
        seen[document] = seen.get(document, 0) + 1
        (first if seen[document] <= PER_DOCUMENT else rest).append(group)
    return first + rest


def _pieces(text: str) -> frozenset[str]:
    words = text.split()
    spaced = len(text) < 16 * len(words)
    return frozenset(words if spaced else _PIECE.findall(text))


def _told(bag: frozenset[str], shown: Sequence[frozenset[str]]) -> bool:
    """Whether something shown already says nearly the same."""
    size = len(bag)
    for other in shown:
        most = max(size, len(other))
        if min(size, len(other)) < SAME * most:
            continue
        common = len(bag & other)
        if common and common >= SAME * (size + len(other) - common):
            return True
    return False


def _passage(n: int, group: _Group, why: Mapping[int, Mapping[str, Any]]) -> Passage:
    first, last = group.chunks[0], group.chunks[-1]
    ids = tuple(chunk.id for chunk in group.chunks)
    reasons = [dict(why[id_], chunk_id=id_) for id_ in ids if id_ in why]
    best = max(reasons, key=lambda reason: reason["score"], default={})
    return Passage(
        n=n,
        document_id=first.document_id,
        external_id=first.external_id,
        title=first.title,
        collection=first.collection,
        revision=first.revision,
        page=first.page,
        heading=first.heading,
        text="\n".join(chunk.text for chunk in group.chunks),
        url=f"/documents/{first.document_id}?revision={first.revision}&start={first.start}&end={last.end}#passage",
        chunk_ids=ids,
        turns=_turns(group.chunks),
        start=first.start,
        end=last.end,
        language=first.language,
        score=group.score,
        why={**best, "joined": reasons} if len(reasons) > 1 else best,
    )


def _turns(chunks: Sequence[LoadedChunk]) -> tuple[tuple[int, int | None], ...]:
    """Where in the joined text a page begins that is not the first chunk's; a chunk lies on one page."""
    found, at = [], 0
    for before, chunk in pairwise(chunks):
        at += len(before.text) + 1
        if chunk.page != before.page:
            found.append((at, chunk.page))
    return tuple(found)
