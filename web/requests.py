"""Reading requests: sizes and types are refused before anything is read, fields before anything is done."""

from __future__ import annotations

import codecs
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Any

from flask import Request, current_app, request
from pydantic import BaseModel, ValidationError
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge, RequestTimeout

from kb.errors import FieldError, Invalid, KbError, NotFound, TooLarge, UnsupportedType
from kb.settings import Settings
from web.problems import invalid
from web.slow_clients import SMALL
from web.transfers import place

JSON_LIMIT = 2**20
IMPORT_LIMIT = 10 * 2**20
FORM_MARGIN = 2**20  # fields and boundaries around a file


class KbRequest(Request):
    """Uploads go to <data>/incoming, on the disk where they will stay: /tmp may be small, or memory."""

    max_form_memory_size = 500_000
    max_form_parts = 50

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        folder: Path = current_app.config["INCOMING"]
        folder.mkdir(parents=True, exist_ok=True)
        file = tempfile.TemporaryFile("rb+", dir=folder)
        self.__dict__.setdefault("incoming", []).append(file)
        return file

    def close(self) -> None:
        """Let go of the files, also of those of a request that was refused half-way."""
        with suppress(OSError):
            super().close()
        for file in self.__dict__.get("incoming", ()):
            with suppress(
                OSError
            ):  # on a full disk what was not written yet cannot be: the answer says so already
                file.close()


def check_path(parts: dict[str, str]) -> None:
    """Ids are short and printable; anything else names nothing."""
    for value in parts.values():
        if len(value) > 200 or not value.isprintable():
            raise NotFound("There is nothing at this address, or it is not yours to see.")


def query(model: type[BaseModel] | None) -> Any:
    """The address's parameters by their model; None where the endpoint takes none. Invalid for unknown ones."""
    given = {name: values[-1] for name, values in request.args.lists()}
    if model is None:
        if given:
            raise Invalid(
                f"Unknown parameters: {', '.join(list(given)[:10])}.",
                errors=tuple(FieldError(f"/{n}"[:300], "is not a parameter of this address") for n in given),
            )
        return None
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise invalid(error) from None


def body_bytes(limit: int) -> bytes:
    """The request's body, at most `limit` bytes. TooLarge beyond, before reading where a length is given."""
    with _arriving(limit):
        return request.get_data(cache=True)


def json_body(model: type[BaseModel]) -> Any:
    """The JSON body by its model."""
    if request.mimetype != "application/json":
        raise UnsupportedType("Send the body as application/json.", slug="unsupported-media-type")
    raw = body_bytes(JSON_LIMIT)
    try:
        raw.decode()
    except UnicodeDecodeError:
        raise Invalid("The body is not UTF-8.", errors=(FieldError("", "must be UTF-8"),)) from None
    try:
        return model.model_validate_json(raw.removeprefix(codecs.BOM_UTF8), strict=True)
    except ValidationError as error:
        raise invalid(error) from None


def upload(model: type[BaseModel], settings: Settings) -> tuple[Any, FileStorage]:
    """The fields and the one `file` of a multipart form. The file lies on disk, never in memory."""
    if request.mimetype != "multipart/form-data":
        raise UnsupportedType("Send the file as multipart/form-data.", slug="unsupported-media-type")
    largest = settings.max_file_mb * 2**20
    with _arriving(largest, FORM_MARGIN, "document-too-large"):
        files, fields = request.files, request.form
    if len(sent := files.getlist("file")) != 1 or len(files) != 1:
        raise Invalid(
            "Send exactly one part called `file`, with a filename.",
            errors=(FieldError("/file", f"{len(sent)} were sent; exactly one is needed"),),
        )
    try:
        return model.model_validate({name: values[-1] for name, values in fields.lists()}), sent[0]
    except ValidationError as error:
        raise invalid(error) from None


def in_hand() -> bool:
    """Whether the whole body was here when the request was given a thread (web/slow_clients.py), so that none waits for it."""
    length = request.content_length
    parts = request.headers.get("Transfer-Encoding") or request.headers.get("Expect")
    return not parts and (length is None or length <= SMALL)


@contextmanager
def _arriving(limit: int, margin: int = 0, slug: str = "too-large") -> Iterator[None]:
    """Read the body within. Refuses what says it is too large, or is packed; what is large holds a place meanwhile."""
    packed = request.headers.get("Content-Encoding", "").strip().lower()
    if packed not in ("", "identity"):
        raise UnsupportedType(
            f"The body is sent as {packed[:20]!r}. Send it as it is, without Content-Encoding.",
            slug="unsupported-media-type",
        )
    request.max_content_length = limit + margin
    if request.content_length is not None and request.content_length > limit + margin:
        raise _too_large(limit, slug)
    try:
        with nullcontext() if in_hand() else place():
            yield
    except RequestEntityTooLarge:
        if request.content_length is None:
            raise _too_large(limit, slug) from None
        raise TooLarge(  # of a length that was looked at before
            f"A form may have {KbRequest.max_form_parts} parts, and {KbRequest.max_form_memory_size // 1000} kB "
            "in its fields beside the file."
        ) from None
    except BlockingIOError:
        raise RequestTimeout("The request's body stopped arriving. Please send it again.") from None


def _too_large(limit: int, slug: str) -> KbError:
    return TooLarge(
        f"At most {limit / 2**20:g} MiB are taken here. Split it, or ask the operator to raise the limit.",
        slug=slug,
    )
