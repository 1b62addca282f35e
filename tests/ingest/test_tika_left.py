"""What Tika servers of earlier starts left in the state directory goes; what a living one uses stays."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from ingest import tika_server


def folder(home: Path, name: str, days: float) -> Path:
    made = home / name
    (made / "tmp").mkdir(parents=True)
    (made / "tmp" / "apache-tika-1.tmp").write_text("half a workbook")
    os.utime(made, (time.time() - days * 86400,) * 2)
    return made


def test_only_folders_that_are_old_and_whose_ports_are_silent_go(tmp_path: Path) -> None:
    with socket.socket() as living:
        living.bind(("127.0.0.1", 0))
        living.listen()
        port = living.getsockname()[1]
        silent = tika_server.free_ports(2)
        left = folder(tmp_path, str(silent), 2)
        starting = folder(tmp_path, str(silent + 1), 0.1)
        used = folder(tmp_path, str(port - 1), 2)  # its second port is the one that answers
        other = folder(tmp_path, "notes", 2)
        tika_server._sweep(tmp_path, 2)
    assert not left.exists()
    assert starting.exists() and used.exists() and other.exists()
