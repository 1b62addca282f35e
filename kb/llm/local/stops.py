"""Stop strings: nothing of one is ever shown, wherever the tokens cut it."""

from __future__ import annotations

from collections.abc import Sequence


class Stops:
    """Holds back the end of the text while it may still become a stop string."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.hit: str | None = None

    def feed(self, text: str) -> str:
        """Text that is safe to show. After a stop (`hit`) nothing more is."""
        if self.hit is not None:
            return ""
        if not self._stops:
            return text
        self._held += text
        # the one that is complete first, so that it does not matter how the text is cut
        found = [(at + len(stop), at, stop) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            _, at, self.hit = min(found)
            shown, self._held = self._held[:at], ""
            return shown
        keep = max(self._begun(stop) for stop in self._stops)
        cut = len(self._held) - keep
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown

    def close(self) -> str:
        """What was held back and did not become a stop."""
        shown, self._held = self._held, ""
        return shown

    def _begun(self, stop: str) -> int:
        """Length of the longest end of the held text that begins this stop."""
        most = min(len(stop) - 1, len(self._held))
        return next((size for size in range(most, 0, -1) if self._held.endswith(stop[:size])), 0)
