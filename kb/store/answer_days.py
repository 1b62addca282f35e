"""How questions were answered, day by day: what the status page draws."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import func, or_, select

from kb.store.db import Database
from kb.store.scope import need
from kb.store.tables import AnswerRow
from kb.types import Principal


@dataclass(frozen=True)
class AnswerDay:
    """Everybody's questions of one day (UTC), by the tier that answered them."""

    day: date
    tiers: Mapping[str, int]


def answer_days(
    db: Database, principal: Principal, days: int = 30, *, today: date | None = None
) -> list[AnswerDay]:
    """The last `days` days, today last, also those without a question. Greetings are none. For admins."""
    need(principal, "admin")
    last = today or datetime.now(UTC).date()
    first = last - timedelta(days=days - 1)
    day = func.date(AnswerRow.created_at)
    query = (
        select(day, AnswerRow.tier, func.count())
        .where(AnswerRow.created_at >= datetime.combine(first, time(), UTC))
        # unchecked: a greeting, for which nothing was searched
        .where(or_(AnswerRow.tier != "none", AnswerRow.body["support"].as_string() != "unchecked"))
        .group_by(day, AnswerRow.tier)
    )
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    with db.read() as session:
        for when, tier, count in session.execute(query):
            counts[str(when)][tier] += count
    return [AnswerDay(each, counts[each.isoformat()]) for each in (first + timedelta(n) for n in range(days))]
