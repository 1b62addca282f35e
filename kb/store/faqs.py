"""Curated questions with their wordings and answers. Wordings are embedded when they are saved."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Select, delete, or_, select
from sqlalchemy.orm import Session

from kb.errors import Broken, Busy, Conflict, FieldError, Invalid, NotFound
from kb.store import audit, meta, paging
from kb.store.db import Database
from kb.store.scope import Scope, allowed, need
from kb.store.tables import CollectionRow, FaqRow, FaqWordingRow
from kb.store.values import aware, blank, clean, new_id, now
from kb.types import FaqEntry, Principal

Embed = Callable[[list[str]], NDArray[np.float32]]
Became = Literal["created", "updated", "unchanged"]
QUESTION, ANSWER, VARIANTS = 2000, 50_000, 100
TRIES = 5  # of an update, when others change the same entry meanwhile


class Faqs:
    """FAQ entries. embed, encoder: how wordings become vectors, and under whose name; only writing needs them."""

    def __init__(
        self, db: Database, embed: Embed | None = None, encoder: Callable[[], str] | None = None
    ) -> None:
        self.db, self._embed, self._encoder = db, embed, encoder

    def create(
        self,
        principal: Principal,
        *,
        question: str,
        answer: str,
        collection: str,
        variants: Sequence[str] = (),
        language: str = "",
    ) -> FaqEntry:
        """A new entry; needs faq:write and write access to the collection.

        Conflict when the collection has this question with this answer already; Invalid for a bad field.
        """
        need(principal, "faq:write")
        with self.db.read() as session:
            allowed(session, principal, collections=(collection,), permission="write")
        texts, answer = _checked(question, variants, answer)
        vectors, encoder = self._vectors(texts)
        with self.db.write() as session:
            scope = allowed(session, principal, collections=(collection,), permission="write")
            collection_id = next(iter(scope.collection_ids))
            same = select(FaqRow.id).where(
                FaqRow.collection_id == collection_id, FaqRow.question == texts[0], FaqRow.answer == answer
            )
            if session.scalar(same.limit(1)):
                raise Conflict("This question is there already, with this answer.", slug="faq-exists")
            row = FaqRow(
                id=new_id("faq"),
                collection_id=collection_id,
                question=texts[0],
                answer=answer,
                language=clean(language),
                created_at=now(),
                updated_at=now(),
            )
            session.add(row)
            session.flush()
            _word(session, row.id, texts, vectors, encoder)
            audit.record(session, principal, "faq.create", row.id)
            return _entry(row, tuple(texts[1:]), collection)

    def update(
        self,
        principal: Principal,
        id: str,
        *,
        question: str | None = None,
        answer: str | None = None,
        variants: Sequence[str] | None = None,
        language: str | None = None,
        collection: str | None = None,
    ) -> FaqEntry:
        """Change what is given, keep the rest. Answers from this commit on. Busy when others keep changing it.

        Where nothing would be other than it is, nothing is written: the entry as it was.
        """
        need(principal, "faq:write")
        for _ in range(TRIES):
            with self.db.read() as session:
                before = _find(session, principal, id, "write")
            texts, text = _checked(
                before.question if question is None else question,
                before.variants if variants is None else variants,
                before.answer if answer is None else answer,
            )
            reworded = texts != [before.question, *before.variants]
            tongue = before.language if language is None else clean(language)
            stays = collection in (None, before.collection)
            if not reworded and stays and (text, tongue) == (before.answer, before.language):
                return before
            vectors, encoder = self._vectors(texts) if reworded else (None, "")
            with self.db.write() as session:
                if _find(session, principal, id, "write") != before:
                    continue  # somebody changed it while this was embedded: what they changed is to be kept
                row = session.get_one(FaqRow, id)
                if collection is not None:
                    scope = allowed(session, principal, collections=(collection,), permission="write")
                    row.collection_id = next(iter(scope.collection_ids))
                row.question, row.answer, row.language, row.updated_at = texts[0], text, tongue, now()
                if vectors is not None:
                    session.execute(delete(FaqWordingRow).where(FaqWordingRow.faq_id == id))
                    _word(session, id, texts, vectors, encoder)
                meta.bump(session, meta.FAQ_VERSION)
                audit.record(session, principal, "faq.update", id)
                session.flush()
                return _find(session, principal, id, "write")
        raise Busy("This entry is being changed by others. Look at it again, then change it.", retry_after=1)

    def put(self, principal: Principal, id: str | None, **fields: Any) -> tuple[FaqEntry, Became]:
        """Change the entry with this id, as an exported file names it; create one where there is none.

        fields: those of `create`. Raises what `create` and `update` do.
        """
        if id:
            with suppress(
                NotFound
            ):  # of another installation, or deleted since; a collection is looked for below
                before = self.get(principal, id)
                entry = self.update(principal, id, **fields)
                return entry, "unchanged" if entry == before else "updated"
        return self.create(principal, **fields), "created"

    def delete(self, principal: Principal, id: str) -> None:
        """Gone from every answer with this commit."""
        need(principal, "faq:write")
        with self.db.write() as session:
            _find(session, principal, id, "write")
            session.execute(delete(FaqRow).where(FaqRow.id == id))
            meta.bump(session, meta.FAQ_VERSION)
            audit.record(session, principal, "faq.delete", id)

    def get(self, principal: Principal, id: str) -> FaqEntry:
        """One entry; NotFound when missing or not this principal's to see."""
        with self.db.read() as session:
            return _find(session, principal, id, "read")

    def list(
        self,
        principal: Principal,
        *,
        collection: str | None = None,
        q: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> tuple[list[FaqEntry], str | None]:
        """Entries, newest first, and the next page's cursor. q: part of the question or the answer."""
        limit = max(1, min(limit, 500))
        with self.db.read() as session:
            scope = allowed(session, principal, collections=(collection,) if collection else None)
            query = _readable(scope)
            if q:
                query = query.where(
                    or_(
                        FaqRow.question.icontains(q, autoescape=True),
                        FaqRow.answer.icontains(q, autoescape=True),
                    )
                )
            if cursor:
                query = query.where(paging.beyond("faq", FaqRow.created_at, FaqRow.id, cursor))
            query = query.order_by(FaqRow.created_at.desc(), FaqRow.id.desc()).limit(limit + 1)
            rows = session.execute(query).all()
            following = paging.next_cursor("faq", [(row.created_at, row.id) for row, _ in rows], limit)
            return _entries(session, rows[:limit]), following

    def load(self, session: Session, ids: Collection[str], scope: Scope) -> dict[str, FaqEntry]:
        """Entries by id, those within the scope only: the gate for what a matcher found."""
        if not ids or not scope:
            return {}
        rows = session.execute(_readable(scope).where(FaqRow.id.in_(ids))).all()
        return {entry.id: entry for entry in _entries(session, rows)}

    def version(self) -> int:
        """Grows with every change of any entry; a cache of `wordings` is good while it stays."""
        with self.db.read() as session:
            return int(meta.get(session, meta.FAQ_VERSION) or 0)

    def wordings(
        self, encoder: str, dim: int
    ) -> tuple[Sequence[str], Sequence[int], Sequence[str], NDArray[np.float32]]:
        """(faq_ids, collection_ids, texts, matrix [n, dim] float32) of all wordings this encoder embedded, in one snapshot.

        Broken for an embedding of another length.
        """
        query = (
            select(FaqWordingRow.faq_id, FaqRow.collection_id, FaqWordingRow.text, FaqWordingRow.embedding)
            .join(FaqRow, FaqRow.id == FaqWordingRow.faq_id)
            .where(FaqWordingRow.encoder == encoder)
            .order_by(FaqWordingRow.id)
        )
        with self.db.read() as session:
            rows = session.execute(query).all()
        if any(len(row[3]) != 4 * dim for row in rows):
            raise Broken(f"A FAQ wording's embedding has not {dim} numbers. Restore the last backup.")
        matrix = np.frombuffer(b"".join(row[3] for row in rows), dtype="<f4").reshape(len(rows), dim)
        return [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows], matrix

    def reembed(self) -> int:
        """Embed the wordings that another encoder embedded. Returns how many."""
        encoder = self._name()
        with self.db.read() as session:
            query = select(FaqWordingRow.id, FaqWordingRow.text).where(FaqWordingRow.encoder != encoder)
            stale = session.execute(query).all()
        for at in range(0, len(stale), 256):
            some = stale[at : at + 256]
            vectors, _ = self._vectors([row.text for row in some])
            with self.db.write() as session:
                for (id_, text), vector in zip(some, vectors, strict=True):
                    row = session.get(FaqWordingRow, id_)
                    if row is not None and row.text == text:
                        row.embedding, row.encoder = vector.tobytes(), encoder
                meta.bump(session, meta.FAQ_VERSION)
        return len(stale)

    def _name(self) -> str:
        if self._encoder is None:
            raise RuntimeError("these Faqs were made for reading: no encoder was given")
        return self._encoder()

    def _vectors(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], str]:
        name = self._name()
        assert self._embed is not None
        return np.ascontiguousarray(self._embed([*texts]), dtype="<f4"), name


