"""gpt-oss speaks "harmony": channels, of which only `final` is for people.

A good server parses them and sends the analysis apart (`reasoning_content`, `reasoning`), which the
client never forwards. A bad one leaks the raw form into the content,

    <|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>final<|message|>…<|return|>

or the form left after special tokens were dropped (`analysisWe need…assistantfinalThe answer`), or, for
other reasoning models, `<think>…</think>`. `FinalChannel` takes the content in pieces cut anywhere and lets
only final text pass. This is the one place that knows about channels.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(r"<\|([a-z_0-9]{1,32})\|>")
_TOKEN_BEGUN = re.compile(r"<(\|([a-z_0-9]{0,32}\|?)?)?$")
_BARE_ANALYSIS = re.compile(r"\s*(?:assistant)?(?:analysis|commentary)(?=[A-Z\"'“\u3400-\u9fff])")
_BARE_FINAL = "assistantfinal"
_BARE_PREFIXES = ("assistantanalysis", "assistantcommentary", "analysis", "commentary")
_BODY_ENDS = frozenset({"end", "return", "call"})


class FinalChannel:
    """Feed it content; it returns what may be shown. `seen` tells whether any final text passed."""

    def __init__(self) -> None:
        self.seen = False
        self._held = ""
        self._header: str | None = None  # text of a header being read, None outside one
        self._hidden = False  # inside a body of another channel, or between bodies
        self._channels = False  # the raw form was seen: what stands outside a body is nobody's
        self._opening = True  # nothing but white space came so far
        self._until: str | None = None  # a plain marker that ends hidden text

    def feed(self, piece: str) -> str:
        """The showable part of what came so far and was not returned yet."""
        self._held += piece
        return self._emit(self._drain(last=False))

    def close(self) -> str:
        """The rest, at the end of the stream."""
        return self._emit(self._drain(last=True))

    def _emit(self, text: str) -> str:
        if not self.seen:
            text = text.lstrip()
            self.seen = bool(text)
        return text

    def _drain(self, *, last: bool) -> str:
        shown: list[str] = []
        while self._held:
            if self._until is not None:
                if not self._skip_hidden(last):
                    break
                continue
            if self._opening:
                if not self._open(last):
                    break
                continue
            match = _TOKEN.search(self._held)
            if match is None:
                begun = None if last else _TOKEN_BEGUN.search(self._held)
                cut = begun.start() if begun else len(self._held)
                shown.append(self._text(self._held[:cut]))
                self._held = self._held[cut:]
                break
            shown.append(self._text(self._held[: match.start()]))
            self._held = self._held[match.end() :]
            self._token(match[1])
        return "".join(shown)

    def _text(self, text: str) -> str:
        if self._header is not None:
            self._header += text
            return ""
        return "" if self._hidden else text

    def _token(self, name: str) -> None:
        if name == "channel":
            self._header, self._channels = "", True
        elif name == "message":
            if self._header is not None:
                header = self._header.strip()
                self._hidden = not (header.startswith("final") or header == "assistant")
            self._header = None
        elif name == "start":
            self._header = ""
        elif name in _BODY_ENDS:
            self._header, self._hidden = None, self._channels

    def _open(self, last: bool) -> bool:
        """Look for leaked reasoning at the very start; False while it is too early to tell."""
        start = self._held.lstrip()
        if not start:
            self._opening = not last
            return last
        if start.startswith("<think>"):
            self._held, self._until, self._opening = start[len("<think>") :], "</think>", False
            return True
        bare = _BARE_ANALYSIS.match(start)
        if bare:
            self._held, self._until, self._opening = start[bare.end() :], _BARE_FINAL, False
            return True
        if not last and any(mark.startswith(start) for mark in ("<think>", *_BARE_PREFIXES)):
            return False
        self._opening = False
        return True

    def _skip_hidden(self, last: bool) -> bool:
        """Drop hidden text up to its end marker; False when more must come."""
        assert self._until is not None
        at = self._held.find(self._until)
        if at < 0:
            self._held = "" if last else self._held[-(len(self._until) - 1) :]
            return False
        self._held = self._held[at + len(self._until) :]
        self._until = None
        return True
