"""How questions were answered, by day."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from kb.errors import Forbidden
from kb.store import SYSTEM, Conversations, Database, answer_days
from kb.store.values import new_id
from kb.types import Answer, Tier
from tests.kb.store.test_retention import answered

TODAY = date(2026, 3, 3)


def said(tier: Tier, day: int, **more: object) -> Answer:
    made = replace(answered("Where?"), tier=tier, created_at=datetime(2026, 3, day, 23, 59, tzinfo=UTC))
    return replace(made, id=new_id("ans"), **more)  # type: ignore[arg-type]


def test_days_without_a_question_are_there_too_and_greetings_are_none(db: Database) -> None:
    conversations = Conversations(db)
    for answer in (
        said("faq", 3), said("none", 3), said("none", 3, support="unchecked"), said("extractive", 1), said("extractive", 1),
        said("generated", 2),
    ):  # fmt: skip
        conversations.save(SYSTEM, answer, "")
    days = answer_days(db, SYSTEM, 2, today=TODAY)
    assert [(each.day.day, dict(each.tiers)) for each in days] == [
        (2, {"generated": 1}),
        (3, {"faq": 1, "none": 1}),
    ]
    assert [dict(each.tiers) for each in answer_days(db, SYSTEM, 4, today=TODAY)][:2] == [
        {},
        {"extractive": 2},
    ]


def test_they_are_for_admins(db: Database) -> None:
    with pytest.raises(Forbidden):
        answer_days(db, replace(SYSTEM, role="reader", scopes=frozenset({"ask"})), today=TODAY)
