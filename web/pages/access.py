"""The page where admins make groups and say which collections people and groups may use, and its calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Response
from pydantic import Field

from web.endpoints import endpoint, reply
from web.schemas import Name, Strict

if TYPE_CHECKING:
    from kb.app import Kb
    from kb.types import Principal


class GroupIn(Strict):
    """A new group."""

    name: Name


class MemberIn(Strict):
    """Somebody who is to be in a group, or no longer."""

    user_id: str = Field(max_length=100)
    member: bool


class GrantIn(Strict):
    """Who may use a collection. permission none: nobody of these any more."""

    subject_kind: str = Field(pattern="^(user|group|everyone)$")
    subject_id: str = Field("", max_length=100)
    permission: str = Field(pattern="^(read|write|none)$")


def _call(method: Any, path: str, **rest: Any) -> Any:
    return endpoint(method, path, scope="admin", tag="Pages", rest=False, **rest)


@_call("GET", "/groups")
def list_groups(kb: Kb, principal: Principal) -> Response:
    """All groups and the ids of their members."""
    rows = [
        {"id": group.id, "name": group.name, "members": list(group.members)}
        for group in kb.groups.list(principal=principal)
    ]
    return reply({"data": rows, "next": None})


@_call("POST", "/groups", body=GroupIn)
def create_group(kb: Kb, principal: Principal, *, body: GroupIn) -> Response:
    """Create a group."""
    made = kb.groups.create(body.name, principal=principal)
    return reply({"id": made.id, "name": made.name, "members": []}, 201)


@_call("DELETE", "/groups/{id}")
def delete_group(kb: Kb, principal: Principal, *, id: str) -> Response:
    """Delete a group and what was granted to it."""
    kb.groups.delete(id, principal=principal)
    return reply(None)


@_call("POST", "/groups/{id}/members", body=MemberIn)
def set_member(kb: Kb, principal: Principal, *, id: str, body: MemberIn) -> Response:
    """Let somebody into a group, or out of it."""
    change = kb.groups.add if body.member else kb.groups.remove
    change(id, body.user_id, principal=principal)
    return reply(None)


@_call("GET", "/collections/{name}/grants")
def list_grants(kb: Kb, principal: Principal, *, name: str) -> Response:
    """Who may use a collection."""
    rows = kb.collections.grants(principal, name)
    return reply(
        {"data": [{"subject_kind": k, "subject_id": s, "permission": p} for k, s, p in rows], "next": None}
    )


@_call("GET", "/grants")
def list_all_grants(kb: Kb, principal: Principal) -> Response:
    """Who may use which collection."""
    rows = [
        {"collection": found.name, "subject_kind": k, "subject_id": s, "permission": p}
        for found in kb.collections.list(principal)
        for k, s, p in kb.collections.grants(principal, found.name)
    ]
    return reply({"data": rows, "next": None})


@_call("POST", "/collections/{name}/grants", body=GrantIn)
def set_grant(kb: Kb, principal: Principal, *, name: str, body: GrantIn) -> Response:
    """Let somebody read or write a collection, or no longer."""
    if body.permission == "none":
        kb.collections.revoke(name, body.subject_kind, body.subject_id, principal=principal)
    else:
        kb.collections.grant(name, body.subject_kind, body.subject_id, body.permission, principal=principal)
    return reply(None)
