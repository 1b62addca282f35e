"""The web server as `kb up` runs it."""

from __future__ import annotations

import sys

from kb.ops.arenas import huge_pages
from kb.settings import Settings
from kb.types import Process


def web(settings: Settings) -> Process:
    """`kb serve`, always possible."""
    return Process("web", (sys.executable, "-m", "kb.cli", "serve"), env=huge_pages())
