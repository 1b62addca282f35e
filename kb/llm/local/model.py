"""gpt-oss on this machine's cores: batches of tokens in, next-token logits out.

A layer is two programs of kernels: up to the choice of experts, and the experts. Only between them does Python
run, to fetch the experts chosen. See `kernels/` for the arithmetic and `kernels/run.py` for how threads share it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kb.llm.local import moe, steps
from kb.llm.local.config import BLOCK, ModelConfig
from kb.llm.local.errors import BadModel
from kb.llm.local.kernels.build import Kernels, kernels
from kb.llm.local.kernels.pool import Ints, Pool, Program
from kb.llm.local.kv import KVCache
from kb.llm.local.quant_dense import EMBEDDING, HEAD
from kb.llm.local.rope import Rope
from kb.llm.local.types import PAGE, Batch, Packed, Weights
from kb.llm.local.workspace import Workspace

Outputs = Sequence[tuple[Packed, NDArray[np.float32]]]  # matrices and where their products go


@dataclass
class ExpertHint:
    """How often the next layer's router, asked one layer early, named an expert that was then chosen."""

    right: int = 0
    total: int = 0

    @property
    def rate(self) -> float:
        return self.right / self.total if self.total else 0.0


class Model:
    """`Engine` over any `Weights`. One forward at a time; results do not depend on a batch's other tokens.

    pages: of 32 tokens each in the key-value cache. exact: float32 activations and cache instead of int8 and
    float16. hints: ask for the next layer's likely experts early (worth it where weights come from a disk).
    path: of `kernels.compile.paths`; None: the fastest. experts_at_once: how many a layer needs pinned together.
    compiled: the kernels of this shape and cache, where they are there already.
    """

    def __init__(
        self,
        config: ModelConfig,
        weights: Weights,
        *,
        pages: int,
        threads: int,
        exact: bool = False,
        hints: bool = True,
        path: str | None = None,
        experts_at_once: int = 8,
        compiled: Kernels | None = None,
    ) -> None:
        self.config = config
        self.vocab_size = config.vocab_size
        self.max_position = config.max_position
        self.pages = pages
        self.exact = exact
        self.expert_hint = ExpertHint()
        self._weights = weights
        self._hints = hints
        self._together = max(experts_at_once, config.experts_per_token)
        self.kv = KVCache(config, pages, "f32" if exact else "f16", huge=not hints)  # paged: memory is short
        self._kernels = compiled or kernels(config, path, self.kv.dtype)
        self.path = self._kernels.path
        self._rope = Rope(config)
        self._lock = threading.Lock()
        self._guess: list[int] = []
        self._tables: list[NDArray[np.int32]] = []
        self._pool = Pool(self._kernels, threads)
        self._reserve(64, 8)

    def close(self) -> None:
        """End the threads."""
        self._pool.close()

    def forward(self, batch: Batch) -> NDArray[np.float32]:
        """See `Engine`. The logits are the model's own array: valid until the next forward."""
        with self._lock:
            tokens, outputs = len(batch.tokens), len(batch.logits_at)
            self._check(batch)
            if tokens > self._work.tokens or outputs > self._work.outputs:
                self._reserve(
                    max(_round(tokens), self._work.tokens), max(_round(outputs), self._work.outputs)
                )
            self._load(batch)
            self._pool.run(self._first)
            for layer in range(self.config.num_layers - 1):
                self._experts(layer, tokens)
            # keys and values are all written: from here on only tokens whose logits are wanted count
            if outputs:
                if outputs < tokens:
                    self._keep(batch.logits_at)
                self._experts(self.config.num_layers - 1, min(outputs, tokens))
            return self._work.logits[:outputs, : self.vocab_size]

    def _experts(self, layer: int, tokens: int) -> None:
        """The experts of a layer and, in the same program, the next layer up to its choice (at the end, the logits)."""
        work, config = self._work, self.config
        following = self._layers[layer]
        parts = list(moe.shares(work.chosen[:tokens], work, self._together))
        if self._hints:
            self._count(layer, parts)
            if layer + 1 < config.num_layers:
                self._hint(layer + 1, tokens)
        for number, share in enumerate(parts):
            last = number + 1 == len(parts)
            if not last and self._hints:
                self._weights.hint(layer, parts[number + 1].experts)
            with self._weights.experts(layer, share.experts) as experts:
                up, down = self._moe.prepare(share, experts, tokens)
                program = following if last else self._partial
                program.set_function(moe.GATE_UP, up)
                program.set_function(moe.DOWN, down)
                self._pool.run(program)

    def _keep(self, rows: NDArray[np.int32]) -> None:
        """Drop all tokens but these rows from what the last layer's experts work on."""
        work, count = self._work, len(rows)
        for array in (work.hidden, work.normed, work.normed_q8, work.chosen, work.shares):
            array[:count] = array[rows]
        work.output_rows[:count] = np.arange(count)

    def _hint(self, layer: int, tokens: int) -> None:
        counts = np.bincount(self._work.guess_chosen[:tokens].ravel(), minlength=self.config.num_experts)
        order = np.argsort(-counts, kind="stable")
        self._guess = order[: np.count_nonzero(counts)].tolist()
        self._weights.hint(layer, self._guess)

    def _count(self, layer: int, parts: list[moe.Share]) -> None:
        if layer and self._guess:
            used = {expert for share in parts for expert in share.experts}
            self.expert_hint.right += len(used.intersection(self._guess))
            self.expert_hint.total += len(used)

    def _check(self, batch: Batch) -> None:
        if not len(batch.tokens):
            raise ValueError("an empty batch")
        if sum(segment.length for segment in batch.segments) != len(batch.tokens):
            raise ValueError("the segments' lengths do not add up to the tokens")
        if batch.tokens.min() < 0 or batch.tokens.max() >= self.vocab_size:
            raise ValueError("a token outside the vocabulary")
        if len(batch.logits_at) and not 0 <= batch.logits_at.min() <= batch.logits_at.max() < len(
            batch.tokens
        ):
            raise ValueError("logits of a token that is not in the batch")
        for segment in batch.segments:
            end = segment.position + segment.length
            needed = -(-end // PAGE)
            if end > self.max_position:
                raise ValueError(f"position {end} is past the model's {self.max_position}")
            if len(segment.pages) < needed:
                raise ValueError(f"{end} tokens need {needed} pages, the table has {len(segment.pages)}")
            table = segment.pages[:needed]
            if table.min() < 0 or table.max() >= self.pages:
                raise ValueError("a page outside the cache")

    def _load(self, batch: Batch) -> None:
        """Write the batch into the workspace and its sizes into the steps' arguments."""
        work = self._work
        tokens, outputs = len(batch.tokens), len(batch.logits_at)
        packed, work.ids[:tokens] = self._weights.rows(EMBEDDING, batch.tokens)
        self._embed[2:4] = self._parts_of(packed)
        start = 0
        self._tables = []  # alive while their addresses are in use
        for segment in batch.segments:
            table = np.ascontiguousarray(segment.pages, dtype=np.int32)
            self._tables.append(table)
            part = slice(start, start + segment.length)
            work.positions[part] = np.arange(segment.position, segment.position + segment.length)
            work.tables[part] = steps.address(table)
            start += segment.length
        self._rope.fill(work.positions[:tokens], work.cos[:tokens], work.sin[:tokens])
        work.output_rows[:outputs] = batch.logits_at
        self._guess = []
        for arguments in self._per_token:
            arguments[0] = tokens
        for entries in self._token_tables:
            entries[:, steps.TOKENS] = tokens
        for arguments in self._per_output:
            arguments[0] = outputs
        for entries in self._output_tables:
            entries[:, steps.TOKENS] = outputs

    def _reserve(self, tokens: int, outputs: int) -> None:
        """Room for batches of this size, and every program over it. After a MemoryError all is as it was before."""
        before = dict(self.__dict__)
        try:
            self._lay_out(Workspace(self.config, tokens, outputs))
        except MemoryError:
            self.__dict__.update(before)  # programs and the arrays they point into belong together
            raise

    def _lay_out(self, work: Workspace) -> None:
        self._work = work
        self._moe = moe.ExpertSteps(self.config, self._kernels, self._work, self._together, exact=self.exact)
        self._per_token: list[Ints] = []
        self._token_tables: list[Ints] = []
        self._per_output: list[Ints] = []
        self._output_tables: list[Ints] = []
        experts = self._moe.steps()
        layers = range(self.config.num_layers)
        attention = [self._attention_steps(layer) for layer in layers]
        self._first = Program([self._embedding_step(), *attention[0]])
        self._layers = [Program([*experts, *attention[layer + 1]]) for layer in layers[:-1]]
        self._layers.append(Program([*experts, *self._output_steps()]))
        self._partial = Program(experts[: moe.COMBINE])

    def _embedding_step(self) -> steps.Step:
        work = self._work
        packed, _ = self._weights.rows(EMBEDDING, work.ids[:0])
        if packed.layout == "mxfp4":
            raise BadModel("embeddings cannot be packed as mxfp4; pack them as int8 or bf16")
        blocks = self.config.hidden_size // BLOCK
        self._embed = steps.arguments(0, work.ids, *self._parts_of(packed), blocks, work.hidden)
        self._per_token.append(self._embed)
        return self._kernels[f"embed_{packed.layout}"], self._embed

    def _parts_of(self, packed: Packed) -> tuple[int, int]:
        """Addresses of a matrix's weights and scales."""
        data = steps.address(packed.data)
        return data, data + steps.offsets(packed.layout, packed.rows, packed.cols)[0]

    def _attention_steps(self, layer: int) -> list[steps.Step]:
        """Norm, projections, rope, attention, output projection, norm, router, choice; and the guess for the next."""
        config, work, kernels, dense = self.config, self._work, self._kernels, self._weights.dense
        at = f"model.layers.{layer}."
        attention = at + "self_attn."
        keys, values = self.kv.keys[layer], self.kv.values[layer]
        q, kv = config.q_size, config.kv_size
        window = config.sliding_window if config.sliding_layers[layer] else 0
        outs = (work.qkv[:, :q], work.qkv[:, q : q + kv], work.qkv[:, q + kv :])
        names = [attention + f"{part}_proj.weight" for part in "qkv"]
        rotate = steps.arguments(0, work.qkv, work.positions, work.tables, work.cos, work.sin, keys, values)
        sinks = dense(attention + "sinks").data
        attend = steps.arguments(
            0,
            work.qkv,
            work.positions,
            work.tables,
            keys,
            values,
            sinks,
            window,
            work.mixed,
            self._q8(work.mixed_q8),
        )
        normed = steps.Source(work.normed, work.normed_q8)
        mixed = steps.Source(work.mixed, work.mixed_q8)
        done = [self._norm(at + "input_layernorm.weight")]
        done += self._product(normed, list(zip([dense(name) for name in names], outs, strict=True)))
        done += [(kernels["rope"], rotate), (kernels["attend"], attend)]
        done += self._product(mixed, [(dense(attention + "o_proj.weight"), work.hidden)], add=True)
        done.append(self._norm(at + "post_attention_layernorm.weight"))
        done += self._route(at, normed, work.chosen, work.shares)
        self._per_token += [rotate, attend]
        if self._hints and layer + 1 < config.num_layers:
            after = f"model.layers.{layer + 1}."
            done.append(self._norm(after + "post_attention_layernorm.weight", guess=True))
            source = steps.Source(work.guess_normed, work.normed_q8)
            done += self._route(after, source, work.guess_chosen, work.guess_shares)
        return done

    def _route(
        self, at: str, source: steps.Source, chosen: NDArray[np.generic], shares: NDArray[np.generic]
    ) -> list[steps.Step]:
        router = self._weights.dense(at + "mlp.router.weight")
        if router.layout not in ("bf16", "f32"):
            raise BadModel(f"the router is packed as {router.layout}; it has to be bf16 or f32")
        work = self._work
        choose = steps.arguments(0, work.router, chosen, shares)
        self._per_token.append(choose)
        return [*self._product(source, [(router, work.router)]), (self._kernels["route"], choose)]

    def _norm(self, name: str, guess: bool = False) -> steps.Step:
        work = self._work
        weight = self._vector(name)
        out = work.guess_normed if guess else work.normed
        q8 = None if guess else self._q8(work.normed_q8)
        blocks = self.config.hidden_size // BLOCK
        arguments = steps.arguments(0, None, work.hidden, weight, blocks, out, q8)
        self._per_token.append(arguments)
        return self._kernels["norm"], arguments

    def _output_steps(self) -> list[steps.Step]:
        work = self._work
        weight = self._vector("model.norm.weight")
        blocks = self.config.hidden_size // BLOCK
        q8 = self._q8(work.output_q8)
        norm = steps.arguments(0, work.output_rows, work.hidden, weight, blocks, work.output, q8)
        self._per_output.append(norm)
        name = EMBEDDING if self.config.tie_word_embeddings else HEAD
        head = [(self._weights.dense(name), work.logits)]
        source = steps.Source(work.output, work.output_q8)
        done = steps.product(self._kernels, source, head, exact=self.exact)
        self._output_tables += [table for _, table in done]
        return [(self._kernels["norm"], norm), *(step for step, _ in done)]

    def _product(self, source: steps.Source, parts: Outputs, add: bool = False) -> list[steps.Step]:
        done = steps.product(self._kernels, source, parts, exact=self.exact, add=add)
        self._token_tables += [table for _, table in done]
        return [step for step, _ in done]

    def _vector(self, name: str) -> NDArray[np.uint8]:
        packed = self._weights.dense(name)
        if packed.layout != "f32":
            raise BadModel(f"{name} is packed as {packed.layout}; vectors have to be f32")
        return packed.data

    def _q8(self, records: NDArray[np.generic]) -> NDArray[np.generic] | None:
        return None if self.exact else records


def _round(count: int) -> int:
    """Up to a power of two: room grows in few steps."""
    return 1 << max(count - 1, 0).bit_length()
