"""What may come in as a question, and what may go out of a model. Nothing benign is ever stopped.

There is no "injection filter" on questions: such filters stop real customers and no attacker. What holds
instead: the model has no tools, no secrets and no network; passages are delimited data; and its output is
plain text here, with every link, image and tag taken out, so that nothing it writes can fetch anything.
"""

from __future__ import annotations

import re
import unicodedata

from kb.errors import FieldError, Invalid, TooLarge

LONGEST_QUESTION = 8000
_INVISIBLE = re.compile(
    "[\U000e0000-\U000e0fff\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\u00ad\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\[(?:\d{1,3};?)+m")

_IMAGE = re.compile(r"!\[[^\]\n]{0,300}\](?:\([^)\n]{0,2000}\)?|\[[^\]\n]{0,300}\])?")
_LINK = re.compile(r"\[([^\]\n]{0,300})\]\([^)\n]{0,2000}\)?")
_REFERENCE = re.compile(r"^[ \t]*\[[^\]\n]{1,300}\]:[ \t]*\S.*$", re.M)
_TAG = re.compile(r"</?[A-Za-z!?][^<>\n]{0,2000}/?>")
_URL = re.compile(
    r"\b(?:[a-z][a-z0-9+.-]{1,12}://|www\.|data:[a-z]+/|javascript:|mailto:)[^\s<>\"'“”，。；）)\]]*", re.I
)
_SPECIAL = re.compile(r"<\|[a-z_0-9]{1,32}\|>")


def question(text: str) -> str:
    """The question as it goes on: NFC, invisible and control characters out, white space trimmed.

    Raises Invalid when nothing is left, TooLarge beyond 8,000 characters.
    """
    if len(text) > LONGEST_QUESTION:
        raise TooLarge(
            f"The question has {len(text)} characters; {LONGEST_QUESTION} is the limit. Please ask it shorter.",
            slug="question-too-long",
            errors=(FieldError("/question", f"at most {LONGEST_QUESTION} characters"),),
        )
    shown = visible(text).strip()
    if not any(character.isalnum() or unicodedata.category(character) in ("So", "Sc") for character in shown):
        raise Invalid(
            "The question is empty. Please write what you want to know.",
            errors=(FieldError("/question", "is empty"),),
        )
    return shown


def visible(text: str) -> str:
    """NFC without control, tag, zero-width, bidirectional and variation characters."""
    text = _CONTROL.sub("", _ANSI.sub("", text))
    return unicodedata.normalize("NFC", _INVISIBLE.sub("", text))


def output(text: str, sources: str = "") -> str:
    """A model's text made harmless: no images, links, tags, special tokens; a URL stays, as plain text, only
    where `sources` (the passages it was shown) holds it to the letter."""
    text = _SPECIAL.sub("", visible(text))
    text = _REFERENCE.sub("", _IMAGE.sub("", text))
    text = _LINK.sub(r"\1", text)
    text = _TAG.sub("", text)
    return _URL.sub(lambda match: _known(match.group(), sources), text)


def _known(url: str, sources: str) -> str:
    bare = url.rstrip(".,;:!?。，；：！？")
    if bare and bare in sources:
        return url
    return url[len(bare) :]


class OutputStream:
    """`output` for text that arrives in pieces: releases it up to the last place where nothing is open."""

    HOLD = 600

    def __init__(self, sources: str = "") -> None:
        self._sources = sources
        self._held = ""

    def feed(self, piece: str) -> str:
        """What may be shown now."""
        self._held += piece
        cut = self._safe()
        if cut == 0 and len(self._held) > self.HOLD:
            cut = len(self._held)
        ready, self._held = self._held[:cut], self._held[cut:]
        return output(ready, self._sources) if ready else ""

    def close(self) -> str:
        """The rest."""
        ready, self._held = self._held, ""
        return output(ready, self._sources)

    def _safe(self) -> int:
        """The last place after white space or a CJK character with no bracket or tag open before it."""
        depth: list[str] = []
        safe = 0
        for at, character in enumerate(self._held):
            if character in "[(<【":
                depth.append(character)
            elif character in "])>】" and depth:
                depth.pop()
                if character == "]" and self._held[at + 1 : at + 2] in ("", "(", "[", ":"):
                    continue
            elif character == "\n":
                depth.clear()
            if not depth and (character.isspace() or "\u3000" <= character <= "\u9fff"):
                safe = at + 1
        return safe