def _checked(question: str, variants: Sequence[str], answer: str) -> tuple[list[str], str]:
    """([question, *variants] without repetitions, answer)."""
    texts = list(dict.fromkeys(clean(text).strip() for text in (question, *variants)))
    answer = clean(answer).strip()
    errors = []
    if blank(texts[0]) or any(len(text) > QUESTION for text in texts):
        errors.append(FieldError("/question", f"a question and its variants have 1 to {QUESTION} characters"))
    if blank(answer) or len(answer) > ANSWER:
        errors.append(FieldError("/answer", f"1 to {ANSWER} characters"))
    if len(texts) > VARIANTS:
        errors.append(FieldError("/variants", f"at most {VARIANTS}"))
    if errors:
        raise Invalid("; ".join(f"{e.pointer[1:]}: {e.detail}" for e in errors), errors=tuple(errors))
    return [text for text in texts if not blank(text)], answer


def _word(
    session: Session, faq_id: str, texts: list[str], vectors: NDArray[np.float32], encoder: str
) -> None:
    for ordinal, (text, vector) in enumerate(zip(texts, vectors, strict=True)):
        session.add(
            FaqWordingRow(
                faq_id=faq_id, ordinal=ordinal, text=text, encoder=encoder, embedding=vector.tobytes()
            )
        )
    meta.bump(session, meta.FAQ_VERSION)


