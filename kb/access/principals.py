"""Principals: the program itself, and what each role may do."""

from __future__ import annotations

from kb.store.scope import SYSTEM
from kb.types import SCOPES, Principal, Role

ROLES: dict[Role, frozenset[str]] = {
    "reader": frozenset({"ask", "search", "documents:read"}),
    "editor": frozenset({"ask", "search", "documents:read", "documents:write"}),
    "curator": frozenset({"ask", "search", "documents:read", "documents:write", "faq:write"}),
    "admin": frozenset(SCOPES),
}


def scopes_of(role: Role) -> frozenset[str]:
    """The scopes a role carries; none for an unknown role."""
    return ROLES.get(role, frozenset())


def person(id: str, name: str, role: Role) -> Principal:
    """The principal of a signed-in person."""
    return Principal("user", id, name, role=role, scopes=scopes_of(role))


__all__ = ["ROLES", "SYSTEM", "person", "scopes_of"]
