"""Who writes: any OpenAI-compatible chat server, with clocks, a breaker and a fair queue around it."""

from kb.llm.breaker import Breaker
from kb.llm.openai import OpenAIChat
from kb.llm.queue import Queue, Ticket
from kb.llm.wire import Cancelled

__all__ = ["Breaker", "Cancelled", "OpenAIChat", "Queue", "Ticket"]
