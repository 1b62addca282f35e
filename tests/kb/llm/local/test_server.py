"""The HTTP side in this process, over an engine whose answers are known: shapes, refusals, clients that go."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from kb.llm.local.errors import CorruptShard
from kb.llm.local.limits import Limits
from kb.llm.local.prefix import PagePool
from kb.llm.local.scheduler import Scheduler
from kb.llm.local.server import Server
from kb.llm.local.service import Service
from kb.llm.local.state import State
from kb.llm.local.tokenizer import Tokenizer
from tests.waiting import until

from . import speaking

TOKENIZER = Tokenizer(speaking.tokenizer_json())
SPEECH = TOKENIZER.encode_template(
    "<|channel|>analysis<|message|>Hm, €.<|end|><|start|>assistant<|channel|>final<|message|>Paris, of course.<|return|>"
)
LIMITS = Limits(context=1500)
HELLO = [{"role": "user", "content": "Capital of France?"}]


def speech(tokens: list[int]) -> int:
    """The next token of `SPEECH`, which begins after the prompt's last `<|start|>assistant`."""
    start = [TOKENIZER.special["<|start|>"], speaking.ids()["assistant"]]
    places = [at for at in range(len(tokens) - 1) if tokens[at : at + 2] == start]
    said = tokens[places[0] + 2 :] if places else []
    return SPEECH[len(said)] if len(said) < len(SPEECH) else SPEECH[-1]


