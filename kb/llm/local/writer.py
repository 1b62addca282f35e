"""From drawn tokens to what the reader sees: channels, stop strings, log probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kb.llm.local.harmony import Channels, Harmony
from kb.llm.local.sampling import Chosen
from kb.llm.local.stops import Stops
from kb.llm.local.tokenizer import Detokeniser, Tokenizer


@dataclass(frozen=True)
class Delta:
    """New text of the content, new text of the reasoning, and the drawn tokens behind the content."""

    content: str = ""
    reasoning: str = ""
    tokens: tuple[Chosen, ...] = ()


class Writer:
    """Text of one answer.

    chat: told apart by harmony's channels; otherwise all of it but control tokens is content.
    ends: the end of the final message ends the answer.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        harmony: Harmony,
        stops: Sequence[str] = (),
        *,
        chat: bool = False,
        ends: bool = True,
    ) -> None:
        self._ends = ends
        self._channels = Channels(harmony, tokenizer) if chat else None
        self._plain = Detokeniser(tokenizer)
        self._control = frozenset(tokenizer.special.values())
        self._stops = Stops(stops)
        self._waiting: list[Chosen] = []  # tokens whose text is held back
        self.reasoning_tokens = 0

    def feed(self, chosen: Chosen) -> tuple[Delta, bool]:
        """What this token lets the reader see, and whether it ends the answer."""
        if self._channels is None:
            text = "" if chosen.token in self._control else self._plain.feed(chosen.token)
            shown = self._stops.feed(text)
            return self._delta(shown, "", chosen), self._stops.hit is not None
        piece = self._channels.feed(chosen.token)
        if not piece.shown:
            self.reasoning_tokens += not piece.ended
        content = self._stops.feed(piece.content)
        delta = self._delta(content, piece.reasoning, chosen if piece.shown else None)
        return delta, (piece.ended and self._ends) or self._stops.hit is not None

    def close(self) -> Delta:
        """What was held back, at the end. Nothing after a stop string."""
        if self._stops.hit is not None:
            return Delta()
        if self._channels is None:
            rest, reasoning = self._plain.flush(), ""
        else:
            piece = self._channels.close()
            rest, reasoning = piece.content, piece.reasoning
        content = self._stops.feed(rest) + self._stops.close()
        tokens, self._waiting = tuple(self._waiting), []
        return Delta(content, reasoning, tokens)

    def _delta(self, content: str, reasoning: str, chosen: Chosen | None) -> Delta:
        if chosen is not None and chosen.logprob is not None:
            self._waiting.append(chosen)
        if not content:
            return Delta(reasoning=reasoning)
        tokens, self._waiting = tuple(self._waiting), []
        return Delta(content, reasoning, tokens)
