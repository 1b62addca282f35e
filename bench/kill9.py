"""kill -9 of worker, web or supervisor at random moments of an import; then: is everything still true?

    python bench/kill9.py [--kills 50] [--documents 300] [--seed 1]

A real `kb up` runs on a scratch state directory. Documents are added in a process of their own, as a
person would; every one acknowledged is remembered. Only processes started here are killed. After the
last kill everything is restarted once more, the queue runs dry, and the table says what was lost,
doubled or stuck, and what `kb doctor` finds. Exit status 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

KB = [sys.executable, "-m", "kb.cli"]
WORDS = "the pump valve boiler returns warranty travel laptop invoice holiday filter grinder steam order parcel".split()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    state = Path(tempfile.mkdtemp(prefix="kb-kill9-"))
    env = {**os.environ, "KB_DATA": str(state / "data"), "KB_PORT": str(free_port()), "KB_TIKA_SLOTS": "1"}
    print(f"seed {options.seed}, {options.documents} documents, {options.kills} kills")
    try:
        return trial(options.kills, options.documents, draw, state, env)
    finally:
        shutil.rmtree(state, ignore_errors=True)


def trial(kills: int, documents: int, draw: random.Random, state: Path, env: dict[str, str]) -> int:
    folder = state / "documents"
    folder.mkdir()
    batch = 0
    acknowledged: dict[str, str] = {}
    killed: collections.Counter[str] = collections.Counter()
    landed = 0
    up = start(env, state)
    importer: subprocess.Popen[str] | None = None
    try:
        while sum(killed.values()) < kills:
            if importer is None or importer.poll() is not None:
                if importer is not None:
                    acknowledged.update(taken(importer))
                batch += 1
                importer = add(folder, batch, documents, draw, env)
            victim = draw.choice(("worker", "web", "supervisor"))
            running(up)  # killing what has not started yet proves nothing
            time.sleep(draw.uniform(0.0, 2.0))
            process = up if victim == "supervisor" else child(up, victim)
            if process is None:
                continue
            process.send_signal(signal.SIGKILL)
            killed[victim] += 1
            if victim == "supervisor":
                landed += up.wait(10) == -signal.SIGKILL
                up = start(env, state)
            else:
                landed += gone(process)
        assert importer is not None
        importer.wait(300)
        acknowledged.update(taken(importer))
        counts = settle(env)
    finally:
        up.terminate()
        up.wait(60)
    report = json.loads(run([*KB, "list", "--json", "--limit", "100000"], env))["data"]
    by_id = {d["id"]: d for d in report}
    names = collections.Counter(d["external_id"] for d in report)
    doctor = subprocess.run([*KB, "doctor"], env=env, capture_output=True, text=True)
    rows = {
        "kills (worker / web / supervisor)": f"{killed['worker']} / {killed['web']} / {killed['supervisor']}",
        "kills that landed": landed,
        "documents acknowledged": len(acknowledged),
        "lost": len(set(acknowledged) - set(by_id)),
        "not ready": sum(
            by_id[i]["state"] not in ("ready", "ready_with_warnings") for i in acknowledged if i in by_id
        ),
        "present twice": sum(n > 1 for n in names.values()),
        "jobs left": sum(counts.values()),
        "kb doctor": "clean" if doctor.returncode == 0 else doctor.stdout.strip().splitlines()[-1:],
    }
    for name, value in rows.items():
        print(f"{name:36} {value}")
    bad = rows["lost"] or rows["not ready"] or rows["present twice"] or rows["jobs left"] or doctor.returncode
    if bad:
        print(doctor.stdout[-2000:], doctor.stderr[-2000:])
        for d in report:
            if d["state"] not in ("ready", "ready_with_warnings"):
                print(d["id"], d["state"], d["reason"])
    return int(bool(bad))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(env: dict[str, str], state: Path) -> subprocess.Popen[bytes]:
    with open(state / "up.log", "ab") as log:
        return subprocess.Popen([*KB, "up"], env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def child(up: subprocess.Popen[bytes], name: str) -> psutil.Process | None:
    """The supervisor's child that runs `kb serve` or `kb worker`, if it is up at this moment."""
    command = {"web": "serve", "worker": "worker"}[name]
    try:
        for process in psutil.Process(up.pid).children():
            if process.cmdline()[-1:] == [command]:
                return process
    except psutil.Error:
        pass
    return None


def running(up: subprocess.Popen[bytes], patience_s: float = 60) -> None:
    """Until the supervisor has both its children up."""
    deadline = time.monotonic() + patience_s
    while not (child(up, "worker") and child(up, "web")) and time.monotonic() < deadline:
        time.sleep(0.05)


def gone(process: psutil.Process) -> bool:
    try:
        process.wait(10)
    except psutil.TimeoutExpired:
        return False
    return True


def add(
    folder: Path, batch: int, count: int, draw: random.Random, env: dict[str, str]
) -> subprocess.Popen[str]:
    """Write `count` new documents and import them with `kb add`; its JSON names what was acknowledged."""
    here = folder / f"batch{batch}"
    here.mkdir()
    for number in range(count):
        text = " ".join(draw.choices(WORDS, k=120))
        (here / f"{batch}-{number}.md").write_text(
            f"# Note {batch}-{number}\n\nNumber {draw.random()}. {text}.\n"
        )
    out = open(folder.parent / f"added{batch}.json", "w+")
    process = subprocess.Popen(
        [*KB, "add", str(here), "--json"], env=env, stdout=out, stderr=subprocess.DEVNULL, text=True
    )
    process.result = out  # type: ignore[attr-defined]
    return process


def taken(importer: subprocess.Popen[str]) -> dict[str, str]:
    """Documents that the importer was told are safe: id → external id."""
    out = importer.result  # type: ignore[attr-defined]
    out.flush()
    out.seek(0)
    text = out.read()
    out.close()
    return {d["id"]: d["external_id"] for d in json.loads(text)["data"]} if text else {}


def settle(env: dict[str, str], patience_s: float = 600) -> dict[str, int]:
    """Wait until no document is on its way; what is left after the patience."""
    deadline = time.monotonic() + patience_s
    while True:
        found = json.loads(run([*KB, "list", "--json", "--limit", "100000"], env))["data"]
        left = collections.Counter(
            d["state"] for d in found if d["state"] in ("queued", "parsing", "embedding")
        )
        if not left or time.monotonic() > deadline:
            return dict(left)
        time.sleep(1)


def run(command: list[str], env: dict[str, str]) -> str:
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
