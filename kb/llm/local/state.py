"""What the server's threads share: nothing but the model, once it is there, and what there is to count."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kb.errors import Unavailable
from kb.llm.local import metrics
from kb.llm.local.service import Service


def _nothing() -> Mapping[str, float]:
    return {}


@dataclass
class State:
    """`service` is None until the model is loaded."""

    service: Service | None = None
    store_report: Callable[[], Mapping[str, float]] = _nothing
    hint_rate: Callable[[], float] | None = None
    since: int = field(default_factory=lambda: int(time.time()))

    def require(self) -> Service:
        """The model, or Unavailable while it loads."""
        if self.service is None:
            raise Unavailable("The model is still loading.", slug="model-loading", retry_after=2)
        return self.service

    def metrics(self, connections: int) -> str:
        """/metrics."""
        service = self.service
        return metrics.render(
            service.scheduler if service else None,
            self.store_report(),
            self.hint_rate() if self.hint_rate else None,
            connections,
        )
