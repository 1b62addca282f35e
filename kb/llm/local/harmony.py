"""The harmony form of gpt-oss's output, told apart by token ids: reasoning here, the answer there.

    <|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>final<|message|>…<|return|>

Only the final channel is content; analysis and commentary are reasoning. The prompt ends in
`<|start|>assistant`, so the first thing generated is the rest of a header. A model without these tokens
speaks plain text: everything is content.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from kb.llm.local.tokenizer import Detokeniser, Tokenizer

_MARKS = ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>", "<|call|>")
_ENDS = ("<|return|>", "<|call|>")


@dataclass(frozen=True)
class Piece:
    """What one token adds. shown: the token is part of the content. ended: it closed the final message."""

    content: str = ""
    reasoning: str = ""
    shown: bool = False
    ended: bool = False


class Harmony:
    """Ids of the marks in one vocabulary; `None` marks mean the model does not speak harmony."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.ids = {name: tokenizer.special[name] for name in _MARKS if name in tokenizer.special}
        self.spoken = len(self.ids) == len(_MARKS)
        self.ends = tuple(self.ids[name] for name in _ENDS) if self.spoken else ()


class Channels:
    """Feed it a chat completion's tokens one by one."""

    def __init__(self, harmony: Harmony, tokenizer: Tokenizer) -> None:
        self._marks = {id: name for name, id in harmony.ids.items()} if harmony.spoken else {}
        self._text = Detokeniser(tokenizer)
        self._header: str | None = "" if harmony.spoken else None  # text of a header being read
        self._named = False  # the header named a channel
        self._channel = "" if harmony.spoken else "final"

    def feed(self, token: int) -> Piece:
        """What this token shows."""
        mark = self._marks.get(token)
        if mark is not None:
            return self._turn(mark)
        text = self._text.feed(token)
        if self._header is not None:
            self._header += text
            return Piece()
        return self._piece(text, shown=True)

    def close(self) -> Piece:
        """What is left of a character cut short by the end."""
        return Piece() if self._header is not None else self._piece(self._text.flush())

    def _turn(self, mark: str) -> Piece:
        rest = self.close()
        if mark == "<|message|>":
            # a message without a channel is meant for the reader: models tuned on plain data write such
            words = (self._header or "").split() if self._named else ["final"]
            self._channel, self._header = (words[0] if words else "final"), None
            return rest
        ended = self._header is None and self._channel == "final" and mark != "<|channel|>"
        self._header, self._named = "", mark == "<|channel|>"
        return replace(rest, ended=ended)

    def _piece(self, text: str, shown: bool = False) -> Piece:
        if self._channel == "final":
            return Piece(content=text, shown=shown)
        return Piece(reasoning=text)