def _readable(scope: Scope) -> Select[FaqRow, str]:
    return (
        select(FaqRow, CollectionRow.name)
        .join(CollectionRow, CollectionRow.id == FaqRow.collection_id)
        .where(FaqRow.collection_id.in_(scope.collection_ids))
    )


def _find(session: Session, principal: Principal, id_: str, permission: str) -> FaqEntry:
    rows = session.execute(_readable(allowed(session, principal)).where(FaqRow.id == id_)).all()
    if not rows:
        raise NotFound(f"There is no FAQ entry {id_!r} here.")
    entry = _entries(session, rows)[0]
    if permission == "write":
        allowed(session, principal, collections=(entry.collection,), permission="write")
    return entry


def _entries(session: Session, rows: Sequence[tuple[FaqRow, str]]) -> list[FaqEntry]:
    variants: dict[str, list[str]] = {}
    wordings = session.execute(
        select(FaqWordingRow.faq_id, FaqWordingRow.text)
        .where(FaqWordingRow.faq_id.in_([row.id for row, _ in rows]), FaqWordingRow.ordinal > 0)
        .order_by(FaqWordingRow.faq_id, FaqWordingRow.ordinal)
    )
    for faq_id, text in wordings:
        variants.setdefault(faq_id, []).append(text)
    return [_entry(row, tuple(variants.get(row.id, ())), name) for row, name in rows]


def _entry(row: FaqRow, variants: tuple[str, ...], collection: str) -> FaqEntry:
    return FaqEntry(
        id=row.id,
        question=row.question,
        variants=variants,
        answer=row.answer,
        collection=collection,
        language=row.language,
        created_at=aware(row.created_at),
        updated_at=aware(row.updated_at),
    )
