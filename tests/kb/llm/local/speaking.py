"""Tiny models that can be talked to: a byte-level tokenizer with harmony's control tokens, a chat template, and

- `packed`: a packed random model (its greedy text is noise, but the same noise each time);
- `packed_answering`: one whose weights make it answer every chat with `ANSWER` in the final channel;
- `PagedEngine`: an engine that keeps tokens where a model keeps keys and values, so that a page mixed up shows.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tokenizers
from numpy.typing import NDArray

from kb.llm.local.pack import pack
from kb.llm.local.source import Checkpoint
from kb.llm.local.types import PAGE, Batch

from . import folders

MARKS = ["<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>", "<|call|>", "<|endoftext|>"]
WORDS = ["assistant", "analysis", "final"]
ANSWER = "Paris."
VOCABULARY = 288

TEMPLATE = """
{{- "<|start|>system<|message|>Reasoning: " + reasoning_effort|default("medium") + "<|end|>" -}}
{%- for message in messages -%}
    {%- if message.role in ("system", "developer") -%}
        {{- "<|start|>developer<|message|>" + message.content + "<|end|>" -}}
    {%- elif message.role == "assistant" -%}
        {{- "<|start|>assistant<|channel|>final<|message|>" + message.content + "<|end|>" -}}
    {%- elif message.role == "user" -%}
        {{- "<|start|>user<|message|>" + message.content + "<|end|>" -}}
    {%- else -%}
        {{- raise_exception("no tools here") -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- "<|start|>assistant" -}}{%- endif -%}
"""
PLAIN_TEMPLATE = """
{%- for message in messages -%}{{- message.role + ": " + message.content + "\n" -}}{%- endfor -%}
{%- if add_generation_prompt -%}{{- "assistant: " -}}{%- endif -%}
"""


def tokenizer_json(*, harmony: bool = True) -> str:
    """256 bytes, three words, and the control tokens (only the last of them without harmony)."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    inner = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocab={char: number for number, char in enumerate(alphabet)}, merges=[])
    )
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = tokenizers.decoders.ByteLevel()
    inner.add_tokens(WORDS)
    inner.add_special_tokens(MARKS if harmony else MARKS[-1:])
    return str(inner.to_str())


def texts(*, harmony: bool = True) -> dict[str, str]:
    """What a packed model holds beside its weights."""
    return {
        "config.json": json.dumps({**folders.CONFIG, "vocab_size": VOCABULARY}),
        "tokenizer.json": tokenizer_json(harmony=harmony),
        "chat_template.jinja": TEMPLATE if harmony else PLAIN_TEMPLATE,
        "generation_config.json": json.dumps({"eos_token_id": [ids(harmony=harmony)["<|endoftext|>"]]}),
    }


def ids(*, harmony: bool = True) -> dict[str, int]:
    """Ids of the words and control tokens."""
    inner = tokenizers.Tokenizer.from_str(tokenizer_json(harmony=harmony))
    return {token.content: id for id, token in inner.get_added_tokens_decoder().items()}


def folder(path: Path, *, harmony: bool = True, answering: bool = False) -> Path:
    """A model folder; answering: weights that speak."""
    folders.write(path, vocab_size=VOCABULARY)
    for name, text in texts(harmony=harmony).items():
        if name != "config.json":
            (path / name).write_text(text)
    if answering:
        teach(path, _chain(), VOCABULARY)
    return path


def packed(path: Path, **kind: bool) -> Path:
    """A packed model `path` (…/name.kbm) made from a folder beside it."""
    return pack(folder(path.with_suffix(".src"), **kind), path)


def teach(path: Path, chain: list[int], vocabulary: int) -> None:
    """Rewrite the head so that each token of the chain asks for the next.

    Embeddings become so large that layers hardly move them.
    """
    source = Checkpoint(path)
    tensors = {name: source.read(name) for name in source.tensors}
    random = np.random.default_rng(1)
    embedding = np.where(random.random((vocabulary, 64)) < 0.5, -64.0, 64.0).astype(np.float32)
    head = np.zeros_like(embedding)
    for before, after in itertools.pairwise(chain):
        head[after] += embedding[before]
    tensors["model.embed_tokens.weight"] = _bf16(embedding)
    tensors["lm_head.weight"] = _bf16(head)
    tensors["model.norm.weight"] = _bf16(np.ones(64, np.float32))
    for file in path.glob("*.safetensors"):
        file.unlink()
    (path / "model.safetensors.index.json").unlink()
    folders.save(path / "model.safetensors", tensors)


def _chain() -> list[int]:
    marks = ids()
    inner = tokenizers.Tokenizer.from_str(tokenizer_json())
    return [
        *(marks[name] for name in ("assistant", "<|channel|>", "final", "<|message|>")),
        *inner.encode(ANSWER).ids,
        marks["<|return|>"],
    ]


def _bf16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    return (values.view(np.uint32) >> 16).astype(np.uint16)


Rule = Callable[[list[int]], int]


def hashed(tokens: list[int]) -> int:
    """A letter that depends on every token so far."""
    return 65 + hashlib.sha256(np.array(tokens, np.int32).tobytes()).digest()[0] % 20


class PagedEngine:
    """`types.Engine` whose next token is `rule(all tokens so far)`, read back from its pages."""

    def __init__(self, rule: Rule = hashed, *, pages: int = 64, max_position: int = 4096) -> None:
        self.vocab_size, self.max_position, self.pages = VOCABULARY, max_position, pages
        self.rule = rule
        self.cells = np.full((pages, PAGE), -1, np.int64)
        self.batches: list[list[int]] = []  # lengths of the segments of every step
        self.delay = 0.0
        self.fail: Exception | None = None  # raised by the next step
        self.go = threading.Event()
        self.go.set()

    def forward(self, batch: Batch) -> NDArray[np.float32]:
        self.go.wait(20)
        if self.delay:
            time.sleep(self.delay)
        if self.fail is not None:
            error, self.fail = self.fail, None
            raise error
        self.batches.append([segment.length for segment in batch.segments])
        rows: dict[int, list[int]] = {}
        start = 0
        for segment in batch.segments:
            for place in range(segment.length):
                at = segment.position + place
                self.cells[segment.pages[at // PAGE], at % PAGE] = batch.tokens[start + place]
            start += segment.length
            end = segment.position + segment.length
            rows[start - 1] = self.cells[segment.pages].ravel()[:end].tolist()
        logits = np.zeros((len(batch.logits_at), self.vocab_size), np.float32)
        for number, row in enumerate(batch.logits_at):
            logits[number, self.rule(rows[int(row)])] = 20.0
        return logits


def letters(tokens: list[int], count: int) -> list[int]:
    """What `PagedEngine(hashed)` goes on to say after these tokens."""
    tokens = list(tokens)
    for _ in range(count):
        tokens.append(hashed(tokens))
    return tokens[-count:]
