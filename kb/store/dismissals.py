"""Unanswered questions that a curator has dealt with: out of the list until somebody asks them again."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, select
from sqlalchemy.orm import Session

from kb.errors import NotFound
from kb.store import audit
from kb.store.db import Database
from kb.store.scope import need
from kb.store.tables import AnswerRow, DismissalRow
from kb.store.unanswered import hashed
from kb.store.values import now
from kb.types import Principal


def found_nothing() -> ColumnElement[bool]:
    """Answers to questions that found none; unchecked is a greeting, for which nothing was searched."""
    return and_(AnswerRow.answerable.is_(False), AnswerRow.body["support"].as_string() != "unchecked")


def dismiss(db: Database, principal: Principal, answer_id: str) -> None:
    """Take a question off the list, as often as it was asked up to this answer: one given since keeps it there.

    By the time of the answer, not by that of the click: who asked while the list was being read is not overlooked.
    """
    need(principal, "faq:write")
    with db.write() as session:
        answer = _answer(session, answer_id)
        name = hashed(answer.standalone)
        row = session.get(DismissalRow, name)
        if row is None:
            row = DismissalRow(question_hash=name, asked_until=answer.created_at)
            session.add(row)
        elif row.asked_until >= answer.created_at:
            return
        row.asked_until, row.at, row.principal = answer.created_at, now(), audit.who(principal)
        audit.record(session, principal, "unanswered.dismiss", answer_id)


def restore(db: Database, principal: Principal, answer_id: str) -> None:
    """Put a question back on the list; one that is there stays there."""
    need(principal, "faq:write")
    with db.write() as session:
        row = session.get(DismissalRow, hashed(_answer(session, answer_id).standalone))
        if row is not None:
            session.delete(row)
            audit.record(session, principal, "unanswered.restore", answer_id)


def dismissed(session: Session) -> dict[str, datetime]:
    """Until when each was asked, by the question's hash."""
    return {row.question_hash: row.asked_until for row in session.scalars(select(DismissalRow))}


def forget(db: Database) -> None:
    """Let go of the dismissals of questions that nobody's conversation holds any more."""
    with db.read() as session:
        idle = dismissed(session)
        if not idle:
            return
        for question in session.scalars(select(AnswerRow.standalone).where(found_nothing())):
            idle.pop(hashed(question), None)
    if idle:
        with db.write() as session:
            for name, until in idle.items():  # one that was dismissed anew meanwhile has another time
                session.execute(
                    delete(DismissalRow).where(
                        DismissalRow.question_hash == name, DismissalRow.asked_until == until
                    )
                )


def _answer(session: Session, answer_id: str) -> AnswerRow:
    answer = session.scalars(select(AnswerRow).where(AnswerRow.id == answer_id, found_nothing())).first()
    if answer is None:
        raise NotFound(f"There is no unanswered question {answer_id!r} here.")
    return answer
