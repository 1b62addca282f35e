"""The local model as `kb up` runs it: only where a packed model is there and no other server is configured."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from kb.llm.local.store import models_in
from kb.settings import Settings
from kb.types import Process

# Two cores read some 60 tokens of a prompt a second: passages that fill `llm_context_tokens` take a minute.
FIRST_TOKEN_S = 90


def model(settings: Settings) -> Process | None:
    """`kb model serve FILE`; exports KB_LLM_URL to the web server. None where KB_LLM_URL is set already."""
    if settings.llm_url:
        return None
    file = find(settings)
    if file is None:
        return Process("model", missing=missing(settings))
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
    exports = {"KB_LLM_URL": f"http://127.0.0.1:{port}/v1"}
    if "llm_first_token_s" not in settings.model_fields_set:
        exports["KB_LLM_FIRST_TOKEN_S"] = str(FIRST_TOKEN_S)
    return Process("model", argv, exports=exports, log=True)


def find(settings: Settings) -> Path | None:
    """The packed model to serve: the one configured, else the newest complete one in <data>/models."""
    if settings.model_file:
        file = Path(settings.model_file)
        return file if file.is_file() else None
    return next(iter(models_in(settings.data / "models")), None)


def missing(settings: Settings) -> str:
    """Why there is no model to serve, and the way to one."""
    plan = "answers quote the documents. What this machine could run: kb model plan"
    if settings.model_file:
        return f"KB_MODEL_FILE names {settings.model_file}, which is not there: {plan}"
    begun = sorted((settings.data / "models").glob("*.kbm*"))
    begun = [file for file in begun if file.name.endswith((".kbm", ".kbm.part"))]
    if begun:
        return f"{begun[0]} is no complete model (kb model pack goes on where it stopped): {plan}"
    return f"no language model: {plan}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
