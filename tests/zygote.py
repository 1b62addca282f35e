"""`kb` commands without the price of their imports: a process that has imported everything forks once per command.

Each command still is a process of its own — environment, exit status, umask, standard output — and runs the same
`kb.cli.main`. What starting Python anew costs, about a second, is paid once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

IMPORTED = ("kb.app", "kb.commands.collection", "kb.commands.people", "kb.commands.group", "kb.commands.faq")
ROOT = Path(__file__).resolve().parents[1]


class Zygote:
    """Runs commands one at a time; `close` ends it."""

    def __init__(self) -> None:
        argv = [sys.executable, "-m", "tests.zygote"]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)

    def run(self, *arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """What `python -m kb.cli ARGUMENTS` does in this environment, and nothing on its standard input."""
        assert self._process.stdin and self._process.stdout
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            files = [f"/proc/{os.getpid()}/fd/{file.fileno()}" for file in (out, err)]
            order = {"arguments": arguments, "env": env, "files": files, "umask": _umask()}
            print(json.dumps(order), file=self._process.stdin, flush=True)
            code = int(self._process.stdout.readline())
            return subprocess.CompletedProcess(list(arguments), code, out.read(), err.read())

    def close(self) -> None:
        self._process.communicate(timeout=30)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _child(order: dict[str, Any]) -> None:
    """In the forked process: become the command."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in enumerate(order["files"], 1):
        os.dup2(os.open(name, os.O_WRONLY), number)
    os.environ.clear()
    os.environ.update(order["env"])
    os.umask(order["umask"])
    sys.argv = ["kb", *order["arguments"]]
    code: Any = 0
    try:
        from kb.cli import main

        main()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


def _serve() -> None:
    import importlib

    for name in IMPORTED:
        importlib.import_module(name)
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _child(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answers, flush=True)


if __name__ == "__main__":
    _serve()
