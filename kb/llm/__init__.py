"""Who writes: any OpenAI-compatible chat server, with clocks, a breaker and a fair queue around it.

Nothing is imported here: the local model's process wants none of it, and an HTTP client takes .15 seconds of its start.
"""
