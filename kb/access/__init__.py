"""Who may: people and their passwords, sessions, API keys, groups. The allowed set is kb.store.scope's."""

from kb.access.groups import Group, Groups
from kb.access.keys import Key, Keys
from kb.access.principals import ROLES, person
from kb.access.sessions import Sessions
from kb.access.users import User, Users

__all__ = ["ROLES", "Group", "Groups", "Key", "Keys", "Sessions", "User", "Users", "person"]
