"""/livez and /readyz. Neither ever depends on Tika or on the model."""

from __future__ import annotations

import json
import logging
import shutil
from typing import TYPE_CHECKING

from flask import Flask, Response, current_app

from kb.errors import KbError
from web import auth, sse
from web.auth import Policy

if TYPE_CHECKING:
    from kb.app import Kb
    from web.warmup import Opening

log = logging.getLogger("web")

LEAST_FREE = 64 * 2**20  # bytes; less on small disks:
LEAST_SHARE = 0.05


def install(app: Flask, kb: Kb) -> None:
    """Add both routes; they take no credentials and tell nothing but yes or no, and why not."""

    def livez() -> Response:
        return _say(200, {"status": "alive"})

    def readyz() -> Response:
        checks = {"database": _writable(kb), "index": _caught_up(kb), "disk": _space(kb)}
        if sse.stopping.is_set():
            checks["server"] = "is stopping"
        bad = {name: why for name, why in checks.items() if why}
        if bad:
            return _say(503, {"status": "not ready", **bad})
        return _say(200, {"status": "ready"})

    auth.route(app, "/livez", Policy("open"), livez, methods=("GET",), name="livez")
    auth.route(app, "/readyz", Policy("open"), readyz, methods=("GET",), name="readyz")


def _say(status: int, what: dict[str, str]) -> Response:
    return Response(json.dumps(what), status, mimetype="application/json")


def _writable(kb: Kb) -> str:
    try:
        kb.db.probe()
    except KbError as error:
        return error.title
    return ""


def _caught_up(kb: Kb) -> str:
    opening: Opening | None = current_app.extensions.get("kb.opening")
    if opening is not None and opening.why:
        return opening.why
    try:
        kb.index.refresh()
    except KbError as error:
        return error.title
    except Exception as error:  # whoever watches is told of it, not of a defect in the watching
        log.exception("looking at the index")
        return f"could not be read: {type(error).__name__}; the log has the details"
    return ""


def _space(kb: Kb) -> str:
    try:
        disk = shutil.disk_usage(kb.settings.data)
    except OSError as error:
        return f"the state directory: {error.strerror}"
    enough = disk.free > min(LEAST_FREE, LEAST_SHARE * disk.total)
    return "" if enough else "the disk is nearly full"
