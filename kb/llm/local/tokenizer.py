"""A model's own tokenizer: text to token ids and, exactly, token ids to bytes.

Text of people never becomes a control token: `encode` reads `<|start|>` as nine characters. Only the chat
template may write control tokens, through `encode_template`.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache

import tokenizers

from kb.llm.local.errors import BadModel
from kb.llm.local.headroom import room

A_CHARACTER = 2048  # bytes of memory that the library may take for one
MASK = "\ufdd0"  # a noncharacter: text may not contain it, so it can hide control tokens in people's text


class Tokenizer:
    """`tokenizer.json` of a byte-level BPE model. Safe to share between threads."""

    def __init__(self, text: str) -> None:
        try:
            self._inner = tokenizers.Tokenizer.from_str(text)
        except Exception as error:  # the library raises a bare Exception
            raise BadModel(f"its tokenizer.json cannot be read: {error}") from None
        if not isinstance(self._inner.decoder, tokenizers.decoders.ByteLevel):
            raise BadModel("its tokenizer is not byte-level, so it is not a gpt-oss model's")
        self._inner.encode_special_tokens = True
        self._inner.no_truncation()
        self._inner.no_padding()
        added = self._inner.get_added_tokens_decoder()
        self.special: dict[str, int] = {token.content: id for id, token in added.items() if token.special}
        self._added = {id: token.content.encode() for id, token in added.items()}
        self._control = re.compile("|".join(map(re.escape, sorted(self.special, key=len, reverse=True))))
        self.size = self._inner.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """Tokens of plain text; nothing in it becomes a control token. MemoryError where there is no room for it."""
        with room(A_CHARACTER * len(text)):
            return list(self._inner.encode(text, add_special_tokens=False).ids)

    def encode_template(self, text: str) -> list[int]:
        """Tokens of a rendered template: its control tokens count, those hidden by `mask` do not."""
        ids: list[int] = []
        start = 0
        for match in self._control.finditer(text) if self.special else ():
            ids += self._plain(text[start : match.start()])
            ids.append(self.special[match[0]])
            start = match.end()
        return ids + self._plain(text[start:])

    def mask(self, text: str) -> str:
        """People's text for the template: what looks like a control token is made to look like none."""
        text = text.replace(MASK, "")
        return (
            self._control.sub(lambda match: match[0][0] + MASK + match[0][1:], text) if self.special else text
        )

    def token_bytes(self, token: int) -> bytes:
        """What one token stands for; a part of a character perhaps. Empty for ids beyond the vocabulary."""
        added = self._added.get(token)
        if added is not None:
            return added
        with room():
            text = self._inner.id_to_token(token)
        return b"" if text is None else bytes(_bytes().get(char, 0x3F) for char in text)

    def decode(self, ids: list[int]) -> str:
        """The text of whole sequences, control tokens spelled out."""
        return b"".join(map(self.token_bytes, ids)).decode(errors="replace")

    def _plain(self, text: str) -> list[int]:
        return self.encode(text.replace(MASK, "")) if text else []


class Detokeniser:
    """Text of tokens as they come: a character whose bytes are still on their way is held back."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, token: int) -> str:
        """Whole characters that this token completes."""
        return self._decoder.decode(self._tokenizer.token_bytes(token))

    def flush(self) -> str:
        """What is left; bytes that never became a character are U+FFFD."""
        text = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return text


@lru_cache(maxsize=1)
def _bytes() -> dict[str, int]:
    """The byte behind each character of a byte-level vocabulary (GPT-2's table: printable bytes are themselves)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in printable}
    others = [byte for byte in range(256) if byte not in printable]
    return table | {chr(0x100 + place): byte for place, byte in enumerate(others)}