@dataclass
class Front:
    server: Server
    engine: speaking.PagedEngine
    scheduler: Scheduler

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.server.server_address[1], timeout=20)

    def call(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        connection = self.connect()
        raw = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        connection.request(method, path, raw, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        text = response.read()
        connection.close()
        kind = response.headers.get_content_type()
        found = json.loads(text) if kind == "application/json" else text.decode()
        return response.status, found, dict(response.headers)

    def chat(self, **fields: Any) -> tuple[int, Any, dict[str, str]]:
        return self.call("POST", "/v1/chat/completions", {"messages": HELLO, **fields})

    def stream(self, path: str = "/v1/chat/completions", **fields: Any) -> list[Any]:
        """The objects of a stream; the last is `[DONE]` or an error."""
        status, text, _ = self.call("POST", path, {"stream": True, **fields})
        assert status == 200, text
        lines = [line for line in text.split("\n\n") if line and not line.startswith(":")]
        return [line[6:] if line.endswith("[DONE]") else json.loads(line[6:]) for line in lines]


Make = Callable[..., Front]


@pytest.fixture
def make() -> Iterator[Make]:
    """Servers that must have all pages, threads and connections back at the end."""
    made: list[Front] = []
    threads = threading.active_count()

    def build(
        rule: speaking.Rule = speech,
        *,
        limits: Limits = LIMITS,
        pages: int = 64,
        connections: int = 64,
    ) -> Front:
        engine = speaking.PagedEngine(rule, pages=pages)
        scheduler = Scheduler(engine, limits, PagePool(pages))
        service = Service("tiny", speaking.texts(), scheduler, speaking.VOCABULARY)
        server = Server("127.0.0.1", 0, State(service), connections)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        made.append(Front(server, engine, scheduler))
        return made[-1]

    yield build
    for front in made:
        until(lambda front=front: front.scheduler.running == 0)
        front.scheduler.close()
        assert front.scheduler.pool.used == 0
        front.server.shutdown()
        until(lambda front=front: front.server.connections == 0)
        front.server.server_close()
    until(lambda: threading.active_count() <= threads)


def test_chat_tells_answer_and_reasoning_apart(make: Make) -> None:
    status, found, _ = make().chat(model="tiny", temperature=0)
    assert status == 200
    choice = found["choices"][0]
    assert choice["message"]["content"] == "Paris, of course."
    assert choice["message"]["reasoning_content"] == choice["message"]["reasoning"] == "Hm, €."
    assert choice["finish_reason"] == "stop"
    usage = found["usage"]
    assert usage["completion_tokens"] == len(SPEECH)
    assert usage["total_tokens"] == usage["prompt_tokens"] + len(SPEECH)
    assert 0 < usage["completion_tokens_details"]["reasoning_tokens"] < len(SPEECH)


def test_streaming_says_the_same_piece_by_piece(make: Make) -> None:
    *chunks, done = make().stream(messages=HELLO, temperature=0, stream_options={"include_usage": True})
    assert done == "[DONE]"
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert "".join(delta.get("content", "") for delta in deltas) == "Paris, of course."
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "Hm, €."
    assert [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]][-1] == "stop"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == len(SPEECH)
    assert all("usage" not in chunk for chunk in chunks[:-1])


def test_a_proxy_that_speaks_http_1_0_gets_a_plain_stream(make: Make) -> None:
    front = make()
    body = json.dumps({"messages": HELLO, "stream": True, "temperature": 0}).encode()
    with socket.create_connection(front.server.server_address[:2], timeout=20) as raw:
        head = b"POST /v1/chat/completions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        raw.sendall(head % len(body) + body)
        text = b""
        while piece := raw.recv(65536):
            text += piece
    _, _, stream = text.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in text
    assert stream.startswith(b"data: {")
    assert stream.endswith(b"data: [DONE]\n\n")


def test_a_stop_string_and_a_limit_end_the_answer(make: Make) -> None:
    front = make()
    found = front.chat(temperature=0, stop=["course", "xyz"])[1]["choices"][0]
    assert (found["message"]["content"], found["finish_reason"]) == ("Paris, of ", "stop")
    *chunks, _ = front.stream(messages=HELLO, temperature=0, stop="course")
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == "Paris, of "
    found = front.chat(temperature=0, max_completion_tokens=5)[1]["choices"][0]
    assert (found["message"]["content"], found["finish_reason"]) == ("", "length")


def test_ignore_eos_goes_on_to_the_limit(make: Make) -> None:
    found = make().chat(temperature=0, ignore_eos=True, max_tokens=len(SPEECH) + 5)[1]
    assert found["choices"][0]["finish_reason"] == "length"
    assert found["usage"]["completion_tokens"] == len(SPEECH) + 5


def test_log_probabilities_cover_the_content(make: Make) -> None:
    found = make().chat(temperature=0, logprobs=True, top_logprobs=2)[1]["choices"][0]
    tokens = found["logprobs"]["content"]
    assert bytes(b for token in tokens for b in token["bytes"]).decode() == "Paris, of course."
    assert all(-0.01 < token["logprob"] <= 0 and len(token["top_logprobs"]) == 2 for token in tokens)
    assert tokens[0]["top_logprobs"][0]["token"] == "P"


def test_completions_take_texts_token_ids_and_lists(make: Make) -> None:
    front = make(speaking.hashed)
    ids = TOKENIZER.encode("abc")
    other = TOKENIZER.encode("xyz!")
    said = [TOKENIZER.decode(speaking.letters(tokens, 4)) for tokens in (ids, other)]
    for prompt, expected in (
        ("abc", said[:1]),
        (ids, said[:1]),
        (["abc", "xyz!"], said),
        ([ids, other], said),
    ):
        status, found, _ = front.call(
            "POST", "/v1/completions", {"prompt": prompt, "max_tokens": 4, "temperature": 0}
        )
        assert status == 200, found
        assert [choice["text"] for choice in found["choices"]] == expected
        assert [choice["index"] for choice in found["choices"]] == list(range(len(expected)))
    *chunks, done = front.stream(
        "/v1/completions", prompt=["abc", "xyz!"], max_tokens=4, temperature=0, logprobs=1
    )
    assert done == "[DONE]"
    for index in (0, 1):
        parts = [c["choices"][0] for c in chunks if c["choices"] and c["choices"][0]["index"] == index]
        assert "".join(part["text"] for part in parts) == said[index]
        assert [
            offset for part in parts if part["logprobs"] for offset in part["logprobs"]["text_offset"]
        ] == [0, 1, 2, 3]


def test_a_prompt_that_several_texts_share_is_counted_once(make: Make) -> None:
    front = make(speaking.hashed)
    body = {"prompt": ["abc", "xyz!"], "max_tokens": 2, "n": 3}
    found = front.call("POST", "/v1/completions", body)[1]["usage"]
    assert (found["prompt_tokens"], found["completion_tokens"]) == (3 + 4, 12)


def test_nulls_are_what_was_not_asked_for(make: Make) -> None:
    nulls = dict.fromkeys(("n", "stream", "logprobs", "top_logprobs", "stop", "max_tokens", "tools"))
    assert make().chat(temperature=0, **nulls)[1]["choices"][0]["message"]["content"] == "Paris, of course."


def test_a_prompt_that_cannot_fit_is_refused_before_anything_is_made_of_it(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = make()
    monkeypatch.setattr("kb.llm.local.completions.Sequence", None)
    status, found, _ = front.call("POST", "/v1/completions", {"prompt": [1] * 1500, "n": 8})
    assert (status, found["error"]["code"]) == (400, "context_length_exceeded")


def test_the_same_seed_draws_the_same_and_each_of_n_its_own(make: Make) -> None:
    front = make(speaking.hashed)
    body = {"prompt": "abc", "max_tokens": 12, "temperature": 5, "seed": 11, "n": 3}
    first, second = (
        [choice["text"] for choice in front.call("POST", "/v1/completions", body)[1]["choices"]]
        for _ in range(2)
    )
    assert first == second
    assert len(set(first)) == 3


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/v1/chat/completions", b"{", 400, "Invalid JSON"),
        ("/v1/chat/completions", {}, 400, "messages"),
        ("/v1/chat/completions", {"messages": []}, 400, "messages"),
        ("/v1/chat/completions", {"messages": [{"role": "king", "content": "x"}]}, 400, "messages.0.role"),
        ("/v1/chat/completions", {"messages": HELLO, "temperature": -1}, 400, "temperature"),
        ("/v1/chat/completions", {"messages": HELLO, "n": 99}, 400, "n:"),
        ("/v1/chat/completions", {"messages": HELLO, "tools": [{}]}, 400, "tools"),
        ("/v1/chat/completions", {"messages": HELLO, "response_format": {"type": "json_object"}}, 400, "text"),
        ("/v1/chat/completions", {"messages": HELLO, "stop": [""]}, 400, "stop"),
        ("/v1/chat/completions", {"messages": HELLO, "model": "gpt-9"}, 404, "'tiny' is"),
        ("/v1/chat/completions", {"messages": [{"role": "tool", "content": "x"}]}, 400, "no tools here"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x" * 1500}]}, 400, "KB_MODEL_CONTEXT"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x" * 200_000}]}, 400, "characters"),
        ("/v1/chat/completions", {"messages": HELLO, "logit_bias": {"-1": 3}}, 400, "logit_bias"),
        ("/v1/chat/completions", b'{"messages": [{"role": "user", "content": "x"}], "top_p": NaN}', 400, "top_p"),
        ("/v1/chat/completions", b'{"messages": [{"role": "user", "content": "\\ud800"}]}', 400, "hex escape"),
        ("/v1/chat/completions", {"messages": HELLO, "logit_bias": {"1" + "0" * 400: 1}}, 400, "logit_bias"),
        ("/v1/chat/completions", b'{"messages": [{"role": "user", "content": "x"}], "logit_bias": {"66": NaN}}', 400, "logit_bias"),
        ("/v1/chat/completions", {"messages": HELLO, "functions": [{"name": "f"}]}, 400, "tools"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "'text'"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": ""}] * 2000}, 400, "2000 messages"),
        ("/v1/completions", {"prompt": "x", "repetition_penalty": 1e-300}, 400, "repetition_penalty"),
        ("/v1/completions", {"prompt": [True, 1.5]}, 400, "prompt"),
        ("/v1/completions", {"prompt": ""}, 400, "empty"),
        ("/v1/completions", {"prompt": []}, 400, "prompt"),
        ("/v1/completions", {"prompt": [1, -1]}, 400, "prompt"),
        ("/v1/completions", {"prompt": [1, 999999]}, 400, "outside the vocabulary"),
        ("/v1/completions", {"prompt": "x", "echo": True}, 400, "echo"),
        ("/v1/nothing", {}, 404, "/v1/nothing"),
    ],
)  # fmt: skip
def test_bad_requests_are_told_what_is_wrong(
    make: Make, path: str, body: Any, status: int, words: str
) -> None:
    front = make()
    found, answer, _ = front.call("POST", path, body)
    assert found == status, answer
    assert words in answer["error"]["message"]
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert front.chat(temperature=0)[0] == 200


