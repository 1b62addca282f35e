"""Pages of a listing: where the next one begins, as a cursor that is opaque to people, not secret."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, or_

from kb.errors import FieldError, Invalid

Place = tuple[datetime, str]  # of a row in a listing that is ordered by a time, newest first, and then by id


def cursor(*parts: str) -> str:
    """Where a listing goes on."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def read_cursor(text: str, count: int) -> list[str]:
    """The parts of a cursor. Invalid for anything this program did not make."""
    try:
        parts = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:
        raise _unknown() from None
    if isinstance(parts, list) and len(parts) == count and all(isinstance(part, str) for part in parts):
        return parts
    raise _unknown()


def next_cursor(places: Sequence[Place], limit: int) -> str | None:
    """The cursor behind the first `limit` of these places; None where there are no more."""
    if len(places) <= limit:
        return None
    moment, id_ = places[limit - 1]
    return cursor(moment.isoformat(), id_)


def place(text: str) -> Place:
    """The place that a cursor of `next_cursor` stands for. Invalid for any other."""
    moment, id_ = read_cursor(text, 2)
    try:
        return datetime.fromisoformat(moment), id_
    except ValueError:
        raise _unknown() from None


def number(text: str) -> int:
    """The number in a cursor of one number. Invalid for any other."""
    (part,) = read_cursor(text, 1)
    if not (part.isascii() and part.isdigit() and len(part) < 19):
        raise _unknown()
    return int(part)


def beyond(moment: Any, id_: Any, text: str) -> ColumnElement[bool]:
    """Condition for the rows behind a cursor, by the columns of their time and id."""
    last, last_id = place(text)
    return or_(moment < last, and_(moment == last, id_ < last_id))


def _unknown() -> Invalid:
    return Invalid(
        "The cursor is not one of ours. Leave it out to start from the beginning.",
        errors=(FieldError("/cursor", "unknown cursor"),),
    )
