"""The local model as `kb up` runs it: only where a packed model is there and no other server is configured."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from kb.settings import Settings
from kb.types import Process


def model(settings: Settings) -> Process | None:
    """`kb model serve FILE`; exports KB_LLM_URL to the web server. None where KB_LLM_URL is set already."""
    if settings.llm_url:
        return None
    file = find(settings)
    if file is None:
        return Process(
            "model",
            missing="no language model: answers quote the documents. What this machine could run: kb model plan",
        )
    port = settings.model_port or _free_port()
    argv = (
        sys.executable,
        "-m",
        "kb.cli",
        "model",
        "serve",
        str(file),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    )
    return Process("model", argv, exports={"KB_LLM_URL": f"http://127.0.0.1:{port}/v1"}, log=True)


def find(settings: Settings) -> Path | None:
    """The packed model to serve: the one configured, else the newest in <data>/models."""
    if settings.model_file:
        return Path(settings.model_file)
    found = sorted((settings.data / "models").glob("*.kbm"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
