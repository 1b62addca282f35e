"""What the status page shows: what is stored, what waits, which helpers answer."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from kb.errors import KbError

if TYPE_CHECKING:
    from kb.app import Kb
    from kb.types import Principal


def status(kb: Kb, principal: Principal) -> dict[str, Any]:
    """Counts by state, the queue, disk space, encoder and model."""
    disk = shutil.disk_usage(kb.settings.data)
    return {
        "version": version("kb"),
        "documents": kb.documents.counts(principal),
        "jobs": kb.jobs.pending(),
        "collections": len(kb.collections.list(principal)),
        "encoder": kb.encoder.name,
        "index": _index(kb),
        "model": _model(kb),
        "disk": {"free_gb": round(disk.free / 1e9, 1), "total_gb": round(disk.total / 1e9, 1)},
    }


def _model(kb: Kb) -> dict[str, Any]:
    if kb.chat is None:
        note = (
            "No model is configured: answers quote the documents. What this machine could run: kb model plan"
        )
        return {"configured": False, "note": note}
    why = kb.chat.look()
    if not why and not kb.chat.available():
        why = "The model failed several times in a row and rests for some seconds."
    note = f"{why} Until it answers, answers quote the documents." if why else ""
    return {"configured": True, "name": kb.chat.name, "available": not why, "note": note}


def _index(kb: Kb) -> dict[str, Any]:
    try:
        kb.index.refresh()
    except KbError as error:
        return {"ready": False, "note": error.detail}
    waiting = kb.sentences.missing(kb.encoder.name)
    note = f"{waiting} pieces are found already; their sentences are indexed when the worker has time."
    return {"ready": True, "note": note if waiting else ""}
