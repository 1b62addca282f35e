"""`kb model plan`: what of gpt-oss-20b fits this machine, how fast it would be, and what to type."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kb.llm.local import quant
from kb.llm.local.cache import LEAST_SLOTS, READERS
from kb.llm.local.config import ModelConfig
from kb.llm.local.layout import matrices
from kb.llm.local.limits import Limits
from kb.llm.local.probe import Machine
from kb.llm.local.quant_dense import EMBEDDING
from kb.llm.local.reader import STAGING
from kb.llm.local.rows import MOST as ROWS
from kb.llm.local.workspace import per_token

REPO = "openai/gpt-oss-20b"
GGUF = "ggml-org/gpt-oss-20b-GGUF"
DOWNLOAD_BYTES = 13_800_000_000  # of the released weights
GPT_OSS_20B = {
    "model_type": "gpt_oss",
    "vocab_size": 201088,
    "hidden_size": 2880,
    "intermediate_size": 2880,
    "num_hidden_layers": 24,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "num_local_experts": 32,
    "num_experts_per_tok": 4,
    "sliding_window": 128,
    "max_position_embeddings": 131072,
}
STREAMED = 0.85  # of the memory bandwidth is what decoding reaches
READ = 0.8  # of the disk bandwidth is what paging reaches
_GPU_NEEDS = 16_000_000_000
_LLAMA_NEEDS = 16_000_000_000


@dataclass(frozen=True)
class Sizes:
    """Bytes of a model in one layout."""

    layout: str
    dense: int  # in memory from the start: of the embedding, some rows
    file: int
    expert: int
    experts: int  # how many, all layers together
    per_token_dense: int
    per_token_experts: int  # how many
    work: int  # of the arrays a step works in

    @property
    def per_token(self) -> int:
        """Bytes of weights multiplied by for one token."""
        return self.per_token_dense + self.per_token_experts * self.expert


@dataclass(frozen=True)
class Option:
    """One layout on this machine."""

    layout: str
    file_bytes: int
    least_memory: int
    resident: float  # share of the experts that stay in memory; 0 with fits=False
    fits: bool
    tokens_per_s: (
        float | None
    )  # 0 misses if resident is 1; else with a router that picks evenly, the worst case
    note: str


@dataclass(frozen=True)
class Plan:
    """Everything `kb model plan` says."""

    machine: Machine
    budget: int  # bytes for weights
    options: tuple[Option, ...]
    engine: str  # "kb" | "vllm" | "llama-server" | "none"
    why: str
    commands: tuple[str, ...]
    others: tuple[tuple[str, tuple[str, ...]], ...]  # engine, commands


def sizes(config: ModelConfig, layout: str) -> Sizes:
    """What a model takes in a layout, from its shapes alone."""
    plan = list(matrices(config, layout))
    weigh = {matrix.name: quant.nbytes(matrix.layout, matrix.rows, matrix.cols) for matrix in plan}
    dense = [matrix for matrix in plan if matrix.kind == "dense"]
    embedding = 0 if config.tie_word_embeddings else weigh[EMBEDDING]
    every = sum(weigh[matrix.name] for matrix in dense)
    kept = (
        next(quant.nbytes(m.layout, ROWS, m.cols) for m in dense if m.name == EMBEDDING) if embedding else 0
    )
    return Sizes(
        layout=layout,
        dense=every - embedding + kept,
        file=sum(weigh.values()),
        expert=sum(weigh[matrix.name] for matrix in plan if (matrix.layer, matrix.expert) == (0, 0)),
        experts=config.num_layers * config.num_experts,
        # a token reads one row of the embedding, unless that is the output head as well
        per_token_dense=every - embedding,
        per_token_experts=config.num_layers * config.experts_per_token,
        work=per_token(config) * Limits.chunk,
    )


def option(size: Sizes, machine: Machine, budget: int) -> Option:
    """How one layout does within `budget` bytes."""
    least = size.dense + LEAST_SLOTS * size.expert + READERS * STAGING + size.work
    slots = min(size.experts, (budget - size.dense - READERS * STAGING - size.work) // size.expert)
    fits = budget >= least
    resident = slots / size.experts if fits else 0.0
    speed = None
    if fits and machine.memory_bandwidth and (machine.disk_bandwidth or resident == 1):
        seconds = size.per_token / (machine.memory_bandwidth * STREAMED)
        if resident < 1:
            missed = size.per_token_experts * (1 - resident) * size.expert
            seconds += missed / (machine.disk_bandwidth * READ)
        speed = 1 / seconds
    if not fits:
        note = f"needs {least / 1e9:.1f} GB for weights"
    elif resident == 1:
        note = "all in memory"
    else:
        note = f"{resident:.0%} of the experts in memory, the others read when needed"
    return Option(size.layout, size.file, least, resident, fits, speed, note)


def make_plan(machine: Machine, budget: int, models_dir: Path) -> Plan:
    """Weigh the engines for this machine."""
    config = ModelConfig.from_json(GPT_OSS_20B)
    every = [sizes(config, layout) for layout in ("mxfp4", "int8")]
    options = tuple(option(size, machine, budget) for size in every)
    ours = (
        f"kb model pull {REPO}",
        f"kb model pack {models_dir / REPO.replace('/', '--')} --layout mxfp4",
        "kb up",
    )
    vllm = (f"vllm serve {REPO} --port 8000", "KB_LLM_URL=http://127.0.0.1:8000/v1 kb up")
    llama = (
        f"llama-server -hf {GGUF} --jinja --port 8001 --ctx-size 8192",
        "KB_LLM_URL=http://127.0.0.1:8001/v1 kb up",
    )
    known = {"kb": ours, "vllm": vllm, "llama-server": llama}
    disk = DOWNLOAD_BYTES + every[0].file
    card = max(machine.gpus, key=lambda gpu: gpu.memory_bytes, default=None)
    if card is not None and card.memory_bytes >= _GPU_NEEDS:
        engine = "vllm"
        why = f"{card.name} has {card.memory_bytes / 1e9:.0f} GB: the whole model fits on it."
    elif machine.disk_free_bytes < disk:
        engine = "none"
        why = f"Download and packed model take {disk / 1e9:.0f} GB of disk; {machine.disk_free_bytes / 1e9:.0f} GB are free."
    elif machine.kernels == "plain" and machine.available_bytes >= _LLAMA_NEEDS:
        engine = "llama-server"
        why = "This processor lacks the instructions our fast path is made for, and the model fits in memory."
    elif options[0].fits:
        engine = "kb"
        why = "The released 4-bit weights fit: " + options[0].note + "."
    else:
        engine = "none"
        why = (
            f"The smallest layout needs {options[0].least_memory / 1e9:.1f} GB for weights; {budget / 1e9:.1f} GB are"
            " there. Until then answers quote the documents, or KB_LLM_URL names a server elsewhere."
        )
    others = tuple((name, lines) for name, lines in known.items() if name != engine)
    return Plan(machine, budget, options, engine, why, known.get(engine, ()), others)
