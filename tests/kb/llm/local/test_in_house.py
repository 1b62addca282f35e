"""`kb up` with a packed model in place: a question about the sample company, from the browser down to the weights."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.zygote import Zygote

from . import inhouse

ASK = "For how many working days may I work from another country?"
PASSWORD = "correct horse battery"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


class House:
    """A running `kb up` with a state directory of its own, without Tika."""

    def __init__(self, state: Path, zygote: Zygote) -> None:
        self.zygote = zygote
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.state, self.url = state, f"http://127.0.0.1:{port}"
        clean = {key: value for key, value in os.environ.items() if not key.startswith("KB_")}
        self.environment = clean | {
            "KB_DATA": str(state),
            "KB_PORT": str(port),
            "KB_TIKA_URL": "http://127.0.0.1:9",  # the documents below need none
            "KB_MODEL_RAM": "200MB",
            "KB_MODEL_KV_RAM": "100MB",
            "KB_LLM_TEMPERATURE": "0",  # the same words every time
            "KB_LLM_MAX_NEW_TOKENS": "100",  # five times the answer that it knows; garbage knows no end
            "PYTHONUNBUFFERED": "1",
        }
        self.key = ""

    def kb(self, *arguments: str) -> str:
        done = self.zygote.run(*arguments, env=self.environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self) -> None:
        self.log = open(self.state.parent / "up.log", "w+")
        argv = [sys.executable, "-m", "kb.cli", "up"]
        self.up = subprocess.Popen(
            argv, env=self.environment, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL
        )

    def said(self) -> str:
        return (self.state.parent / "up.log").read_text()

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=30) as response:
            return json.loads(response.read())

    def ask(self, question: str) -> list[tuple[str, Any]]:
        """The events of an answer, in order."""
        request = urllib.request.Request(
            self.url + "/api/v1/ask",
            json.dumps({"question": question}).encode(),
            {
                "Authorization": f"Bearer {self.key}",
                "Content-Type": "application/json",
                "Accept": "text/event-stream",
            },
        )
        with urllib.request.urlopen(request, timeout=120) as response:
            text = response.read().decode()
        found = re.findall(r"event: (\w+)\ndata: (.*)\n", text)
        return [(kind, json.loads(data)) for kind, data in found]

    def model(self) -> psutil.Process:
        children = psutil.Process(self.up.pid).children()
        return next(child for child in children if "model" in child.cmdline())

    def model_url(self) -> str:
        argv = self.model().cmdline()
        return f"http://127.0.0.1:{argv[argv.index('--port') + 1]}"

    def stop(self) -> None:
        if self.up.poll() is None:
            self.up.send_signal(signal.SIGTERM)
            assert self.up.wait(60) == 0
            assert not (self.state / "kb.sqlite3-wal").exists()  # all of it is in the database
        self.log.close()


def until(what: Callable[[], Any], seconds: float = 90.0) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if found := what():
                return found
        except (OSError, StopIteration, psutil.Error):
            pass
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def up(state: Path, zygote: Zygote, *, writing: bool) -> House:
    """Pack a model into the state directory, start, load the handbook, wait for the model."""
    house = House(state, zygote)
    source = inhouse.folder(state.parent / "in-house", writing=writing)
    house.kb("model", "pack", str(source))
    house.start()
    try:
        until(lambda: "kb is ready" in house.said())
        house.kb("collection", "create", "handbook", "--everyone")
        house.key = json.loads(house.kb("key", "create", "crm", "--scopes", "ask", "--json"))["key"]
        house.kb("add", str(inhouse.SAMPLE / "documents/handbook/remote-work.md"), "-C", "handbook", "--wait")
        until(lambda: "is ready" in (state / "logs/model.log").read_text())
    except BaseException:
        house.stop()
        raise
    return house


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, zygote: Zygote) -> Iterator[House]:
    made = up(tmp_path_factory.mktemp("house") / "state", zygote, writing=True)
    yield made
    made.stop()


def test_a_question_is_answered_by_the_model_with_the_servers_citations(house: House) -> None:
    events = house.ask(ASK)
    kinds = [kind for kind, _ in events]
    order = [kind for kind in kinds if kind != "status"]
    tokens = [data["text"] for kind, data in events if kind == "token"]
    assert order == ["sources", *["token"] * len(tokens), "citations", "done"] and "status" in kinds
    assert len(tokens) > 2  # it streams
    answer = events[-1][1]
    assert answer["text"] == inhouse.ANSWER == "".join(tokens)
    assert (answer["tier"], answer["support"], answer["model"]) == ("generated", "full", "in-house.int8")
    [citation] = answer["citations"]
    assert citation["n"] == 1 and citation["title"] == "Working from home and from abroad"
    assert (
        citation["quote"] == "You may work from another country for up to 20 working days in a calendar year."
    )


@pytest.mark.browser
def test_what_a_person_sees(house: House, chromium: Any) -> None:
    found = re.search(r"http://\S+/setup/\S+", house.said())
    assert found, house.said()
    page = chromium.new_page()
    page.set_default_timeout(60_000)
    page.goto(found[0])
    for name, value in (
        ("name", "Ada"),
        ("email", "ada@example.com"),
        ("password", PASSWORD),
        ("again", PASSWORD),
    ):
        page.fill(f"input[name={name}]", value)
    page.click("text=Create account")
    page.wait_for_url(f"{house.url}/")
    page.wait_for_load_state("load")
    page.fill("#question", ASK)
    page.keyboard.press("Enter")
    page.wait_for_selector("article.answer:not([aria-busy])")
    shown = page.inner_text("article.answer")
    assert "up to 20 working days in a calendar year" in shown and "Written by the model" in shown
    page.click("article.answer .prose a.cite")
    page.wait_for_selector("#evidence mark:has-text('20 working days')")
    page.goto(f"{house.url}/admin")
    page.wait_for_selector("#status:has-text('in-house.int8'):has-text('Answering')")
    page.close()


def test_a_model_that_is_killed_costs_its_wording_only_and_comes_back(house: House) -> None:
    before = house.model()
    before.send_signal(signal.SIGSTOP)  # hangs first: it must not come back before it was missed
    os.kill(before.pid, signal.SIGKILL)
    answer = house.ask(ASK)[-1][1]
    assert answer["tier"] in ("extractive", "generated")  # the supervisor may have been quicker
    assert house.get("/readyz") == {"status": "ready"}
    until(lambda: house.model().pid != before.pid)
    # its new log; asked earlier, it would be given a rest
    until(lambda: "is ready" in (house.state / "logs/model.log").read_text())
    until(lambda: house.ask(ASK)[-1][1]["tier"] == "generated")


def test_the_model_dies_with_the_supervisor(tmp_path: Path, zygote: Zygote) -> None:
    state = tmp_path / "state"
    (state / "models").mkdir(parents=True)
    house = House(state, zygote)
    inhouse.packed(state / "models/tiny.kbm", writing=False)
    house.start()
    try:
        child = until(house.model)
        until(lambda: urllib.request.urlopen(house.model_url() + "/livez", timeout=5))
        house.up.kill()
        house.up.wait()
        child.wait(30)
    finally:
        house.stop()


def test_a_model_that_talks_nonsense_is_never_shown(tmp_path: Path, zygote: Zygote) -> None:
    house = up(tmp_path / "state", zygote, writing=False)
    try:
        events = house.ask(ASK)
        kinds = [kind for kind, _ in events if kind != "status"]
        answer = events[-1][1]
        assert kinds == ["sources", "token", "citations", "done"]
        assert answer["tier"] == "extractive" and answer["model"] is None
        assert answer["notice"].startswith("Quoted from the documents; the language model")
        assert "20 working days" in answer["text"] and answer["citations"]
    finally:
        house.stop()
        shutil.rmtree(tmp_path / "in-house", ignore_errors=True)
