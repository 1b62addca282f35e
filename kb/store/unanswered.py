"""Questions that found no answer, each once: what curators read to see what is missing."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from kb.types import Tier

LOOKED_AT = 20_000  # the newest questions that are grouped; older ones are out of sight
_WORDS = re.compile(r"\w+")


@dataclass(frozen=True)
class Unanswered:
    """A question that found no answer. question: with its subject, as it was searched for, when asked last.

    id, tier, created_at: of the answer given last. count: how often it was asked.
    """

    id: str
    question: str
    tier: Tier
    created_at: datetime
    count: int = 1


def key(question: str) -> str:
    """The question without case, spacing and punctuation: two that share it are one."""
    return " ".join(_WORDS.findall(unicodedata.normalize("NFKC", question).casefold()))


def hashed(question: str) -> str:
    """What stands for the question, however it is typed, where its words are not to be kept."""
    return hashlib.sha256((key(question) or question).encode()).hexdigest()


def grouped(newest_first: Iterable[Unanswered], curated: Collection[str]) -> list[Unanswered]:
    """Each question once, by when it was asked last. curated: keys of FAQ wordings, which have an answer now."""
    found: dict[str, Unanswered] = {}
    for row in newest_first:
        name = key(row.question) or row.question
        if name in curated:
            continue
        first = found.setdefault(name, replace(row, count=0))
        found[name] = replace(first, count=first.count + 1)
    return list(found.values())


def put_aside(row: Unanswered, dismissed: Mapping[str, datetime]) -> bool:
    """Whether it was not asked since it was dismissed. dismissed: until when, by the question's hash."""
    until = dismissed.get(hashed(row.question)) if dismissed else None
    return until is not None and row.created_at <= until
