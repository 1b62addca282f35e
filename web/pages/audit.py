"""The audit log as admins read it: who did what to what, in words and by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flask import Response

from kb.errors import NotFound
from kb.store.audit import entries
from web.endpoints import endpoint, reply
from web.responses import iso
from web.schemas import Paging

if TYPE_CHECKING:
    from kb.app import Kb
    from kb.types import Principal

WORDS = {
    "document.add": "added a document",
    "document.delete": "deleted a document",
    "document.retry": "had a document read again",
    "collection.create": "made a collection",
    "collection.rename": "renamed a collection",
    "collection.delete": "deleted a collection",
    "grant.set": "gave access to a collection",
    "grant.remove": "took access to a collection",
    "user.create": "made an account",
    "user.disable": "closed an account",
    "user.enable": "reopened an account",
    "user.role": "changed a role",
    "user.password": "set a password",
    "group.create": "made a group",
    "group.delete": "deleted a group",
    "group.add": "let somebody into a group",
    "group.remove": "took somebody out of a group",
    "key.create": "made an API key",
    "key.revoke": "revoked an API key",
    "faq.create": "added an FAQ entry",
    "faq.update": "changed an FAQ entry",
    "faq.delete": "deleted an FAQ entry",
    "setup.redeem": "made the first account",
    "doctor.repair": "repaired the store",
    "conversation.delete": "deleted a conversation",
    "retention.apply": "let go of what was old",
    "unanswered.dismiss": "dismissed an unanswered question",
    "unanswered.restore": "put back an unanswered question",
}


@endpoint("GET", "/audit", scope="admin", tag="Pages", query=Paging, rest=False)
def list_audit(kb: Kb, principal: Principal, *, query: Paging) -> Response:
    """The audit log, newest first."""
    lines, following = entries(kb.db, principal, cursor=query.cursor, limit=query.limit)
    names = _names(kb, principal)
    data = []
    for line in lines:
        title = names.get(line.object) or _title(kb, principal, line.object)
        title = title or line.detail.get("external_id") or line.object
        data.append(
            {
                "at": iso(line.at),
                "who": _called(line.principal, names),
                "what": WORDS.get(line.action, line.action),
                "object": title,
                "detail": _detail(line.detail, names, title),
            }
        )
    return reply({"data": data, "next": following})


def _names(kb: Kb, principal: Principal) -> dict[str, str]:
    """What accounts, groups and keys are called, by id."""
    return {
        **{user.id: user.email for user in kb.users.list(principal=principal)},
        **{group.id: group.name for group in kb.groups.list(principal=principal)},
        **{key.id: key.name for key in kb.keys.list(principal=principal)},
    }


def _called(who: str, names: Mapping[str, str]) -> str:
    """`user:<id>`, `key:<id>`, `group:<id>`, `everyone:` or `system:<name>` as people say it."""
    kind, _, id_ = who.partition(":")
    if kind == "system":
        return "kb"
    name = names.get(id_, id_)
    return f"key {name}" if kind == "key" else name or kind


def _title(kb: Kb, principal: Principal, id_: str) -> str | None:
    """The title of a document, the question of an entry or an answer; None for what is gone or has none."""
    try:
        if id_.startswith("doc_"):
            return kb.documents.get(principal, id_).title
        if id_.startswith("faq_"):
            return kb.faqs.get(principal, id_).question
        if id_.startswith("ans_"):
            return kb.conversations.get(principal, id_).question
    except NotFound:
        pass
    return None


def _detail(detail: Mapping[str, Any], names: Mapping[str, str], title: str) -> str:
    """What was changed of it, in a line that does not repeat its title."""
    said = []
    for name, value in detail.items():
        if value == title:
            continue
        if name in ("to", "user"):
            value = _called(value if ":" in value else f"user:{value}", names)
        elif isinstance(value, list):
            value = ", ".join(map(str, value))
        said.append(f"{name.replace('_', ' ')}: {value}")
    return "; ".join(said)
