"""One table of endpoints: routing, checking, the OpenAPI document and the access test all read it.

An endpoint is a function that takes what its declaration names, already checked:

    @endpoint("POST", "/search", scope="search", body=SearchIn, replies={200: Reply(PassagesOut)})
    def search(kb: Kb, principal: Principal, *, body: SearchIn) -> Response: ...

It is mounted twice: under /api/v1 for keys and under /app for the pages, with the same contract.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from flask import Flask, Response
from pydantic import BaseModel

from web import auth, requests
from web.auth import Policy
from web.idempotency import Recall, once
from web.transfers import in_a_place

if TYPE_CHECKING:
    from kb.app import Kb

Method = Literal["GET", "POST", "PATCH", "DELETE"]


@dataclass(frozen=True)
class Reply:
    """One possible answer. model None: an empty body, or bytes of `media`."""

    model: type[BaseModel] | None = None
    description: str = ""
    media: str = "application/json"


@dataclass(frozen=True)
class Endpoint:
    """A row of the table. path: `{name}` marks a part of the address. scope None: any known caller."""

    method: Method
    path: str
    call: Callable[..., Response]
    scope: str | None
    tag: str
    summary: str
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    form: type[BaseModel] | None = None
    raw: tuple[str, ...] = ()  # content types of a body that the endpoint reads itself
    replies: Mapping[int, Reply] = field(default_factory=dict)
    recall: Recall | None = None  # for answers that an Idempotency-Key must not keep as they are
    rest: bool = True  # False: for kb's own pages only

    @property
    def name(self) -> str:
        """Unique name, the OpenAPI operationId."""
        return self.call.__name__


TABLE: list[Endpoint] = []


def endpoint(
    method: Method, path: str, *, scope: str | None, tag: str, **rest: Any
) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    """Put a function into the table; its docstring's first line is the summary."""

    def add(call: Callable[..., Response]) -> Callable[..., Response]:
        summary = (call.__doc__ or "").strip().splitlines()[0].split(". ")[0].rstrip(".")
        TABLE.append(Endpoint(method, path, call, scope, tag, summary, **rest))
        return call

    return add


def mount(app: Flask, kb: Kb) -> None:
    """Add every endpoint of the table to the application, by both doors."""
    for row in TABLE:
        rule = row.path.replace("{", "<").replace("}", ">")
        if row.rest:
            _add(app, kb, row, f"/api/v1{rule}", Policy("rest", row.scope), f"rest.{row.name}")
        _add(app, kb, row, f"/app{rule}", Policy("app", row.scope), f"app.{row.name}")


def _add(app: Flask, kb: Kb, row: Endpoint, rule: str, policy: Policy, name: str) -> None:
    def view(**path: str) -> Response:
        inputs: dict[str, Any] = dict(path)
        requests.check_path(path)
        query = requests.query(row.query)
        if query is not None:
            inputs["query"] = query
        if row.body is not None:
            inputs["body"] = requests.json_body(row.body)
        if row.form is not None:
            inputs["form"], inputs["file"] = requests.upload(row.form, kb.settings)
        principal = auth.standing()
        if row.method != "POST":
            return in_a_place(row.call(kb, principal, **inputs))
        return once(kb, principal, inputs, lambda: row.call(kb, principal, **inputs), row.recall)

    auth.route(app, rule, policy, view, methods=(row.method,), name=name)


def reply(body: BaseModel | Mapping[str, Any] | None, status: int = 200) -> Response:
    """JSON, or nothing with 204."""
    if body is None:
        return Response(status=204)
    shown = body.model_dump(mode="json") if isinstance(body, BaseModel) else body
    return Response(json.dumps(shown, ensure_ascii=False), status, mimetype="application/json")


def page(model: type[BaseModel], rows: list[Any], following: str | None) -> Response:
    """A page of a list."""
    data = [model.model_validate(row).model_dump(mode="json") for row in rows]
    return reply({"data": data, "next": following})
