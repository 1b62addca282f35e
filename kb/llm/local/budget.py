"""How many prompt tokens one step may read."""

from __future__ import annotations

from kb.llm.local.types import PAGE

_LEAST = 2 * PAGE  # fewer waste the weights, which are read once a step


class StepBudget:
    """alone: tokens when nobody is writing; mixed: most when somebody is, fewer where that takes over `seconds`."""

    def __init__(self, alone: int, mixed: int, seconds: float) -> None:
        self._alone, self._mixed, self._seconds = alone, mixed, seconds
        self._rate: float | None = None  # prompt tokens a second, a running average

    def tokens(self, writing: int) -> int:
        """Prompt tokens for a step with so many sequences writing."""
        if not writing:
            return self._alone
        if self._rate is None:
            return min(self._mixed, _LEAST)
        wanted = int(self._rate * self._seconds) // PAGE * PAGE
        return min(self._mixed, max(_LEAST, wanted))

    def measured(self, read: int, seconds: float) -> None:
        """A step of `read` prompt tokens took so long."""
        if read >= PAGE and seconds > 0:
            rate = read / seconds
            self._rate = rate if self._rate is None else 0.7 * self._rate + 0.3 * rate

    def shrink(self) -> None:
        """Memory ran out: smaller steps from now on."""
        self._alone = max(PAGE, self._alone // 2)
        self._mixed = max(PAGE, self._mixed // 2)
