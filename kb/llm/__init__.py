"""Who writes: any OpenAI-compatible chat server, with clocks, a breaker and a fair queue around it.

Its parts are imported when they are asked for: the local model's process wants none of them, and an HTTP client takes
.15 seconds of its start.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kb.llm.breaker import Breaker
    from kb.llm.openai import OpenAIChat
    from kb.llm.queue import Queue, Ticket
    from kb.llm.wire import Cancelled

__all__ = ["Breaker", "Cancelled", "OpenAIChat", "Queue", "Ticket"]

_ROOMS = {
    "Breaker": "breaker",
    "Cancelled": "wire",
    "OpenAIChat": "openai",
    "Queue": "queue",
    "Ticket": "queue",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"{__name__} has no {name}")
    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
