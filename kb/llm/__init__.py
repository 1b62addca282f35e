"""Who writes: any OpenAI-compatible chat server, with clocks, a breaker and a fair queue around it."""

from kb.llm.breaker import Breaker
from kb.llm.openai import OpenAIChat
from kb.llm.queue import ModelQueue, Ticket
from kb.llm.wire import Cancelled

__all__ = ["Breaker", "Cancelled", "ModelQueue", "OpenAIChat", "Ticket"]
