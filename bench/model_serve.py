"""The local model's server, from outside: start to first token, prefix reuse, users together, a soak.

    python bench/model_serve.py                     4 layers of gpt-oss-20b's shapes, random weights
    python bench/model_serve.py --layers 12 --layout int8
    python bench/model_serve.py --only start prefix
    python bench/model_serve.py --layers 24 --only memory     12 GB of disk; the process with KB_MODEL_RAM=3GB

Everything is measured by a client over HTTP, the server being a process of its own. Token-id prompts, `ignore_eos`.
The tokenizer has as many entries as the real one, so that loading it counts.
"""

from __future__ import annotations

import argparse
import ctypes
import http.client
import itertools
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tokenizers

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.model_cache import make_store
from bench.model_machine import first_touch, forget, processor, recall
from kb.llm.local.store import Store

VOCABULARY = 199_998  # below it every id is ordinary text
SHARED = 1500
TEMPLATE = "{% for m in messages %}{{ '<|start|>' + m.role + '<|message|>' + m.content + '<|end|>' }}{% endfor %}{{ '<|start|>assistant' }}"
MARKS = ["<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>", "<|call|>"]

Gone = (http.client.HTTPException, OSError)


def tokenizer_json() -> str:
    """A byte-level BPE of the real one's size, its merges drawn by chance."""
    dice = random.Random(0)
    words = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {word: number for number, word in enumerate(words)}
    merges = []
    while len(words) < VOCABULARY:
        pair = dice.choice(words[:20_000]), dice.choice(words[:256])
        if (word := pair[0] + pair[1]) not in vocabulary:
            vocabulary[word] = len(words)
            words.append(word)
            merges.append(pair)
    inner = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=merges))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = tokenizers.decoders.ByteLevel()
    inner.add_special_tokens(MARKS)
    return str(inner.to_str())


class Client:
    """Calls of one server."""

    def __init__(self, port: int, pid: int) -> None:
        self.port, self.pid = port, pid

    def post(self, prompt: list[int], count: int, **more: Any) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=900)
        body = {"prompt": prompt, "max_tokens": count, "ignore_eos": True, "temperature": 0, **more}
        connection.request(
            "POST",
            "/v1/completions",
            json.dumps(body),
            {"Content-Type": "application/json", "Connection": "close"},
        )
        response = connection.getresponse()
        if response.status != 200:
            raise RuntimeError(response.read().decode())
        return response

    def whole(self, prompt: list[int], count: int, **more: Any) -> dict[str, Any]:
        with self.post(prompt, count, **more) as response:
            return dict(json.loads(response.read()))

    def moments(self, prompt: list[int], count: int) -> list[float]:
        """When each piece of a stream came (a token that shows no text comes with the next)."""
        return list(self.stream(prompt, count))[:-1]

    def stream(self, prompt: list[int], count: int) -> Iterator[float]:
        """The same while they come, and last the moment of the usage."""
        with self.post(prompt, count, stream=True, logprobs=0) as response:
            for line in response:
                if line.startswith(b"data: {"):
                    yield time.perf_counter()

    def metrics(self) -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=60) as response:
            lines = response.read().decode().splitlines()
        return {
            name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")
        }


