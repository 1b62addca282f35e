"""Idempotency-Key: a POST that is sent again gives its first answer again, and does nothing twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from flask import Response, g, request
from pydantic import BaseModel
from werkzeug.datastructures import FileStorage

from kb.errors import FieldError, Invalid

if TYPE_CHECKING:
    from kb.app import Kb
    from kb.types import Principal

MAX_KEY = 200


class Claim:
    """A key taken for the running request: settle it with the answer, or release it for another try."""

    def __init__(self, kb: Kb, principal: Principal, key: str) -> None:
        self.kb, self.principal, self.key, self.open = kb, principal, key, True

    def settle(self, status: int, body: str) -> None:
        """Keep the answer for whoever sends the request again."""
        if self.open:
            self.open = False
            self.kb.idempotency.complete(self.principal, self.key, status, body)

    def release(self) -> None:
        """Forget the key: the request failed, and may be tried again."""
        if self.open:
            self.open = False
            self.kb.idempotency.forget(self.principal, self.key)


def claim() -> Claim | None:
    """That of the running request, if it carries a key. Streams settle it themselves."""
    found: Claim | None = g.get("claim")
    return found


def once(kb: Kb, principal: Principal, inputs: Mapping[str, Any], act: Callable[[], Response]) -> Response:
    """Run `act`, or give the answer it gave before under the same key and the same inputs."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return act()
    if not 0 < len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
        raise Invalid(
            f"Idempotency-Key must be 1 to {MAX_KEY} printable ASCII characters.",
            errors=(FieldError("/Idempotency-Key", f"1 to {MAX_KEY} printable ASCII characters"),),
        )
    before = kb.idempotency.claim(principal, key, _digest(inputs))
    if before is not None:
        return _again(*before)
    g.claim = mine = Claim(kb, principal, key)
    try:
        response = act()
    except BaseException:
        mine.release()
        raise
    if response.is_streamed:
        return response  # settles when the stream ends
    if response.status_code < 300:
        mine.settle(response.status_code, response.get_data(as_text=True))
    else:
        mine.release()
    return response


def _again(status: int, body: str) -> Response:
    if "text/event-stream" in request.headers.get("Accept", ""):
        from web.sse import replay

        response = replay(json.loads(body))
    elif status == 204:
        response = Response(status=204)
    else:
        response = Response(body, status, mimetype="application/json")
    response.headers["Idempotent-Replayed"] = "true"
    return response


def _digest(inputs: Mapping[str, Any]) -> str:
    """SHA-256 over address, fields and file of the request: what makes two requests the same."""
    digest = hashlib.sha256(f"{request.method} {request.path}\n".encode())
    for name in sorted(inputs):
        value = inputs[name]
        if isinstance(value, FileStorage):
            digest.update(f"{name}:{value.filename}\n".encode("utf-8", "surrogatepass"))
            for block in iter(lambda stream=value.stream: stream.read(2**20), b""):  # type: ignore[misc]
                digest.update(block)
            value.stream.seek(0)
        elif isinstance(value, BaseModel):
            digest.update(f"{name}:{value.model_dump_json()}\n".encode())
        else:
            digest.update(f"{name}:{value}\n".encode())
    if not inputs:
        digest.update(request.get_data())
    return digest.hexdigest()
