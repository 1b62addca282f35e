"""Pages for curators and admins, and the calls they make."""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, make_response, render_template

from kb.errors import FieldError, Invalid
from kb.store import answer_days
from kb.types import SCOPES, Role
from web import auth
from web.auth import Policy
from web.endpoints import endpoint, reply
from web.idempotency import SECRET
from web.pages.collection_choice import writable
from web.responses import iso
from web.schemas import Name, Names, Paging, Strict
from web.status import status

if TYPE_CHECKING:
    from kb.app import Kb
    from kb.types import Principal

PAGES = (
    ("/faq", "faq", "documents:read", "faq.html"),
    ("/admin", "admin", "admin", "admin_status.html"),
    ("/admin/users", "admin.users", "admin", "admin_users.html"),
    ("/admin/access", "admin.access", "admin", "admin_access.html"),
    ("/admin/keys", "admin.keys", "admin", "admin_keys.html"),
    ("/admin/audit", "admin.audit", "admin", "admin_audit.html"),
    ("/admin/unanswered", "admin.unanswered", "faq:write", "admin_unanswered.html"),
    ("/admin/feedback", "admin.feedback", "faq:write", "admin_feedback.html"),
)


def install(app: Flask, kb: Kb) -> None:
    """Add the pages; their rows come through the calls below."""
    for rule, name, scope, template in PAGES:
        view = partial(_page, kb, template)
        auth.route(app, rule, Policy("page", scope), view, methods=("GET",), name=name)


def _page(kb: Kb, template: str) -> Response:
    me = auth.principal()
    values = {"collections": kb.collections.list(me), "writable": writable(kb, me), "scopes": SCOPES}
    return make_response(render_template(template, **values))


class UserIn(Strict):
    """A new account; its first password is made here and shown once."""

    email: Name
    name: Name
    role: Role


class UserPatch(Strict):
    """What to change of an account. password true: make a new one and show it once."""

    role: Role | None = None
    disabled: bool | None = None
    password: bool | None = None


class KeyIn(Strict):
    """A new API key. collections None: all of them, now and later."""

    name: Name
    scopes: Names
    collections: Names | None = None


def _call(method: Any, path: str, scope: str = "admin", **rest: Any) -> Any:
    return endpoint(method, path, scope=scope, tag="Pages", rest=False, **rest)


@_call("GET", "/status")
def system_status(kb: Kb, principal: Principal) -> Response:
    """How the system is doing."""
    return reply(status(kb, principal))


@_call("GET", "/answer-days")
def days_of_answers(kb: Kb, principal: Principal) -> Response:
    """How the questions of the last 30 days were answered."""
    rows = answer_days(kb.db, principal)
    return reply({"data": [{"day": row.day.isoformat(), **row.tiers} for row in rows]})


@_call("GET", "/users")
def list_users(kb: Kb, principal: Principal) -> Response:
    """All accounts."""
    rows = [
        {
            "id": user.id,
            "email": user.email,
            "name": user.name,
            "role": user.role,
            "disabled": user.disabled,
            "created_at": iso(user.created_at),
        }
        for user in kb.users.list(principal=principal)
    ]
    return reply({"data": rows, "next": None})


@_call("POST", "/users", body=UserIn, recall=SECRET)
def create_user(kb: Kb, principal: Principal, *, body: UserIn) -> Response:
    """Create an account."""
    password = secrets.token_urlsafe(12)
    user = kb.users.create(body.email, body.name, body.role, password, principal=principal)
    return reply({"id": user.id, "email": user.email, "password": password}, 201)


@_call("PATCH", "/users/{id}", body=UserPatch)
def change_user(kb: Kb, principal: Principal, *, id: str, body: UserPatch) -> Response:
    """Change a role, close or open an account, or give it a new password."""
    shown: dict[str, Any] = {"id": id}
    if body.role is not None:
        kb.users.set_role(id, body.role, principal=principal)
    if body.disabled is not None:
        kb.users.disable(id, principal=principal, disabled=body.disabled)
    if body.password:
        shown["password"] = secrets.token_urlsafe(12)
        kb.users.set_password(id, shown["password"], principal=principal)
    return reply(shown)


@_call("GET", "/keys")
def list_keys(kb: Kb, principal: Principal) -> Response:
    """All API keys, without their secrets."""
    rows = [
        {
            "id": key.id,
            "name": key.name,
            "scopes": key.scopes,
            "collections": key.collections,
            "created_at": iso(key.created_at),
            "last_used_at": iso(key.last_used_at) if key.last_used_at else None,
            "revoked": key.revoked,
        }
        for key in kb.keys.list(principal=principal)
    ]
    return reply({"data": rows, "next": None})


@_call("POST", "/keys", body=KeyIn, recall=SECRET)
def create_key(kb: Kb, principal: Principal, *, body: KeyIn) -> Response:
    """Create an API key; it is shown once."""
    if unknown := set(body.scopes) - set(SCOPES):
        raise Invalid(
            f"Unknown scope: {sorted(unknown)[0]}.", errors=(FieldError("/scopes", "unknown scope"),)
        )
    id_, token = kb.keys.create(body.name, body.scopes, body.collections, principal=principal)
    return reply({"id": id_, "key": token}, 201)


@_call("DELETE", "/keys/{id}")
def revoke_key(kb: Kb, principal: Principal, *, id: str) -> Response:
    """Revoke an API key at once."""
    kb.keys.revoke(id, principal=principal)
    return reply(None)


@_call("GET", "/feedback", "faq:write", query=Paging)
def feedback(kb: Kb, principal: Principal, *, query: Paging) -> Response:
    """What people thought of their answers."""
    rows, following = kb.conversations.feedbacks(principal, query.cursor, query.limit)
    data = [
        {
            "answer_id": row.answer_id,
            "question": row.question,
            "rating": row.rating,
            "reason": row.reason,
            "comment": row.comment,
            "created_at": iso(row.created_at),
        }
        for row in rows
    ]
    return reply({"data": data, "next": following})