@contextmanager
def server(path: Path, **environment: str) -> Iterator[tuple[Client, float, float]]:
    """A running server: its client, and seconds until it listened and until it was ready."""
    env = os.environ | {"KB_DATA": str(path.parent / "kb-bench-state"), "PYTHONUNBUFFERED": "1"} | environment
    argv = [sys.executable, "-m", "kb.cli", "model", "serve", str(path), "--port", "0"]
    began = time.perf_counter()
    process = subprocess.Popen(
        argv,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: ctypes.CDLL(None).prctl(1, signal.SIGKILL),  # dies with us
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.search(r":(\d+)/v1", line)
        assert found, line
        listening = time.perf_counter() - began
        line = process.stdout.readline()
        assert "ready" in line, line
        yield Client(int(found[1]), process.pid), listening, time.perf_counter() - began
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    finally:
        process.kill()
        process.wait()


def tokens(dice: random.Random, count: int) -> list[int]:
    return [dice.randrange(VOCABULARY) for _ in range(count)]


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def start(path: Path, runs: int) -> None:
    """Where a virtual machine's host has to find memory first, the first touch is most of a start: it is printed.

    user, system: until the first token. next 16: what the rest of the answer then takes, also memory put off.
    """
    head = ("listens", "ready", "first token", "GB read", "user s", "system s", "touch s/GB", "next 16, s")
    print(f"\n{'start, s':<28}" + "".join(f"{name:>12}" for name in head))
    for kind in ("file not in the page cache", "file in the page cache"):
        rows = []
        for number in range(runs):
            (forget if "not" in kind else recall)(path)
            touch, began = first_touch(), time.perf_counter()
            with server(path) as (client, listening, ready):
                answer = client.stream(tokens(random.Random(number), 8), 17)
                first = next(answer) - began
                read, used = client.metrics()["kb_model_store_bytes_read"] / 1e9, processor(client.pid)
                rest = list(answer)[-1] - began - first
                rows.append((listening, ready, first, read, *used, touch, rest))
        columns = list(zip(*rows, strict=True))
        print(f"{kind:<28}" + "".join(f"{statistics.median(row):>12.2f}" for row in columns))


def memory(path: Path, budget: str, count: int, fill: int) -> None:
    """The whole process, interpreter, tokenizer and key-value cache included, with KB_MODEL_RAM set.

    fill: tokens of a last prompt, to fill the key-value cache with.
    """
    with server(path, KB_MODEL_RAM=budget) as (client, _, ready):
        print(f"\nKB_MODEL_RAM={budget}: ready after {ready:.1f} s")
        print(f"{'prompt':>8}{'written':>9}{'s':>8}{'experts':>9}{'pages':>7}{'RSS, GB':>10}{'peak, GB':>10}")
        for prompt, words in [(8, 1), (64, count), (600, 2), *([(fill, 1)] if fill else [])]:
            began = time.perf_counter()
            client.whole(tokens(random.Random(prompt), prompt), words)
            took, metrics = time.perf_counter() - began, client.metrics()
            status = Path(f"/proc/{client.pid}/status").read_text()
            now, most = (int(re.search(rf"{name}:\s+(\d+)", status)[1]) * 1024 for name in ("VmRSS", "VmHWM"))
            slots = metrics["kb_model_store_slots"]
            pages = metrics['kb_model_pages{state="used"}'] + metrics['kb_model_pages{state="kept"}']
            print(f"{prompt:>8}{words:>9}{took:>8.1f}{slots:>9.0f}{pages:>7.0f}", end="")
            print(f"{now / 1e9:>10.2f}{most / 1e9:>10.2f}", flush=True)


def prefix(client: Client, pairs: int) -> None:
    dice = random.Random(5)
    shared = tokens(dice, SHARED)
    client.whole(shared + tokens(dice, 20), 1)
    cold, warm = [], []
    for _ in range(pairs):
        new = tokens(dice, SHARED + 20)
        cold.append(timed(lambda new=new: client.whole(new, 1)))
        again = shared + tokens(dice, 20)
        warm.append(timed(lambda again=again: client.whole(again, 1)))
    without, with_ = statistics.median(cold), statistics.median(warm)
    print(
        f"\nfirst token of a question after {SHARED} shared tokens and 20 of its own, {pairs} pairs, medians"
    )
    print(f"without reuse {without:8.3f} s   with reuse {with_:8.3f} s   {without / with_:6.1f} times sooner")


def together(client: Client, count: int) -> None:
    print(f"\n{'users':>6}{'tokens/s together':>20}{'of one':>9}{'outside forward':>17}")
    alone = 0.0
    for users in (1, 4, 8):
        dice = random.Random(users)
        before, began = client.metrics(), time.perf_counter()
        with ThreadPoolExecutor(users) as pool:
            found = list(pool.map(client.moments, [tokens(dice, 32) for _ in range(users)], [count] * users))
        wall, after = time.perf_counter() - began, client.metrics()
        first = max(moments[0] for moments in found)
        rate = sum(sum(1 for at in m if at > first) for m in found) / (min(m[-1] for m in found) - first)
        alone = alone or rate
        inside = after["kb_model_step_seconds_total"] - before["kb_model_step_seconds_total"]
        print(f"{users:>6}{rate:>20.1f}{rate / alone:>9.2f}{1 - inside / wall:>16.1%}")


def freeze(client: Client) -> None:
    dice = random.Random(9)
    found: list[float] = []
    writer = threading.Thread(target=lambda: found.extend(client.moments(tokens(dice, 32), 200)))
    writer.start()
    time.sleep(1)
    began = time.perf_counter()
    took = timed(lambda: client.whole(tokens(dice, SHARED), 1))
    writer.join()
    gaps = [(after, after - before) for before, after in itertools.pairwise(found)]
    during = [gap for at, gap in gaps if began <= at <= began + took] or [0.0]
    other = [gap for at, gap in gaps if not began <= at <= began + took] or [0.0]
    print(
        f"\nwhile a prompt of {SHARED} tokens is read ({took:.2f} s), a text being written gets {len(during)} tokens;"
    )
    print(
        f"longest pause {max(during):.3f} s, median {statistics.median(during):.3f} s; otherwise {statistics.median(other):.3f} s a token"
    )


def soak(client: Client, questions: int) -> None:
    """Random joins, cancels and disconnects."""
    shared = tokens(random.Random(1), 200)

    def ask(number: int) -> str:
        dice = random.Random(number)
        prompt = (shared if dice.random() < 0.5 else []) + tokens(dice, dice.randrange(1, 120))
        time.sleep(dice.random())
        try:
            with client.post(prompt, dice.randrange(1, 24), stream=dice.random() < 0.8) as response:
                if dice.random() < 0.3:
                    response.read(dice.randrange(1, 200))
                    return "left"
                text = response.read()
            return (
                "done"
                if b"[DONE]" in text or text.startswith(b"{")
                else "error"
                if b'"error"' in text
                else "cut"
            )
        except Gone:
            return "cut"

    client.whole(tokens(random.Random(2), 8), 1)
    before = client.metrics()
    began = time.perf_counter()
    with ThreadPoolExecutor(12) as pool:
        ends = list(pool.map(ask, range(questions)))
    time.sleep(3)
    after = client.metrics()
    print(
        f"\nsoak: {questions} questions in {time.perf_counter() - began:.0f} s: "
        + ", ".join(f"{ends.count(end)} {end}" for end in ("done", "left", "error", "cut"))
    )
    for name in ('pages{state="used"}', "running", "queued", "threads", "open_files", "connections"):
        print(f"  {name:<22}{before['kb_model_' + name]:>8.0f} before{after['kb_model_' + name]:>8.0f} after")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--layout", choices=["mxfp4", "int8"], default="mxfp4")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=48, help="written by each user")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument(
        "--only", nargs="*", choices=["start", "prefix", "together", "freeze", "soak", "memory"]
    )
    parser.add_argument("--ram", default="3GB", help="KB_MODEL_RAM of `memory`")
    parser.add_argument("--fill", type=int, default=0, help="tokens of a last prompt of `memory`")
    parser.add_argument("--folder", default=tempfile.gettempdir())
    parser.add_argument("--keep", action="store_true", help="leave the store for another run")
    options = parser.parse_args()
    wanted = options.only or ["start", "prefix", "together", "freeze", "soak"]
    path = (
        Path(options.folder) / f"kb-bench-{options.layers}-{options.layout}.kbm"
    )  # as model_cache.py has it
    try:
        if not path.exists():
            new = path.with_suffix(".new")
            new.unlink(missing_ok=True)
            make_store(new, options.layers, options.layout)
            new.rename(path)
        with Store(path, writable=True) as store:
            store.set_meta({"tokenizer.json": tokenizer_json(), "chat_template.jinja": TEMPLATE})
        measure(path, wanted, options)
    finally:
        path.with_name(path.name + ".usage.json").unlink(missing_ok=True)
        if not options.keep:
            path.unlink(missing_ok=True)


def measure(path: Path, wanted: list[str], options: argparse.Namespace) -> None:
    if "start" in wanted:
        start(path, options.starts)
    if "memory" in wanted:
        memory(path, options.ram, 8, options.fill)
    if set(wanted) - {"start", "memory"}:
        with server(path) as (client, _, _):
            if "prefix" in wanted:
                prefix(client, options.pairs)
            if "together" in wanted:
                together(client, options.tokens)
            if "freeze" in wanted:
                freeze(client)
            if "soak" in wanted:
                soak(client, options.questions)


if __name__ == "__main__":
    main()
