"""Server-sent events of a chat completion: bytes in, one JSON object a chunk out, with guards."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from kb.errors import Unavailable

LINE_LIMIT = 256 * 1024
TOTAL_LIMIT = 16 * 1024 * 1024
DONE = object()


def lines(source: Iterable[bytes]) -> Iterator[bytes]:
    """Lines without their ends. Raises Unavailable on a line or a body beyond the limits."""
    held = bytearray()
    total = 0
    for piece in source:
        total += len(piece)
        if total > TOTAL_LIMIT:
            raise Unavailable(f"The language model sent more than {TOTAL_LIMIT} bytes.", slug="model-garbage")
        held += piece
        *whole, rest = held.split(b"\n")
        if len(rest) > LINE_LIMIT or any(len(line) > LINE_LIMIT for line in whole):
            raise Unavailable(
                f"The language model sent a line beyond {LINE_LIMIT} bytes.", slug="model-garbage"
            )
        held = bytearray(rest)
        for line in whole:
            yield bytes(line).rstrip(b"\r")
    if held:
        yield bytes(held)


def chunks(source: Iterable[bytes]) -> Iterator[Any]:
    """Each `data:` object as a dict, and `DONE` for `[DONE]`. Comments and other fields are skipped.

    Raises Unavailable for anything that is not such a stream, and for an `error` object in it.
    """
    for line in lines(source):
        if not line or line.startswith((b":", b"event:", b"id:", b"retry:")):
            continue
        if not line.startswith(b"data:"):
            raise Unavailable(
                "The language model sent something that is no event stream.", slug="model-garbage"
            )
        data = line[5:].strip()
        if data == b"[DONE]":
            yield DONE
            return
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as problem:
            raise Unavailable("The language model sent invalid JSON.", slug="model-garbage") from problem
        if not isinstance(value, dict):
            raise Unavailable("The language model sent JSON that is no object.", slug="model-garbage")
        if value.get("error"):
            raise Unavailable("The language model reported an error while answering.", slug="model-error")
        yield value
