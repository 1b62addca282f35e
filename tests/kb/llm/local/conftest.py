"""A server process of its own with a tiny packed model."""

from __future__ import annotations

import ctypes
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


def die_with_parent() -> None:
    """For a child before it runs its program: a test that is killed leaves no server behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def serve(file: Path, state: Path, *more: str, **environment: str) -> subprocess.Popen[str]:
    """`kb model serve FILE` on a free port."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("KB_")}
    clean |= {"KB_DATA": str(state), "KB_MODEL_RAM": "1GB", "KB_MODEL_THREADS": "2", **environment}
    argv = [sys.executable, "-m", "kb.cli", "model", "serve", str(file), "--port", "0", *more]
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, env=clean, stdout=pipe, stderr=pipe, text=True, preexec_fn=die_with_parent)


@contextmanager
def model_server(file: Path, state: Path, *more: str, **environment: str) -> Iterator[tuple[str, int]]:
    """A running server: its URL and process id. It must end on SIGTERM with code 0 and without complaints."""
    process = serve(file, state, *more, **environment)
    assert process.stdout is not None
    try:
        found = re.search(r"http://\S+/v1", process.stdout.readline())
        ready = found and "is ready" in process.stdout.readline()
        if not found or not ready:
            process.kill()
            raise AssertionError(process.communicate()[1])
        yield found[0], process.pid
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors
    finally:
        ended = process.poll()
        process.kill()
        _, errors = process.communicate()
        print(
            f"the model server had ended with {ended}; it said:", errors[-3000:]
        )  # shown where a test fails


@pytest.fixture(scope="session")
def answering_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A model that answers every chat with `speaking.ANSWER`."""
    scratch = tmp_path_factory.mktemp("answering")
    file = speaking.packed(scratch / "tiny-harmony.kbm", answering=True)
    with model_server(file, scratch) as (url, _):
        yield url
