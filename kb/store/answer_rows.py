"""Answers as JSON in a row, and what of a stored answer its reader may still see.

A stored answer is a copy of document text, so reading it passes the same gate as reading the documents:
sources that were deleted, or that the reader may no longer read, go, and with them every text made of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from kb.store.scope import allowed
from kb.store.tables import DocumentRow, FaqRow
from kb.store.values import aware, clean
from kb.types import Answer, Audience, Citation, Passage, Principal

WITHHELD = (
    "This answer is not shown any more: a document it was made from was removed, or is not yours to read now."
)


def to_body(answer: Answer) -> dict[str, Any]:
    """An Answer as plain JSON."""
    body = _plain(asdict(answer))
    assert isinstance(body, dict)
    return body


def as_answer(body: Mapping[str, Any], created_at: datetime) -> Answer:
    """The Answer of a row; fields this version does not know are left out."""
    known = {field.name for field in fields(Answer)}
    values = {name: value for name, value in body.items() if name in known}
    values["created_at"] = aware(created_at)
    values["citations"] = tuple(Citation(**_only(Citation, item)) for item in body["citations"])
    values["passages"] = tuple(
        Passage(
            **(_only(Passage, item) | {name: _tuples(item.get(name, [])) for name in ("chunk_ids", "turns")})
        )
        for item in body["passages"]
    )
    return Answer(**values)


def readable(
    session: Session, principal: Principal, answers: Sequence[Answer], audience: Audience | None = None
) -> list[Answer]:
    """The answers without what this principal may not read now; the texts made of it are withheld.

    audience 'public': without what is not public, too.
    """
    named = {citation.document_id for answer in answers for citation in answer.citations}
    named |= {passage.document_id for answer in answers for passage in answer.passages}
    open_ = readable_ids(session, principal, named, audience)
    return [_cut(answer, open_) for answer in answers]


def withheld(answer: Answer) -> bool:
    """Whether `readable` took the text away."""
    return answer.text == WITHHELD


def readable_ids(
    session: Session, principal: Principal, ids: Collection[str], audience: Audience | None = None
) -> set[str]:
    """Those of these documents and FAQ entries that this principal may read now."""
    if not ids:
        return set()
    scope = allowed(session, principal, audience=audience).collection_ids
    found: set[str] = set()
    for row in (DocumentRow, FaqRow):  # answers of the FAQ tier cite their entry
        found.update(session.scalars(select(row.id).where(row.id.in_(ids), row.collection_id.in_(scope))))
    return found


def _cut(answer: Answer, open_: set[str]) -> Answer:
    citations = tuple(citation for citation in answer.citations if citation.document_id in open_)
    passages = tuple(passage for passage in answer.passages if passage.document_id in open_)
    # A model may have used any passage it was shown, quoted or not; a text that says there is no
    # answer (tier none) is made of none.
    made_of: Sequence[Citation | Passage] = (
        answer.citations if answer.tier in ("faq", "extractive") else answer.passages
    )
    gone = answer.tier != "none" and any(source.document_id not in open_ for source in made_of)
    if not gone:
        return replace(answer, citations=citations, passages=passages)
    # A program looks at answerable and support before it sends a text to a customer: this one is no answer.
    return replace(
        answer,
        text=WITHHELD,
        answerable=False,
        support="none",
        notice=None,
        citations=(),
        passages=passages,
    )


def _only(kind: type[Citation] | type[Passage], item: Mapping[str, Any]) -> dict[str, Any]:
    known = {field.name for field in fields(kind)}
    return {name: value for name, value in item.items() if name in known}


def _tuples(value: Any) -> Any:
    """What JSON made a list of."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "item"):  # a numpy number
        return value.item()
    return value
