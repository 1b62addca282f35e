"""The official clients, and kb's own, against `kb model serve` in a process of its own with packed models."""

from __future__ import annotations

import json
import random
import re
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from kb.llm.openai import OpenAIChat
from kb.settings import Settings
from tests.waiting import until

from . import speaking
from .conftest import model_server, serve

QUESTION = [{"role": "user", "content": "Capital of France?"}]
SYSTEM = {"role": "system", "content": "Answer from the passages only. " * 20}


@pytest.fixture(scope="module")
def plain_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed random model without harmony: everything it babbles is content."""
    return speaking.packed(tmp_path_factory.mktemp("plain") / "babble.kbm", harmony=False)


@pytest.fixture(scope="module")
def babbling(plain_file: Path) -> Iterator[str]:
    with model_server(plain_file, plain_file.parent) as (url, _):
        yield url


@pytest.fixture
def client(babbling: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=babbling, api_key="none", max_retries=0, timeout=60) as made:
        yield made


def metrics(url: str) -> dict[str, float]:
    with urllib.request.urlopen(url.removesuffix("/v1") + "/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def say(client: openai.OpenAI, prompt: str, count: int = 40, **fields: object) -> openai.types.Completion:
    return client.completions.create(
        model="babble", prompt=prompt, max_tokens=count, extra_body={"ignore_eos": True}, **fields
    )


def prompt(number: int, size: int = 60) -> str:
    dice = random.Random(number)
    return "".join(dice.choice("abcdefgh ") for _ in range(size))


def test_openai_chat(answering_server: str) -> None:
    with openai.OpenAI(base_url=answering_server, api_key="none") as client:
        model = client.models.list().data[0].id
        assert model == "tiny-harmony"
        answer = client.chat.completions.create(model=model, messages=QUESTION, reasoning_effort="low")
        assert answer.choices[0].message.content == speaking.ANSWER
        assert answer.choices[0].finish_reason == "stop"
        stream = client.chat.completions.create(
            model=model, messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == speaking.ANSWER
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.prompt_tokens == answer.usage.prompt_tokens + 3  # "medium" for "low"
        with pytest.raises(openai.NotFoundError, match="tiny-harmony"):
            client.chat.completions.create(model="other", messages=QUESTION)
        with pytest.raises(openai.BadRequestError, match="temperature"):
            client.chat.completions.create(model=model, messages=QUESTION, temperature=9)


def test_openai_log_probabilities(answering_server: str) -> None:
    with openai.OpenAI(base_url=answering_server, api_key="none") as client:
        choice = client.chat.completions.create(
            model="tiny-harmony", messages=QUESTION, logprobs=True, top_logprobs=3
        ).choices[0]
    assert choice.logprobs is not None
    tokens = choice.logprobs.content or []
    assert "".join(token.token for token in tokens) == speaking.ANSWER
    assert all(
        token.top_logprobs[0].token == token.token and len(token.top_logprobs) == 3 for token in tokens
    )


def test_langchain(answering_server: str) -> None:
    model = ChatOpenAI(
        base_url=answering_server, api_key=SecretStr("none"), model="tiny-harmony", temperature=0
    )
    answer = model.invoke("Capital of France?")
    assert answer.content == speaking.ANSWER
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == len(speaking.ANSWER) + 4
    assert "".join(str(piece.content) for piece in model.stream("Capital of France?")) == speaking.ANSWER
    assert model.invoke("?", stop=["is"]).content == "Par"


def test_kbs_own_client(answering_server: str, tmp_path: Path) -> None:
    chat = OpenAIChat(Settings(data=tmp_path, llm_url=answering_server))
    pieces = list(chat.stream([dict(SYSTEM), *QUESTION], deadline=time.monotonic() + 30))
    assert "".join(pieces) == speaking.ANSWER
    assert chat.name == "tiny-harmony"


def test_eight_at_once_say_what_each_says_alone(client: openai.OpenAI) -> None:
    sizes = [3, 40, 64, 90, 130, 200, 333, 700]
    asks = [(prompt(100 + number, size), 20 + 7 * number) for number, size in enumerate(sizes)]
    seeded = {"temperature": 1.0, "seed": 5}
    alone = [say(client, text, count, **seeded).choices[0].text for text, count in asks]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda ask: say(client, *ask, **seeded).choices[0].text, asks))
    assert together == alone
    assert len(set(alone)) == 8


def test_seeds_stops_and_limits(client: openai.OpenAI) -> None:
    first, second, other = (
        say(client, "abc", 30, temperature=1.0, seed=seed).choices[0].text for seed in (1, 1, 2)
    )
    assert first == second != other
    stop = first[10:12]
    cut = say(client, "abc", 30, temperature=1.0, seed=1, stop=stop).choices[0]
    assert cut.text == first[: first.index(stop)]
    assert cut.finish_reason == "stop"


def test_a_shared_beginning_is_read_once_and_changes_nothing(client: openai.OpenAI, babbling: str) -> None:
    shared = prompt(7, 500)
    cold = say(client, shared + "?", temperature=0).choices[0].text
    before = metrics(babbling)
    again = say(client, shared + "?", temperature=0)
    assert again.choices[0].text == cold
    assert again.usage is not None
    assert again.usage.prompt_tokens_details is not None
    assert again.usage.prompt_tokens_details.cached_tokens == 480
    reused = "kb_model_prompt_tokens_reused_total"
    assert metrics(babbling)[reused] - before[reused] == 480


def test_closing_a_stream_frees_its_pages(client: openai.OpenAI, babbling: str) -> None:
    stream = client.completions.create(
        model="babble", prompt="abc", max_tokens=4000, stream=True, extra_body={"ignore_eos": True}
    )
    next(iter(stream))
    assert metrics(babbling)["kb_model_running"] == 1
    stream.close()
    until(lambda: metrics(babbling)["kb_model_running"] == 0)
    assert metrics(babbling)['kb_model_pages{state="used"}'] == 0


def test_few_pages_many_askers(plain_file: Path, tmp_path: Path) -> None:
    asks = [prompt(number, 100 + 10 * number) for number in range(6)]
    with (
        model_server(plain_file, tmp_path, "--exact", KB_MODEL_KV_RAM="800KB") as (url, _),
        openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client,
    ):
        alone = [say(client, text, 100, temperature=0).choices[0].text for text in asks]
        with ThreadPoolExecutor(6) as pool:
            together = list(
                pool.map(lambda text: say(client, text, 100, temperature=0).choices[0].text, asks)
            )
        assert together == alone
        found = metrics(url)
        assert found["kb_model_preemptions_total"] > 0
        assert found["kb_model_page_evictions_total"] > 0
        with pytest.raises(openai.BadRequestError, match="KB_MODEL_KV_RAM"):
            say(client, prompt(1, 2000))
        body = {"model": "babble", "prompt": ["x"] * 30, "max_tokens": 300, "ignore_eos": True}
        codes: list[int] = []

        def crowd() -> None:
            request = urllib.request.Request(
                url + "/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
            )
            try:
                with urllib.request.urlopen(request, timeout=120) as response:
                    codes.append(response.status)
            except urllib.error.HTTPError as error:
                codes.append(error.code)
                assert int(error.headers["Retry-After"]) > 0
                error.close()

        threads = [threading.Thread(target=crowd) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(set(codes)) == [200, 503]


def test_the_system_prompt_outlives_the_process(plain_file: Path, tmp_path: Path) -> None:
    texts, reused = [], []
    for run in range(2):  # the pages lie beside the model
        with (
            model_server(plain_file, tmp_path) as (url, _),
            openai.OpenAI(base_url=url, api_key="none") as client,
        ):
            for _ in range(2 if run == 0 else 1):
                found = client.chat.completions.create(
                    model="babble", messages=[SYSTEM, *QUESTION], temperature=0, max_tokens=30
                )
                texts.append(found.choices[0].message.content)
                assert found.usage is not None
                assert found.usage.prompt_tokens_details is not None
                reused.append(found.usage.prompt_tokens_details.cached_tokens)
            time.sleep(0.2)
    assert reused[0] == 0
    assert reused[2] == 32 * (len("system: " + SYSTEM["content"] + "\n") // 32)
    assert texts[0] == texts[1] == texts[2]


def test_a_model_that_cannot_be_loaded_ends_the_server_with_a_reason(
    plain_file: Path, tmp_path: Path
) -> None:
    for ram, words in (("1KB", "KB_MODEL_RAM"), ("lots", "KB_MODEL_RAM is 'lots'")):
        process = serve(plain_file, tmp_path, KB_MODEL_RAM=ram)
        _, error = process.communicate(timeout=60)
        assert process.returncode == 1
        assert words in error
        assert "Traceback" not in error


def test_a_server_told_to_stop_while_loading_stops(plain_file: Path, tmp_path: Path) -> None:
    process = serve(plain_file, tmp_path)
    assert process.stdout is not None
    assert "Listening" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 0, error


def test_120_questions_with_joins_cancels_and_disconnects_leak_nothing(babbling: str) -> None:
    def ask(number: int) -> str:
        dice = random.Random(number)
        body = {
            "model": "babble",
            "prompt": prompt(number % 5, 80) + prompt(number, dice.randrange(1, 60)),
            "max_tokens": dice.randrange(1, 60),
            "stream": dice.random() < 0.7,
            "ignore_eos": True,
        }
        host, port = re.findall(r"//(.+):(\d+)", babbling)[0]
        with socket.create_connection((host, int(port)), timeout=60) as raw:
            data = json.dumps(body).encode()
            head = f"POST /v1/completions HTTP/1.1\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {len(data)}\r\n\r\n"
            raw.sendall(head.encode() + data)
            if dice.random() < 0.3:  # goes away at some moment
                raw.settimeout(dice.random() * 0.3)
                try:
                    raw.recv(300)
                except TimeoutError:
                    pass
                return "gone"
            text = b""
            while piece := raw.recv(65536):
                text += piece
        assert text.startswith(b"HTTP/1.1 200"), text
        if body["stream"]:
            assert text.rstrip(b"\r\n0").endswith(b"data: [DONE]"), text[-200:]
        return "done"

    before = metrics(babbling)
    with ThreadPoolExecutor(12) as pool:
        ends = list(pool.map(ask, range(120)))
    assert ends.count("done") > 60
    assert ends.count("gone") > 20

    def settled() -> bool:
        now = metrics(babbling)
        idle = now["kb_model_running"] == now["kb_model_queued"] == now['kb_model_pages{state="used"}'] == 0
        return idle and all(now[name] <= before[name] for name in ("kb_model_threads", "kb_model_open_files"))

    until(settled)
    total = sum(value - before[name] for name, value in metrics(babbling).items() if "requests_total" in name)
    assert 0 <= 120 - total <= ends.count("gone"), "whoever left before being read never counted"
