"""The OpenAPI 3.1 document, made from the endpoint table."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from web.endpoints import TABLE, Endpoint
from web.idempotency import MAX_KEY
from web.problems import KINDS
from web.responses import Problem

REF = "#/components/schemas/{model}"
ABOUT = """Ask a company's own documents and get answers that cite them.

Every request carries an API key: `Authorization: Bearer kb_<id>_<secret>`. A key has scopes and may be confined to
collections. Errors are `application/problem+json`; what is missing and what is forbidden are both 404. Send an
`Idempotency-Key` with a POST to be able to repeat it safely. Times are UTC."""


def document() -> dict[str, Any]:
    """The whole document."""
    from web import api  # noqa: F401 (fills the table)

    rows = [row for row in TABLE if row.rest]
    models: dict[type[BaseModel], None] = {Problem: None}
    for row in rows:
        for model in (row.body, row.form, *(reply.model for reply in row.replies.values())):
            if model is not None:
                models[model] = None
    _, schemas = models_json_schema([(model, _mode(model)) for model in models], ref_template=REF)
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row)
    return {
        "openapi": "3.1.0",
        "info": {"title": "kb", "version": version("kb"), "description": ABOUT},
        "servers": [{"url": "/api/v1"}],
        "security": [{"key": []}],
        "tags": [{"name": name} for name in dict.fromkeys(row.tag for row in rows)],
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key, `kb_<id>_<secret>`."}
            },
            "responses": {"Problem": _problem("An error; see /problems/.")},
        },
    }


def _mode(model: type[BaseModel]) -> Any:
    return "validation" if model.__module__ == "web.schemas" else "serialization"


def _operation(row: Endpoint) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": row.name,
        "tags": [row.tag],
        "summary": row.summary,
        "description": f"Scope: `{row.scope}`." if row.scope else "Any key.",
        "parameters": _parameters(row),
        "responses": {str(status): _response(row, status) for status in row.replies},
    }
    for status in _errors(row):
        titles = sorted({kind.title for kind in KINDS.values() if kind.status == status})
        made["responses"][str(status)] = _problem(" / ".join(titles))
    made["responses"]["default"] = {"$ref": "#/components/responses/Problem"}
    content = _content(row)
    if content:
        made["requestBody"] = {"required": True, "content": content}
    return made


def _errors(row: Endpoint) -> list[int]:
    found = {401, 422, 429, 503}
    if row.scope:
        found.add(403)
    if "{" in row.path or row.body or row.form or row.raw or "collection" in _query_fields(row):
        found.add(404)
    if row.body or row.form or row.raw:
        found |= {400, 413, 415}
    if row.method == "POST":
        found.add(409)
    if row.form:
        found.add(507)
    return sorted(found)


def _query_fields(row: Endpoint) -> tuple[str, ...]:
    return tuple(row.query.model_fields) if row.query is not None else ()


def _parameters(row: Endpoint) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1, "maxLength": 200},
        }
        for name in re.findall(r"{(\w+)}", row.path)
    ]
    if row.query is not None:
        schema = row.query.model_json_schema(ref_template=REF)
        for name, shape in schema["properties"].items():
            made.append(
                {
                    "name": name,
                    "in": "query",
                    "required": name in schema.get("required", ()),
                    "description": shape.pop("description", ""),
                    "schema": _not_null(shape),
                }
            )
    if row.method == "POST":
        made.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "The same key with the same request gives the first answer again.",
                "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY, "pattern": "^[!-~]+$"},
            }
        )
    return made


def _not_null(shape: dict[str, Any]) -> dict[str, Any]:
    """A parameter is there or not; it cannot be null."""
    options = [option for option in shape.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) == 1:
        shape = {**{k: v for k, v in shape.items() if k not in ("anyOf", "default")}, **options[0]}
    return {k: v for k, v in shape.items() if not (k == "default" and v is None)}


def _content(row: Endpoint) -> dict[str, Any]:
    if row.body is not None:
        return {"application/json": {"schema": _ref(row.body)}}
    if row.form is not None:
        schema = row.form.model_json_schema(ref_template=REF)
        properties = {name: _not_null(shape) for name, shape in schema["properties"].items()}
        return {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": {"type": "string", "format": "binary"}, **properties},
                    "required": ["file"],
                    "additionalProperties": False,
                }
            }
        }
    if row.raw:
        entries = {"type": "array", "items": {"$ref": REF.format(model="FaqIn")}, "maxItems": 5000}
        return {media: {"schema": entries if "json" in media else {"type": "string"}} for media in row.raw}
    return {}


def _response(row: Endpoint, status: int) -> dict[str, Any]:
    reply = row.replies[status]
    made: dict[str, Any] = {"description": reply.description or row.summary}
    if reply.model is not None:
        made["content"] = {"application/json": {"schema": _ref(reply.model)}}
        if row.path == "/ask":
            made["content"]["text/event-stream"] = {
                "schema": {
                    "type": "string",
                    "description": "Events in order: `status`* {message, position?}, `sources` {passages}, `token`* {text}, "
                    "`citations` {citations}, then `done` (the whole Answer) or `error` (a problem). "
                    "Lines that begin with a colon are heartbeats.",
                }
            }
    elif status != 204:
        made["content"] = {reply.media: {"schema": {"type": "string"}}}
    return made


def _problem(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/problem+json": {"schema": {"$ref": REF.format(model="Problem")}}},
    }


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REF.format(model=model.__name__)}
