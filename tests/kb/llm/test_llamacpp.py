"""kb beside a real llama.cpp server: a process of its own, its own reading of OpenAI's protocol, a tiny GGUF."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kb.answer.ask import Asker, answer_text
from kb.errors import Unavailable
from kb.llm.openai import OpenAIChat
from kb.llm.wire import Cancelled
from kb.settings import Settings
from kb.store import SYSTEM
from kb.types import Question
from tests.fakes_answer import FakeConversations, FakeRetriever

from .local import inhouse
from .local.conftest import die_with_parent

_NEEDED = ("llama_cpp", "gguf", "uvicorn", "fastapi", "sse_starlette", "starlette_context", "yaml")
_MISSING = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    bool(_MISSING), reason=f"llama-cpp-python[server] is not installed (make setup-bench): {_MISSING}"
)
HELLO = [{"role": "user", "content": "For how many working days?"}]
PAGE = "You may work from another country for up to 20 working days in a calendar year. Tell payroll."


class LlamaServer:
    """`python -m llama_cpp.server` on a free port."""

    def __init__(self, model: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        argv = [sys.executable, "-m", "llama_cpp.server", "--model", str(model), "--host", "127.0.0.1"]
        argv += ["--port", str(self.port), "--n_ctx", "8192", "--n_threads", "1"]
        clean = {key: value for key, value in os.environ.items() if not key.startswith("KB_")}
        self.log = open(model.with_suffix(".log"), "w")
        self.process = subprocess.Popen(
            argv, env=clean, stdout=self.log, stderr=self.log, preexec_fn=die_with_parent
        )
        deadline = time.monotonic() + 90
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/models", timeout=5) as response:
                    self.model = json.loads(response.read())["data"][0]["id"]
                return
            except OSError:
                assert self.process.poll() is None, model.with_suffix(".log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.1)

    def close(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()


def _server(folder: Path, *, writing: bool) -> LlamaServer:
    from . import tiny_gguf

    return LlamaServer(tiny_gguf.write(folder / "tiny.gguf", writing=writing))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    server = _server(tmp_path_factory.mktemp("llama"), writing=True)
    yield server
    server.close()


def _chat(server: LlamaServer, **more: Any) -> OpenAIChat:
    return OpenAIChat(Settings(llm_url=server.url, **more))


def _asker(chat: OpenAIChat) -> Asker:
    retriever = FakeRetriever({"Working from abroad": PAGE})
    return Asker(Settings(), FakeConversations(), retriever, None, chat)


def test_the_client_finds_the_model_and_streams_its_words(llama: LlamaServer) -> None:
    chat = _chat(llama)
    assert chat.look() == "" and chat.name == llama.model
    pieces = list(chat.stream(HELLO, deadline=time.monotonic() + 60))
    assert "".join(pieces).strip() == inhouse.ANSWER and len(pieces) > 2
    assert chat.breaker.state == "closed"


def test_a_whole_answer_with_citations(llama: LlamaServer) -> None:
    question = Question("For how many working days may I work from another country?")
    events = list(_asker(_chat(llama)).ask(SYSTEM, question))
    kinds = [event.kind for event in events if event.kind != "status"]
    assert kinds == ["sources", *["token"] * (len(kinds) - 3), "citations", "done"] and len(kinds) > 5
    answer = events[-1].data
    assert (answer.text, answer.tier, answer.support) == (inhouse.ANSWER, "generated", "full")
    assert answer.model == llama.model and [citation.n for citation in answer.citations] == [1]


def test_a_stream_can_be_left_and_the_next_is_answered(llama: LlamaServer) -> None:
    chat = _chat(llama)
    stream = chat.stream(HELLO, deadline=time.monotonic() + 60)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        list(chat.stream(HELLO, deadline=time.monotonic() + 60, cancel=stop))
    assert inhouse.ANSWER in "".join(chat.stream(HELLO, deadline=time.monotonic() + 60))


def test_a_prompt_beyond_its_context_is_refused_and_quoted_instead(llama: LlamaServer) -> None:
    chat = _chat(llama)
    with pytest.raises(Unavailable):  # it begins a stream and breaks off
        long = [{"role": "user", "content": "Zürich! " * 9000}]
        list(chat.stream(long, deadline=time.monotonic() + 60))
    assert inhouse.ANSWER in "".join(chat.stream(HELLO, deadline=time.monotonic() + 60))


def test_noise_and_a_dead_server_cost_the_wording_only(tmp_path: Path) -> None:
    server = _server(tmp_path, writing=False)
    try:
        asker = _asker(_chat(server, llm_max_new_tokens=64))
        noise = answer_text(asker.ask(SYSTEM, Question("How many working days from another country?")))
        assert noise.tier == "extractive" or noise.notice  # either not shown, or shown with a warning
    finally:
        server.close()
    quoted = answer_text(asker.ask(SYSTEM, Question("How many working days from another country?")))
    assert quoted.tier == "extractive" and "20 working days" in quoted.text
    assert quoted.notice and "not available" in quoted.notice
