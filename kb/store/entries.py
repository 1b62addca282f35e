"""Files on their way into the store: what is said about each, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from kb.errors import FieldError, Invalid
from kb.store.values import blank, clean

NAME_CHARS = 1000


@dataclass(frozen=True)
class Entry:
    """A file to add; see `Documents.add` for the fields. open: gives its bytes, once."""

    filename: str
    open: Callable[[], AbstractContextManager[BinaryIO]]
    external_id: str | None = None
    title: str | None = None
    metadata: Mapping[str, Any] | None = None
    source: str = "upload"

    def named(self) -> Entry:
        """With both names checked. Invalid otherwise."""
        filename = _name(self.filename, "filename", "/file")
        given = _name(self.external_id, "external_id", "/external_id") if self.external_id else filename
        return replace(self, filename=filename, external_id=given)


def _name(text: str, field: str, pointer: str) -> str:
    text = clean(text).strip()
    if blank(text) or len(text) > NAME_CHARS:
        why = f"must have 1 to {NAME_CHARS} characters, one of them visible"
        raise Invalid(f"The {field} {why}.", errors=(FieldError(pointer, why),))
    return text
