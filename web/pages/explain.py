"""Pages that explain: the API's document and its reference, and every kind of problem."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, make_response, render_template, request
from werkzeug.exceptions import NotFound as NothingHere

from web import auth
from web.auth import Policy
from web.problems import KINDS

if TYPE_CHECKING:
    from kb.app import Kb
    from kb.types import Principal


def install(app: Flask, kb: Kb) -> None:
    """Add /api/v1/openapi.json, /api/docs and /problems/<slug>. All are public: they tell nothing of the data."""
    from web.openapi import document

    document = cache(document)  # 20 ms of work, for anybody who asks
    text = cache(lambda: json.dumps(document(), indent=1))

    def openapi() -> Response:
        return Response(text(), mimetype="application/json")

    def reader() -> Principal | None:
        """Who is signed in, if anybody: these pages are open, but should not lose their reader's menu."""
        token = request.cookies.get(auth.doors().cookie)
        return kb.sessions.principal(token) if token else None

    def reference() -> Response:
        made = render_template("api.html", api=document(), resolve=_resolver(document()), me=reader())
        return make_response(made)

    def problem(slug: str) -> Response:
        if slug not in KINDS:
            raise NothingHere
        return make_response(render_template("problem_kind.html", slug=slug, kind=KINDS[slug]))

    def problems() -> Response:
        return make_response(render_template("problem_kinds.html", kinds=KINDS, me=reader()))

    for rule, view, name in (
        ("/api/v1/openapi.json", openapi, "openapi"),
        ("/api/docs", reference, "reference"),
        ("/problems/<slug>", problem, "problem"),
        ("/problems/", problems, "problems"),
    ):
        auth.route(app, rule, Policy("open"), view, methods=("GET",), name=name)


def _resolver(document: dict[str, Any]) -> Any:
    """A function for the template: `#/components/schemas/Name` to (name, schema)."""

    def resolve(shape: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        name = shape.get("$ref", "").rsplit("/", 1)[-1]
        return name, document["components"]["schemas"].get(name, shape)

    return resolve
