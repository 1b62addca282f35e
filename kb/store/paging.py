"""Pages of a listing: where the next one begins, as a cursor that is opaque to people, not secret.

A cursor is good for the listing that made it and no other: another one's would silently skip rows.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, and_, or_

from kb.errors import FieldError, Invalid

LARGEST = 2**63 - 1  # of a row's number

Place = tuple[datetime, str]  # of a row in a listing that is ordered by a time, newest first, and then by id
T = TypeVar("T")


def cursor(of: str, *parts: object) -> str:
    """Behind the row with these values in the listing `of`."""
    return base64.urlsafe_b64encode(json.dumps((of, *map(str, parts))).encode()).decode().rstrip("=")


def next_cursor(of: str, places: Sequence[Place], limit: int) -> str | None:
    """The cursor behind the first `limit` of these places; None where there are no more."""
    if len(places) <= limit:
        return None
    moment, id_ = places[limit - 1]
    return cursor(of, moment.isoformat(), id_)


def name(text: str, of: str) -> str:
    """The name in a cursor of one name. Invalid for anything that this listing did not make, as the others."""
    return _read(text, of, str)


def number(text: str, of: str) -> int:
    """The number in a cursor of one number."""
    return _read(text, of, _number)


def place(text: str, of: str) -> Place:
    """The place that a cursor of `next_cursor` stands for."""
    return _read(text, of, _place)


def beyond(of: str, moment: Any, id_: Any, text: str) -> ColumnElement[bool]:
    """Condition for the rows behind a cursor, by the columns of their time and id."""
    last, last_id = place(text, of)
    return or_(moment < last, and_(moment == last, id_ < last_id))


def _number(digits: str) -> int:
    if not digits.isascii() or not digits.isdigit() or len(digits) > 19 or int(digits) > LARGEST:
        raise ValueError
    return int(digits)


def _place(moment: str, id_: str) -> Place:
    at = datetime.fromisoformat(moment)
    if at.tzinfo is not None:
        raise ValueError
    return at, id_


def _read(text: str, of: str, made_of: Callable[..., T]) -> T:
    try:
        parts = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if isinstance(parts, list) and parts[:1] == [of] and all(isinstance(part, str) for part in parts):
            "".join(parts).encode()  # half a surrogate pair is no part of ours, and no database takes one
            return made_of(*parts[1:])
    except (ValueError, TypeError, RecursionError):
        pass
    raise Invalid(
        "The cursor is not one of this list's. Leave it out to start from the beginning.",
        errors=(FieldError("/cursor", "unknown cursor"),),
    )
