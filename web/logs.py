"""What the web server's log looks like: one line an event, a plain traceback under what went wrong.

structlog's own default draws tracebacks with the values of all variables, where a fitting package happens to be installed:
keys, passwords and documents in the journal, and megabytes and half a minute for one error of a deep call.
"""

from __future__ import annotations

import sys

import structlog


def configure() -> None:
    """Set it for the whole process; more than once does no harm."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(
                colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    )
