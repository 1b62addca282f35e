"""Which of somebody's conversations hold the words looked for: in the title, a question, or an answer shown now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, Select, or_, select
from sqlalchemy.orm import Session

from kb.store.answer_rows import as_answer, readable, withheld
from kb.store.tables import AnswerRow, ConversationRow
from kb.store.values import forms
from kb.types import Principal

ASKED_OF_SQL = 8  # words, the longest; what SQL lets through is read in any case
BATCH = 50


def holding(
    session: Session, principal: Principal, query: Select[ConversationRow], words: str, limit: int
) -> list[ConversationRow]:
    """The first `limit` of the query's rows that hold every word.

    A stored answer is a copy of document text: the words of one that is withheld find nothing, or a search would tell
    of what may no longer be read.
    """
    wanted = sorted(set(words.split()), key=len, reverse=True)
    for word in wanted[:ASKED_OF_SQL]:
        query = query.where(_said(word))
    found: list[ConversationRow] = []
    for rows in _batches(session, query):
        texts = _texts(session, principal, rows)
        found += [row for row in rows if all(_within(texts[row.id], word) for word in wanted)]
        if len(found) >= limit:
            break
    return found[:limit]


def _batches(session: Session, query: Select[ConversationRow]) -> Iterator[Sequence[ConversationRow]]:
    at = 0
    while rows := session.scalars(query.offset(at).limit(BATCH)).all():
        yield rows
        at += BATCH


def _said(word: str) -> ColumnElement[bool]:
    written = dict.fromkeys(form for text in _cases(word) for form in forms(text))
    answers = select(AnswerRow.id).where(
        AnswerRow.conversation_id == ConversationRow.id,
        or_(
            *(
                column.icontains(form, autoescape=True)
                for column in (AnswerRow.question, AnswerRow.body["text"].as_string())
                for form in written
            )
        ),
    )
    titled = (ConversationRow.title.icontains(form, autoescape=True) for form in written)
    return or_(*titled, answers.exists())


def _cases(word: str) -> tuple[str, ...]:
    """SQLite knows the capitals of ASCII only."""
    return (word,) if word.isascii() else (word, word.lower(), word.upper(), word.capitalize())


def _texts(session: Session, principal: Principal, rows: Sequence[ConversationRow]) -> dict[str, str]:
    """What a reader sees of each conversation, in one line, without case."""
    texts = {row.id: [row.title] for row in rows}
    said = session.scalars(select(AnswerRow).where(AnswerRow.conversation_id.in_(texts))).all()
    shown = readable(session, principal, [as_answer(row.body, row.created_at) for row in said])
    for row, answer in zip(said, shown, strict=True):
        texts[row.conversation_id] += [row.question] if withheld(answer) else [row.question, answer.text]
    return {id_: "\n".join(parts).casefold() for id_, parts in texts.items()}


def _within(text: str, word: str) -> bool:
    return any(form.casefold() in text for form in forms(word))
