"""What each role may do, and the principal of a signed-in person."""

from __future__ import annotations

from kb.types import SCOPES, Principal, Role

ROLES: dict[Role, frozenset[str]] = {
    "reader": frozenset({"ask", "search", "documents:read"}),
    "editor": frozenset({"ask", "search", "documents:read", "documents:write"}),
    "curator": frozenset({"ask", "search", "documents:read", "documents:write", "faq:write"}),
    "admin": frozenset(SCOPES),
}


def person(id: str, name: str, role: Role) -> Principal:
    """The principal of a signed-in person; one with an unknown role may do nothing."""
    return Principal("user", id, name, role=role, scopes=ROLES.get(role, frozenset()))
