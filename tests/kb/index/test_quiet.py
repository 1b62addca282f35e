"""Nothing leaves the machine: not even what libraries would like to tell their makers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CODE = """
import sys
def heard(event, given):
    if event == "socket.getaddrinfo" or (event == "socket.connect" and given[1][0] != "127.0.0.1"):
        open(sys.argv[1], "a").write(f"{event} {given[1:]}\\n")
sys.addaudithook(heard)  # processes that are forked have it too
import kb.index.encoder
import openvino
from openvino import convert_model, frontend
assert "openvino_telemetry.main" not in sys.modules
"""


def test_loading_openvino_tells_nobody(tmp_path: Path) -> None:
    home, told = tmp_path / "home", tmp_path / "told"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(told)],
        env={**os.environ, "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert not told.exists() and not list(home.rglob("*intel*"))
