"""The allowed set. It is computed in the store, beneath every load; this is its name in the access room."""

from __future__ import annotations

from kb.store.scope import EMPTY, Scope, allowed, need

__all__ = ["EMPTY", "Scope", "allowed", "need"]
