"""Questions, the answers given, and what people thought of them; re-authorised whenever they are shown."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Select, and_, func, select
from sqlalchemy.orm import Session

from kb.errors import FieldError, Invalid, NotFound
from kb.store import audit, dismissals, paging
from kb.store.answer_rows import as_answer, readable, readable_ids, to_body, withheld
from kb.store.audit import who
from kb.store.conversation_search import holding
from kb.store.db import Database
from kb.store.dismissals import found_nothing
from kb.store.group_commit import Together
from kb.store.scope import need
from kb.store.tables import AnswerRow, ConversationRow, FaqWordingRow, FeedbackRow
from kb.store.unanswered import LOOKED_AT, Unanswered, grouped, key, put_aside
from kb.store.values import aware, blank, clean, clean_title, new_id, now
from kb.types import Answer, Audience, Principal, Tier, Turn


@dataclass(frozen=True)
class Conversation:
    """One of the principal's conversations; its title is its first question, a greeting until there is one, or as renamed."""

    id: str
    title: str
    ticket_id: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Feedback:
    """What somebody thought of an answer."""

    answer_id: str
    question: str
    rating: Literal["up", "down"]
    reason: str | None
    comment: str | None
    created_at: datetime


class Conversations:
    """Each belongs to the principal that began it and is NotFound to every other."""

    def __init__(self, db: Database) -> None:
        self.db, self._together = db, Together(db)

    def history(
        self, principal: Principal, id: str, limit: int, audience: Audience | None = None
    ) -> tuple[Turn, ...]:
        """The last `limit` turns, oldest first; answers whose sources are out of reach are left out.

        audience 'public': so are answers made from anything that is not public, which would reach the model.
        """
        with self.db.read() as session:
            _own(session, principal, id)
            query = select(AnswerRow).where(AnswerRow.conversation_id == id)
            query = query.order_by(AnswerRow.created_at.desc(), AnswerRow.id.desc()).limit((limit + 1) // 2)
            rows = list(reversed(session.scalars(query).all()))
            turns: list[Turn] = []
            for row, answer in zip(rows, self._shown(session, principal, rows, audience), strict=True):
                turns.append(Turn("user", row.question))
                if not withheld(answer):
                    turns.append(Turn("assistant", answer.text))
        return tuple(turns[-limit:]) if limit > 0 else ()

    def save(
        self, principal: Principal, answer: Answer, standalone: str, *, ticket_id: str | None = None
    ) -> str:
        """Keep an answer; one without a conversation begins one. Returns the conversation's id.

        standalone: the question with its subject, as it was searched for. Who asks waits for it, so those who ask at
        the same time share a transaction.
        """
        body, asked = to_body(answer), clean(standalone)  # before, for nobody else is to wait for that

        def write(session: Session) -> str:
            if answer.conversation_id:
                conversation = _own(session, principal, answer.conversation_id)
                conversation.updated_at = now()
                if _called_by_greeting(session, conversation):
                    conversation.title = _title(answer.question)
            else:
                conversation = _start(session, principal, ticket_id, answer.question)
            session.add(
                AnswerRow(
                    id=answer.id,
                    conversation_id=conversation.id,
                    principal=who(principal),
                    question=clean(answer.question),
                    standalone=asked,
                    tier=answer.tier,
                    answerable=answer.answerable,
                    body={**body, "conversation_id": conversation.id},
                    created_at=_after_the_last(
                        session, conversation.id, answer.created_at.replace(tzinfo=None)
                    ),
                )
            )
            return conversation.id

        return self._together.write(write)

    def shown(self, principal: Principal, answer: Answer) -> Answer:
        """The answer without what was deleted, or taken from this principal, since its passages were loaded."""
        with self.db.read() as session:
            return readable(session, principal, [answer])[0]

    def readable(self, principal: Principal, ids: Collection[str]) -> set[str]:
        """Those of these documents and FAQ entries that this principal may read now."""
        with self.db.read() as session:
            return readable_ids(session, principal, ids)

    def get(self, principal: Principal, answer_id: str) -> Answer:
        """An answer as it may be shown now. NotFound: not this principal's (admins see all)."""
        with self.db.read() as session:
            row = _answer(session, principal, answer_id)
            return self._shown(session, principal, [row])[0]

    def list(
        self, principal: Principal, cursor: str | None = None, limit: int = 50, q: str | None = None
    ) -> tuple[list[Conversation], str | None]:
        """The principal's conversations, latest first, and the next page's cursor. q: words they hold, all of them."""
        limit = max(1, min(limit, 200))
        query = select(ConversationRow).where(ConversationRow.principal == who(principal))
        if cursor:
            query = query.where(
                paging.beyond("conversations", ConversationRow.updated_at, ConversationRow.id, cursor)
            )
        query = query.order_by(ConversationRow.updated_at.desc(), ConversationRow.id.desc())
        with self.db.read() as session:
            if q and not blank(q):
                rows = holding(session, principal, query, q, limit + 1)
            else:
                rows = list(session.scalars(query.limit(limit + 1)))
        return [_listed(row) for row in rows[:limit]], paging.next_cursor(
            "conversations", [(row.updated_at, row.id) for row in rows], limit
        )

    def one(self, principal: Principal, conversation_id: str) -> Conversation:
        """A conversation as the list shows it. NotFound: not this principal's."""
        with self.db.read() as session:
            return _listed(_own(session, principal, conversation_id))

    def messages(self, principal: Principal, conversation_id: str) -> Sequence[Answer]:
        """A conversation's answers (each holds its question), oldest first, as they may be shown now."""
        with self.db.read() as session:
            _own(session, principal, conversation_id)
            query = select(AnswerRow).where(AnswerRow.conversation_id == conversation_id)
            rows = session.scalars(query.order_by(AnswerRow.created_at, AnswerRow.id)).all()
            return self._shown(session, principal, rows)

    def rename(self, principal: Principal, conversation_id: str, title: str) -> Conversation:
        """Call a conversation something else; its place in the list stays. NotFound: not this principal's."""
        with self.db.write() as session:
            row = _own(session, principal, conversation_id)
            row.title = _title(clean_title(title))
            return _listed(row)

    def delete(self, principal: Principal, conversation_id: str) -> None:
        """Remove a conversation with its answers and their feedback. NotFound: not this principal's."""
        with self.db.write() as session:
            session.delete(_own(session, principal, conversation_id))
            audit.record(session, principal, "conversation.delete", conversation_id)

    def feedback(
        self,
        principal: Principal,
        answer_id: str,
        rating: str,
        reason: str | None = None,
        comment: str | None = None,
    ) -> None:
        """Whether an answer helped; the principal's last word counts."""
        if rating not in ("up", "down"):
            raise Invalid("rating is up or down.", errors=(FieldError("/rating", "up | down"),))
        with self.db.write() as session:
            _answer(session, principal, answer_id)
            mine = select(FeedbackRow).where(
                FeedbackRow.answer_id == answer_id, FeedbackRow.principal == who(principal)
            )
            row = session.scalars(mine).first()
            if row is None:
                row = FeedbackRow(answer_id=answer_id, principal=who(principal))
                session.add(row)
            row.rating, row.created_at = rating, now()
            row.reason = clean(reason)[:200] if reason else None
            row.comment = clean(comment)[:5000] if comment else None

    def unanswered(
        self, principal: Principal, cursor: str | None = None, limit: int = 50, *, dismissed: bool = False
    ) -> tuple[Sequence[Unanswered], str | None]:
        """Everybody's questions that found no answer, each once, the one asked last first; for who writes the FAQ.

        Wordings of FAQ entries are left out: they have an answer now. So are those that were dismissed and not asked
        since; dismissed: these alone.
        """
        need(principal, "faq:write")
        limit = max(1, min(limit, 500))
        query = select(AnswerRow.id, AnswerRow.standalone, AnswerRow.tier, AnswerRow.created_at)
        query = (
            query.where(found_nothing())
            .order_by(AnswerRow.created_at.desc(), AnswerRow.id.desc())
            .limit(LOOKED_AT)
        )
        with self.db.read() as session:
            rows = session.execute(query).all()
            curated = {key(wording) for wording in session.scalars(select(FaqWordingRow.text))}
            aside = dismissals.dismissed(session)
        every = grouped((Unanswered(row[0], row[1], _tier(row[2]), row[3]) for row in rows), curated)
        every = [row for row in every if put_aside(row, aside) is dismissed]
        if cursor:
            after = paging.place(cursor, "unanswered")
            every = [row for row in every if (row.created_at, row.id) < after]
        found = [replace(row, created_at=aware(row.created_at)) for row in every[:limit]]
        return found, paging.next_cursor("unanswered", [(row.created_at, row.id) for row in every], limit)

    def feedbacks(
        self, principal: Principal, cursor: str | None = None, limit: int = 50
    ) -> tuple[Sequence[Feedback], str | None]:
        """Everybody's feedback, latest first; for those who write FAQ entries."""
        need(principal, "faq:write")
        limit = max(1, min(limit, 500))
        query: Select[FeedbackRow, str] = select(FeedbackRow, AnswerRow.question).join(
            AnswerRow, AnswerRow.id == FeedbackRow.answer_id
        )
        if cursor:
            query = query.where(FeedbackRow.id < paging.number(cursor, "feedback"))
        with self.db.read() as session:
            rows = session.execute(query.order_by(FeedbackRow.id.desc()).limit(limit + 1)).all()
        found = [
            Feedback(
                row.answer_id,
                question,
                "up" if row.rating == "up" else "down",
                row.reason,
                row.comment,
                aware(row.created_at),
            )
            for row, question in rows[:limit]
        ]
        return found, paging.cursor("feedback", rows[limit - 1][0].id) if len(rows) > limit else None

    def _shown(
        self,
        session: Session,
        principal: Principal,
        rows: Sequence[AnswerRow],
        audience: Audience | None = None,
    ) -> Sequence[Answer]:
        answers = [as_answer(row.body, row.created_at) for row in rows]
        return readable(session, principal, answers, audience)


def _start(session: Session, principal: Principal, ticket_id: str | None, title: str) -> ConversationRow:
    row = ConversationRow(
        id=new_id("cnv"),
        principal=who(principal),
        title=_title(title),
        ticket_id=clean(ticket_id)[:200] if ticket_id else None,
        created_at=now(),
        updated_at=now(),
    )
    session.add(row)
    session.flush()  # its answers refer to it
    return row


def _title(question: str) -> str:
    return clean(" ".join(question.split()))[:200]


def _after_the_last(session: Session, conversation: str, moment: datetime) -> datetime:
    """`moment`, or just after the turn before: wall clocks go back now and then, and turns stand in order of time."""
    last = session.scalar(
        select(func.max(AnswerRow.created_at)).where(AnswerRow.conversation_id == conversation)
    )
    return moment if last is None or last < moment else last + timedelta(microseconds=1)


def _listed(row: ConversationRow) -> Conversation:
    return Conversation(row.id, row.title, row.ticket_id, aware(row.created_at), aware(row.updated_at))


def _called_by_greeting(session: Session, conversation: ConversationRow) -> bool:
    """Whether the conversation has begun, with nothing but greetings, and is called by the first of them still."""
    unchecked = AnswerRow.body["support"].as_string() == "unchecked"
    query = select(AnswerRow.question, and_(AnswerRow.tier == "none", unchecked)).where(
        AnswerRow.conversation_id == conversation.id
    )
    first = session.execute(query.order_by(AnswerRow.created_at).limit(5)).all()
    return bool(first) and all(row[1] for row in first) and conversation.title == _title(first[0][0])


def _own(session: Session, principal: Principal, id_: str) -> ConversationRow:
    row = session.get(ConversationRow, id_)
    if row is None or row.principal != who(principal):
        raise NotFound(f"There is no conversation {id_!r} here.")
    return row


def _answer(session: Session, principal: Principal, id_: str) -> AnswerRow:
    row = session.get(AnswerRow, id_)
    if row is None or not (row.principal == who(principal) or principal.may("admin")):
        raise NotFound(f"There is no answer {id_!r} here.")
    return row


def _tier(text: str) -> Tier:
    return text if text in ("faq", "generated", "extractive") else "none"  # type: ignore[return-value]
