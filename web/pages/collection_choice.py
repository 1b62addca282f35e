"""Which collections a form offers: those its user may change, said with who else reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kb.app import Kb
    from kb.types import Principal


@dataclass(frozen=True)
class Choice:
    """A collection in a list to choose from. text: its title, and where it matters who reads it."""

    name: str
    text: str


def writable(kb: Kb, me: Principal) -> list[Choice]:
    """What `me` may write, by name; admins are told of collections that nobody but admins can read.

    Who uploads into one of those would wonder why nobody finds anything.
    """
    made = []
    for found in kb.collections.list(me, "write"):
        alone = me.may("admin") and not kb.collections.grants(me, found.name)
        made.append(Choice(found.name, f"{found.title} (only admins read it)" if alone else found.title))
    return made
