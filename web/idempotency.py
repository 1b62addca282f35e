"""Idempotency-Key: a POST that is sent again gives its first answer again, and does nothing twice.

What is kept for that is the answer's body; of answers made from documents only a reference (`Recall`), so that
a deleted document or a withdrawn access does not live on in what is sent again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Response, g, request
from pydantic import BaseModel
from werkzeug.datastructures import FileStorage

from kb.errors import Busy, DiskFull, FieldError, Invalid
from web.requests import IMPORT_LIMIT, body_bytes

if TYPE_CHECKING:
    from kb.app import Kb
    from kb.types import Principal

MAX_KEY = 200


@dataclass(frozen=True)
class Recall:
    """How an endpoint whose answers hold document text is repeated without keeping that text.

    keep: the body → what is stored; None when there is nothing to come back to, so that the request may run anew.
    again: what was stored → the body as it may be shown now; None: do the work again (it changes nothing).
    """

    keep: Callable[[str], str | None]
    again: Callable[[Kb, Principal, str], str | None]


# For answers that hold a password or a key, which are shown once and stored nowhere.
SECRET = Recall(lambda body: None, lambda kb, principal, kept: None)


class Claim:
    """A key taken for the running request: settle it with the answer, or release it for another try."""

    def __init__(self, kb: Kb, principal: Principal, key: str, recall: Recall | None) -> None:
        self.kb, self.principal, self.key, self.recall, self.open = kb, principal, key, recall, True

    def settle(self, status: int, body: str) -> None:
        """Keep the answer, or how to come back to it, for whoever sends the request again."""
        kept = self.recall.keep(body) if self.recall is not None else body
        if kept is None:
            self.release()
        elif self.open:
            self.open = False
            self.kb.idempotency.complete(self.principal, self.key, status, kept)

    def release(self) -> None:
        """Forget the key: the request failed, and may be tried again."""
        if self.open:
            self.open = False
            self.kb.idempotency.forget(self.principal, self.key)


def claim() -> Claim | None:
    """That of the running request, if it carries a key. Streams settle it themselves."""
    found: Claim | None = g.get("claim")
    return found


def once(
    kb: Kb,
    principal: Principal,
    inputs: Mapping[str, Any],
    act: Callable[[], Response],
    recall: Recall | None = None,
) -> Response:
    """Run `act`, or give the answer it gave before under the same key and the same inputs."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return act()
    if not 0 < len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
        raise Invalid(
            f"Idempotency-Key must be 1 to {MAX_KEY} printable ASCII characters.",
            errors=(FieldError("/Idempotency-Key", f"1 to {MAX_KEY} printable ASCII characters"),),
        )
    try:
        before = kb.idempotency.claim(principal, key, _digest(inputs))
    except (DiskFull, Busy):
        if recall is None:
            raise
        return act()  # asking goes on where nothing can be written; asked twice it is answered twice
    if before is not None:
        status, kept = before
        body = recall.again(kb, principal, kept) if recall is not None else kept
        response = act() if body is None else _repeated(status, body)
        response.headers["Idempotent-Replayed"] = "true"
        return response
    g.claim = mine = Claim(kb, principal, key, recall)
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


def _repeated(status: int, body: str) -> Response:
    if status == 204:
        return Response(status=204)
    if request.path.endswith("/ask") and "text/event-stream" in request.headers.get("Accept", ""):
        from web.sse import replay

        return replay(json.loads(body))
    return Response(body, status, mimetype="application/json")


def _digest(inputs: Mapping[str, Any]) -> str:
    """SHA-256 over address, fields and file of the request: what makes two requests the same."""
    digest = hashlib.sha256(f"{request.method} {request.path}\n".encode())
    for name in sorted(inputs):
        value = inputs[name]
        if isinstance(value, FileStorage):
            _digest_file(digest, name, value)
        elif isinstance(value, BaseModel):
            digest.update(f"{name}:{value.model_dump_json()}\n".encode())
        else:
            digest.update(f"{name}:{value}\n".encode())
    if "body" not in inputs and "form" not in inputs:  # a body that the endpoint reads itself, or none
        raw = body_bytes(IMPORT_LIMIT)
        if request.mimetype != "multipart/form-data":
            digest.update(raw)
            return digest.hexdigest()
        for name, texts in sorted(
            request.form.lists()
        ):  # what parts a form is drawn anew each time it is sent
            digest.update(f"{name}:{texts}\n".encode("utf-8", "surrogatepass"))
        for name, files in sorted(request.files.lists()):
            for file in files:
                _digest_file(digest, name, file)
    return digest.hexdigest()


def _digest_file(digest: hashlib._Hash, name: str, file: FileStorage) -> None:
    digest.update(f"{name}:{file.filename}\n".encode("utf-8", "surrogatepass"))
    for block in iter(lambda: file.stream.read(2**20), b""):
        digest.update(block)
    file.stream.seek(0)
