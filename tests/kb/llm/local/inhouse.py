"""A tiny model for the sample company: a byte-level BPE learnt from its documents, a harmony chat template, 4 layers
of 8 experts. `packed(writing=True)` writes ANSWER and stops; otherwise the weights are random and it writes garbage.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import tokenizers
from numpy.typing import NDArray

from kb.llm.local.pack import pack
from kb.llm.local.source import Checkpoint

from . import folders, speaking

SAMPLE = Path(__file__).resolve().parents[4] / "data" / "sample"
PIECES = (
    "You may work",
    " from another country",
    " for up to 20 working days",
    " in a calendar year",
    " [1]",
    ".",
)
ANSWER = "".join(PIECES)
_SHAPE = {"num_hidden_layers": 4, "num_local_experts": 8, "max_position_embeddings": 16384}


def tokenizer_json() -> str:
    """About 2,000 pieces; the pieces of the answer are tokens of their own, so that each says what comes next."""
    inner = tokenizers.Tokenizer(tokenizers.models.BPE())
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=2000,
        show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )
    texts = sorted((SAMPLE / "sources").rglob("*.md"))
    inner.train_from_iterator((path.read_text() for path in texts), trainer)
    inner.add_tokens([*speaking.WORDS, *PIECES])
    inner.add_special_tokens(speaking.MARKS)
    return str(inner.to_str())


def folder(path: Path, *, writing: bool) -> Path:
    """A model folder as `kb model pack` takes it."""
    text = tokenizer_json()
    vocabulary = -(-tokenizers.Tokenizer.from_str(text).get_vocab_size() // 32) * 32
    folders.write(path, vocab_size=vocabulary, **_SHAPE)
    (path / "tokenizer.json").write_text(text)
    (path / "chat_template.jinja").write_text(speaking.TEMPLATE)
    if writing:
        _teach(path, text, vocabulary)
    return path


def packed(path: Path, *, writing: bool) -> Path:
    """`path` (…/name.kbm), packed from a folder beside it."""
    return pack(folder(path.with_suffix(".src"), writing=writing), path)


def _teach(path: Path, tokenizer: str, vocabulary: int) -> None:
    """Embeddings so large that layers hardly move them, and a head in which each token of the answer asks for the next."""
    inner = tokenizers.Tokenizer.from_str(tokenizer)
    words = ["assistant", "<|channel|>", "final", "<|message|>", *PIECES, "<|return|>"]
    chain = [inner.token_to_id(word) for word in words]
    random = np.random.default_rng(1)
    embedding = np.where(random.random((vocabulary, 64)) < 0.5, -64.0, 64.0).astype(np.float32)
    head = np.zeros_like(embedding)
    for before, after in itertools.pairwise(chain):
        head[after] += embedding[before]
    source = Checkpoint(path)
    tensors = {name: source.read(name) for name in source.tensors}
    tensors["model.embed_tokens.weight"] = _bf16(embedding)
    tensors["lm_head.weight"] = _bf16(head)
    tensors["model.norm.weight"] = _bf16(np.ones(64, np.float32))
    for file in path.glob("*.safetensors"):
        file.unlink()
    (path / "model.safetensors.index.json").unlink()
    folders.save(path / "model.safetensors", tensors)


def _bf16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    return (values.view(np.uint32) >> 16).astype(np.uint16)
