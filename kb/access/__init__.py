"""Who may: people and their passwords, sessions, API keys, groups, and the allowed set."""

from kb.access.groups import Group, Groups
from kb.access.keys import Key, Keys
from kb.access.principals import ROLES, SYSTEM, person, scopes_of
from kb.access.scope import EMPTY, Scope, allowed, need
from kb.access.sessions import Sessions
from kb.access.users import User, Users

__all__ = [
    "EMPTY",
    "ROLES",
    "SYSTEM",
    "Group",
    "Groups",
    "Key",
    "Keys",
    "Scope",
    "Sessions",
    "User",
    "Users",
    "allowed",
    "need",
    "person",
    "scopes_of",
]
