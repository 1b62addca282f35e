"""A server that nobody asks costs nothing, and does not outlive who started it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil

from . import conftest, speaking

_MOST_WAKINGS = 30  # in three seconds, of all threads; one that looks up every 20 ms alone makes 150
_STARTER = """
import sys, time
from pathlib import Path
from tests.kb.llm.local import conftest
process = conftest.serve(Path(sys.argv[1]), Path(sys.argv[2]))
print(process.pid, process.stdout.readline(), flush=True)
time.sleep(600)
"""


def _wakings(pid: int) -> int:
    """How often the threads of a process have gone to sleep by themselves."""
    found = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        match = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status.read_text(), re.MULTILINE)
        found += int(match[1]) if match else 0
    return found


def _rests(pid: int) -> bool:
    before = _wakings(pid)
    time.sleep(3)
    return _wakings(pid) - before <= _MOST_WAKINGS


def test_an_idle_server_sleeps_before_its_first_question_and_after_it(tmp_path: Path) -> None:
    file = speaking.packed(tmp_path / "tiny.kbm")
    with conftest.model_server(file, tmp_path) as (url, pid):
        assert _rests(pid) or _rests(pid)  # it may still have been at the end of its start
        body = json.dumps({"prompt": "hello", "max_tokens": 4}).encode()
        request = urllib.request.Request(url + "/completions", body, {"Content-Type": "application/json"})
        for _ in range(3):
            urllib.request.urlopen(request, timeout=60).read()
        assert _rests(pid) or _rests(pid)


def test_a_server_dies_with_the_test_that_started_it(tmp_path: Path) -> None:
    file = speaking.packed(tmp_path / "tiny.kbm")
    argv = [sys.executable, "-c", _STARTER, str(file), str(tmp_path)]
    root = Path(__file__).resolve().parents[4]
    starter = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=root)
    assert starter.stdout is not None
    server = psutil.Process(int(starter.stdout.readline().split()[0]))
    os.kill(starter.pid, signal.SIGKILL)
    starter.communicate()
    _, alive = psutil.wait_procs([server], timeout=20)
    for process in alive:
        process.kill()
    assert not alive, "the server outlived who started it"