def test_bodies_have_a_limit_and_a_kind(make: Make) -> None:
    front = make()
    assert front.call("POST", "/v1/completions", b"{}", **{"Content-Type": "text/plain"})[0] == 415
    with socket.create_connection(front.server.server_address[:2], timeout=10) as raw:
        raw.sendall(b"POST /v1/completions HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n")
        assert raw.recv(1000).startswith(b"HTTP/1.1 413")
    with socket.create_connection(front.server.server_address[:2], timeout=10) as raw:
        raw.sendall(b"POST /v1/completions HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n")
        assert raw.recv(1000).startswith(b"HTTP/1.1 413")
    with socket.create_connection(front.server.server_address[:2], timeout=10) as raw:
        both = b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n"
        raw.sendall(b"POST /v1/completions HTTP/1.1\r\n" + both + b"\r\n0\r\n\r\n")
        assert raw.recv(1000).startswith(b"HTTP/1.1 400")
    with socket.create_connection(front.server.server_address[:2], timeout=10) as raw:
        raw.sendall(b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n")
        assert raw.recv(1000).startswith(b"HTTP/1.1 414")


def test_a_full_queue_is_503_with_a_time_to_come_back(make: Make) -> None:
    front = make(limits=Limits(context=1500, running=1, queue=1))
    front.engine.go.clear()
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(front.chat(temperature=0)[0])) for _ in range(2)
    ]
    threads[0].start()
    until(lambda: front.scheduler.running == 1)
    threads[1].start()
    until(lambda: front.scheduler.waiting == 1)
    status, found, headers = front.chat(temperature=0, stream=True)
    assert status == 503
    assert int(headers["Retry-After"]) > 0
    assert found["error"]["type"] == "overloaded_error"
    front.engine.go.set()
    for thread in threads:
        thread.join()
    assert answers == [200, 200]


