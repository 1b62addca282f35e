"""The ports: small protocols with two implementations at least (one may be a test's)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Encoder(Protocol):
    """Text to unit vectors. `name` names the index that holds them: two names never mix."""

    name: str
    dim: int
    max_tokens: int

    def encode_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """[n, dim], unit length, in the order given. For throughput: batches sorted by length."""

    def encode_question(self, text: str) -> NDArray[np.float32]:
        """[dim], unit length. For latency."""

    def begin_question(self, text: str) -> Callable[[], NDArray[np.float32]]:
        """Start encoding a question on another core; the returned call (one only) waits for it."""

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Character spans of the text's tokens, specials left out, nothing truncated."""

    def covers(self, text: str) -> float:
        """Share (0..1) of the text's letters in scripts this encoder was trained on."""


class ChatModel(Protocol):
    """A language model behind any OpenAI-compatible server."""

    @property
    def name(self) -> str:
        """The model's name, as answers record it."""

    def stream(
        self, messages: Sequence[dict[str, str]], *, deadline: float, cancel: Cancel | None
    ) -> Generator[str]:
        """Text of the final channel, piece by piece. deadline: time.monotonic() seconds.

        Raises kb.errors.Unavailable when the server refuses, stalls, talks garbage or runs late;
        closing the generator closes the upstream socket.
        """

    def available(self) -> bool:
        """False while the circuit breaker is open; never blocks on the network."""

    def look(self) -> str:
        """Asks the server: why it would not answer now (still loading, down), or nothing. Seconds at most."""


class Cancel(Protocol):
    """A flag that another thread may raise."""

    def is_set(self) -> bool:
        """Whether to stop."""
