"""The supervisor with real processes: restarted when killed, stopped in order, never two on one directory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from kb.errors import Conflict
from kb.ops.supervisor import Child, Supervisor
from kb.types import Process
from tests.waiting import until

SLEEPER = (sys.executable, "-c", "import time; time.sleep(600)")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def supervisor(tmp_path: Path):
    said: list[str] = []
    found = Supervisor(tmp_path, said.append)
    found.said = said  # type: ignore[attr-defined]
    yield found
    found.stop.set()
    found.shut_down()


def run(supervisor: Supervisor, *processes: Process) -> threading.Thread:
    thread = threading.Thread(target=supervisor.run, args=(processes,))
    thread.start()
    until(lambda: len(supervisor.children) == len(processes) and all(c.popen for c in supervisor.children))
    return thread


def test_a_killed_process_is_started_again_and_said_so(supervisor: Supervisor) -> None:
    thread = run(supervisor, Process("sleeper", SLEEPER))
    first = supervisor.children[0].popen
    assert first
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: supervisor.children[0].popen not in (None, first))
    assert "sleeper was killed by signal 9" in supervisor.said[0]  # type: ignore[attr-defined]
    second = supervisor.children[0].popen
    assert second and alive(second.pid)
    supervisor.stop.set()
    thread.join(10)
    assert not alive(second.pid)


def test_what_cannot_run_is_named_and_the_rest_goes_on(supervisor: Supervisor) -> None:
    thread = threading.Thread(
        target=supervisor.run,
        args=(
            (
                Process("tika", missing="Java is missing"),
                Process("gone", ("/no/such/program",)),
                Process("ok", SLEEPER),
            ),
        ),
    )
    thread.start()
    until(lambda: any(c.popen for c in supervisor.children))
    until(lambda: len(supervisor.said) >= 2)  # type: ignore[attr-defined]
    assert supervisor.said[:2] == [
        "tika: Java is missing",
        "gone could not be started: No such file or directory",
    ]  # type: ignore[attr-defined]
    supervisor.stop.set()
    thread.join(10)


def test_later_processes_see_where_the_earlier_ones_are(supervisor: Supervisor, tmp_path: Path) -> None:
    write = f"import os, time; open({str(tmp_path / 'seen')!r}, 'w').write(os.environ['KB_TIKA_URL']); time.sleep(600)"
    thread = run(
        supervisor,
        Process("tika", SLEEPER, exports={"KB_TIKA_URL": "http://127.0.0.1:9"}, clean=True),
        Process("worker", (sys.executable, "-c", write)),
    )
    until(lambda: (tmp_path / "seen").exists() and (tmp_path / "seen").read_text())
    assert (tmp_path / "seen").read_text() == "http://127.0.0.1:9"
    supervisor.stop.set()
    thread.join(10)


def test_a_clean_process_sees_nothing_of_our_environment(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KB_LLM_KEY", "secret")
    write = f"import os, time; open({str(tmp_path / 'env')!r}, 'w').write(repr(dict(os.environ)) + '.'); time.sleep(600)"
    thread = run(supervisor, Process("tika", (sys.executable, "-c", write), {"PATH": "/bin"}, clean=True))
    until(lambda: (tmp_path / "env").exists() and (tmp_path / "env").read_text().endswith("."))
    assert "secret" not in (tmp_path / "env").read_text()
    supervisor.stop.set()
    thread.join(10)


def test_what_others_use_is_stopped_after_them(supervisor: Supervisor, tmp_path: Path) -> None:
    """Tika went first, and the worker logged that it does not answer while it handed its documents back."""
    code = """
import os, signal, sys, time
def ended(*_):
    time.sleep(float(sys.argv[2]))
    os.write(order, sys.argv[1].encode() + b" ")
    os._exit(0)
signal.signal(signal.SIGTERM, ended)
order = os.open(os.environ["ORDER"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.write(order, b". ")
time.sleep(600)
"""
    order = tmp_path / "order"
    env = {"ORDER": str(order)}
    thread = run(
        supervisor,
        Process("tika", (sys.executable, "-c", code, "tika", "0"), env, exports={"KB_TIKA_URL": "x"}),
        Process("web", (sys.executable, "-c", code, "web", "0"), env),
        Process("worker", (sys.executable, "-c", code, "worker", "0.5"), env),
    )
    until(lambda: order.exists() and order.read_text().count(".") == 3)
    supervisor.stop.set()
    thread.join(30)
    assert order.read_text().split()[3:] == ["web", "worker", "tika"]


def test_what_does_not_stop_is_ended_and_the_others_still_get_their_turn(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    deaf = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open({!r}, 'w'); time.sleep(600)"
    seen = [tmp_path / "tika", tmp_path / "worker"]
    supervisor.children = [
        Child(
            Process("tika", (sys.executable, "-c", deaf.format(str(seen[0]))), exports={"KB_TIKA_URL": "x"})
        ),
        Child(Process("worker", (sys.executable, "-c", deaf.format(str(seen[1]))))),
    ]
    for child in supervisor.children:
        supervisor._tend(child)
    until(lambda: all(path.exists() for path in seen))
    supervisor.shut_down(patience_s=0.4)
    assert supervisor.said == [  # type: ignore[attr-defined]
        "worker did not stop in time; ending it",
        "tika did not stop in time; ending it",
    ]
    assert not any(alive(child.popen.pid) for child in supervisor.children if child.popen)


def test_two_on_one_directory_are_refused(tmp_path: Path) -> None:
    first, second = Supervisor(tmp_path, print), Supervisor(tmp_path, print)
    first.acquire()
    with pytest.raises(Conflict, match="already running"):
        second.acquire()
    first.shut_down()
    second.acquire()
    second.shut_down()


def test_children_die_with_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    code = textwrap.dedent(
        f"""
        from pathlib import Path
        from kb.ops.supervisor import Supervisor
        from kb.types import Process
        Supervisor(Path({str(tmp_path)!r}), print).run([Process("sleeper", (
            {sys.executable!r}, "-c",
            "import os, time; open({str(tmp_path / "pid")!r}, 'w').write(str(os.getpid()) + '.'); time.sleep(600)",
        ))])
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().endswith("."))
    child = int((tmp_path / "pid").read_text()[:-1])
    assert alive(child)
    parent.kill()
    assert parent.wait() == -signal.SIGKILL
    until(lambda: not alive(child))
