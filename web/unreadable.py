"""What is answered to bytes that are no request, before there is an application to ask: a problem, like every error."""

from __future__ import annotations

import json
import uuid
from http import HTTPStatus

from gunicorn.http.errors import (  # type: ignore[import-untyped]
    ConfigurationProblem,
    ExpectationFailed,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)

from kb.errors import KbError
from web.problems import KINDS, problem

STATUS = {
    LimitRequestLine: 414,
    LimitRequestHeaders: 431,
    ExpectationFailed: 417,
    UnsupportedTransferCoding: 501,
}
OURS = (ConfigurationProblem, InvalidResponseHeader, InvalidResponseHeaderName)
SLUG = {414: "address-too-long", 431: "header-too-large"}


def refusal(error: Exception) -> bytes | None:
    """The whole response to a request that gunicorn could not read. None: it could, and the error is another."""
    if not isinstance(error, ParseException) or isinstance(error, OURS):
        return None
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 400)
    slug = SLUG.get(status, "bad-request")
    told = KbError(
        KINDS[slug].meaning if status in SLUG else f"This is not HTTP as it should be: {error}.", slug=slug
    )
    told.status = status
    request_id = uuid.uuid4().hex
    body = json.dumps(problem(told, request_id)).encode()
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nConnection: close\r\nX-Request-Id: {request_id}\r\n"
        f"Content-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