def test_who_waits_sees_the_place_in_the_queue(make: Make) -> None:
    front = make(limits=Limits(context=1500, running=1))
    front.engine.go.clear()
    first = threading.Thread(target=lambda: front.chat(temperature=0))
    first.start()
    until(lambda: front.scheduler.running == 1)
    connection = front.connect()
    body = json.dumps({"messages": HELLO, "stream": True, "temperature": 0})
    connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    while not (line := response.readline()).startswith(b": place"):
        assert line
    assert line == b": place 1 in the queue\n"
    front.engine.go.set()
    assert response.read().endswith(b"data: [DONE]\n\n")
    connection.close()
    first.join()


def test_a_failing_model_is_an_error_before_and_within_a_stream(make: Make) -> None:
    front = make()
    front.engine.fail = CorruptShard("layer 3 is damaged")
    status, found, _ = front.chat(stream=True)
    assert status == 500
    assert "layer 3" in found["error"]["message"]
    front.engine.delay = 0.02

    def fail_later() -> None:
        until(lambda: len(front.engine.batches) > 10)
        front.engine.fail = CorruptShard("layer 4 is damaged")

    threading.Thread(target=fail_later).start()
    *chunks, last = front.stream(messages=HELLO, temperature=0)
    assert len(chunks) > 5
    assert "layer 4" in last["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("when", ["reading", "writing", "queued"])
def test_a_client_that_goes_costs_nothing_more(make: Make, stream: bool, when: str) -> None:
    front = make(speaking.hashed, limits=Limits(context=1500, running=1))
    front.engine.delay = 0.02
    if when == "queued":
        front.engine.go.clear()
        blocker = threading.Thread(target=lambda: front.chat(max_tokens=5))
        blocker.start()
        until(lambda: front.scheduler.running == 1)
    size = 1000 if when == "reading" else 10
    body = json.dumps({"prompt": "x" * size, "max_tokens": 400, "stream": stream}).encode()
    head = b"POST /v1/completions HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    raw = socket.create_connection(front.server.server_address[:2])
    raw.sendall(head % len(body) + body)
    if when == "queued":
        until(lambda: front.scheduler.waiting == 1)
    elif when == "writing":
        until(lambda: front.scheduler.counters.generated_tokens > 3)
    else:
        until(lambda: front.scheduler.running == 1)
    raw.close()
    if when == "queued":
        time.sleep(0.5)
        front.engine.go.set()
        blocker.join()
    until(lambda: front.scheduler.counters.finished["cancelled"] == 1)
    assert front.scheduler.counters.generated_tokens < 200


def test_while_the_model_loads_the_server_says_so(make: Make) -> None:
    front = make()
    state = front.server.state
    service, state.service = state.service, None
    assert front.call("GET", "/livez")[:2] == (200, {"status": "loading"})
    for method, path in (("GET", "/v1/models"), ("POST", "/v1/chat/completions")):
        status, found, headers = front.call(method, path, {"messages": HELLO})
        assert (status, found["error"]["code"]) == (503, "model-loading")
        assert headers["Retry-After"]
    assert "kb_model_ready 0" in front.call("GET", "/metrics")[1]
    state.service = service
    assert front.call("GET", "/livez")[1] == {"status": "ready"}
    assert front.call("GET", "/v1/models")[1]["data"][0]["id"] == "tiny"


def test_metrics_count_what_happened(make: Make) -> None:
    front = make()
    for _ in range(2):
        front.chat(temperature=0, messages=[{"role": "system", "content": "y" * 100}, *HELLO])
    text = front.call("GET", "/metrics")[1]
    found = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert found['kb_model_requests_total{outcome="stop"}'] == "2"
    assert found["kb_model_generated_tokens_total"] == str(2 * len(SPEECH))
    assert int(found["kb_model_prompt_tokens_reused_total"]) >= 128
    assert found['kb_model_pages{state="used"}'] == "0"
    assert int(found['kb_model_pages{state="kept"}']) > 0


def test_a_refused_request_leaves_the_connection_usable(make: Make) -> None:
    connection = make().connect()
    for path, status in (("/v1/nothing", 404), ("/v1/completions", 400), ("/v1/chat/completions", 200)):
        connection.request(
            "POST", path, json.dumps({"messages": HELLO}), {"Content-Type": "application/json"}
        )
        response = connection.getresponse()
        response.read()
        assert response.status == status
    connection.close()


def test_connections_are_kept_and_limited(make: Make) -> None:
    front = make(connections=2)
    held = [front.connect() for _ in range(2)]
    for _ in range(2):
        for connection in held:
            connection.request("GET", "/livez")
            assert connection.getresponse().read()
    assert front.server.connections == 2
    third = front.connect()
    third.request("GET", "/livez")
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        third.getresponse()
    third.close()
    for connection in held:
        connection.close()
    until(lambda: front.server.connections == 0)
    assert front.call("GET", "/livez")[0] == 200
