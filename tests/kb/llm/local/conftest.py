"""A server process of its own with a tiny packed model."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from . import speaking


@contextmanager
def model_server(file: Path, log: Path, **environment: str) -> Iterator[tuple[str, int]]:
    """`kb model serve FILE` on a free port: its URL and process id. Must end by itself on SIGTERM, with code 0."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("KB_")}
    clean |= {
        "KB_DATA": str(log.parent / "state"),
        "KB_MODEL_RAM": "1GB",
        "KB_MODEL_THREADS": "2",
        **environment,
    }
    argv = [sys.executable, "-m", "kb.cli", "model", "serve", str(file), "--port", "0"]
    with log.open("wb") as err:
        process = subprocess.Popen(argv, env=clean, stdout=subprocess.PIPE, stderr=err, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.search(r"http://\S+/v1", line)
        assert found, f"{line!r} {log.read_text()}"
        ready = process.stdout.readline()
        assert "is ready" in ready, f"{ready!r} {log.read_text()}"
        yield found[0], process.pid
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="session")
def answering_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A model that answers every chat with `speaking.ANSWER`."""
    scratch = tmp_path_factory.mktemp("answering")
    file = speaking.packed(scratch / "tiny-harmony.kbm", answering=True)
    with model_server(file, scratch / "log") as (url, _):
        yield url
