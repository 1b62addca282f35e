"""Small values every table needs: ids, times, clean text."""

from __future__ import annotations

import base64
import math
import secrets
import unicodedata
from datetime import UTC, datetime
from typing import Any

METADATA_DEPTH = 20  # lists and objects in one another that a document's metadata may have
_TURNING = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])


def new_id(prefix: str) -> str:
    """An opaque id with 80 random bits, e.g. `doc_k5wm…`."""
    return f"{prefix}_{base64.b32encode(secrets.token_bytes(10)).decode().lower()}"


def now() -> datetime:
    """The time, UTC, without zone: as columns hold it."""
    return datetime.now(UTC).replace(tzinfo=None)


def aware(moment: datetime) -> datetime:
    """A column's time, with its zone: as people and programs get it."""
    return moment.replace(tzinfo=UTC)


def clean(text: str) -> str:
    """Text that every database stores: no NUL, no lone surrogates. The length stays the same."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def blank(text: str) -> bool:
    """Whether nobody would see anything: nothing in it but spaces, controls and marks of no width."""
    return all(unicodedata.category(char)[0] in "ZC" for char in text)


def clean_title(text: str) -> str:
    """A title for people: as `clean`, and without the marks that turn the direction of what follows.

    They stand in names to make `invoice(U+202E)fdp.exe` look like a PDF, and turn a whole list of documents around.
    """
    return clean(text).translate(_TURNING)


def forms(text: str) -> tuple[str, ...]:
    """The text as given, composed and decomposed: é is one character on most systems and two on a Mac's disk."""
    given = (text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text))
    return tuple(dict.fromkeys(given))


def depth(value: object) -> int:
    """How deep lists and objects are nested; without recursion, which is what too deep ones break."""
    level, deep = [value], 0
    while inner := [item for item in level if isinstance(item, (dict, list))]:
        level = [each for item in inner for each in (item.values() if isinstance(item, dict) else item)]
        deep += 1
    return deep


def finite(value: Any) -> Any:
    """JSON as every program reads it: numbers beyond its range become null. Of a depth that was looked at."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list) else value
