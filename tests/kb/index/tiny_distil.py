"""A sentence-transformers model that kb cannot build by itself (DistilBERT, CLS pooling), made without torch.

`write` makes its folder as a hub has it; `encode` says, in numpy, what its vectors are.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import tokenizers
from safetensors.numpy import save_file

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{n}" for n in range(200))]
DIM, HEADS, LAYERS, HIDDEN, POSITIONS = 32, 2, 2, 64, 64
_MARKS = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}

Weights = dict[str, np.ndarray]


def write(home: Path) -> Weights:
    """The folder of the model; its weights are random, the same every time."""
    weights = _weights()
    (home / "1_Pooling").mkdir(parents=True)
    save_file(weights, home / "model.safetensors", metadata={"format": "pt"})
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(home / "tokenizer.json"))
    shape = {"dim": DIM, "n_heads": HEADS, "n_layers": LAYERS, "hidden_dim": HIDDEN}
    files = {
        "config.json": {
            "model_type": "distilbert",
            "architectures": ["DistilBertModel"],
            "vocab_size": len(WORDS),
            "max_position_embeddings": POSITIONS,
            "activation": "gelu",
            **shape,
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": POSITIONS,
            **_MARKS,
        },
        "sentence_bert_config.json": {"max_seq_length": POSITIONS, "do_lower_case": False},
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": DIM,
            "pooling_mode_cls_token": True,
            "pooling_mode_mean_tokens": False,
        },
    }
    for name, content in files.items():
        (home / name).write_text(json.dumps(content))
    return weights


def encode(weights: Weights, text: str) -> np.ndarray:
    """The unit vector of a text of known words: [CLS] of the last layer."""
    ids = [2, *(WORDS.index(word) for word in text.split()), 3]
    x = weights["embeddings.word_embeddings.weight"][ids]
    x = _norm(
        weights, "embeddings.LayerNorm", x + weights["embeddings.position_embeddings.weight"][: len(ids)]
    )
    for n in range(LAYERS):
        layer = f"transformer.layer.{n}"
        q, k, v = (
            _linear(weights, f"{layer}.attention.{part}_lin", x).reshape(len(ids), HEADS, -1).swapaxes(0, 1)
            for part in "qkv"
        )
        scores = np.exp(q @ k.swapaxes(1, 2) / math.sqrt(DIM / HEADS))
        seen = (scores / scores.sum(axis=2, keepdims=True) @ v).swapaxes(0, 1).reshape(len(ids), DIM)
        x = _norm(weights, f"{layer}.sa_layer_norm", x + _linear(weights, f"{layer}.attention.out_lin", seen))
        inner = _linear(weights, f"{layer}.ffn.lin1", x)
        inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        x = _norm(weights, f"{layer}.output_layer_norm", x + _linear(weights, f"{layer}.ffn.lin2", inner))
    return x[0] / np.linalg.norm(x[0])


def _weights() -> Weights:
    random = np.random.default_rng(7)

    def matrix(*shape: int) -> np.ndarray:
        return random.normal(0, 0.2, shape).astype(np.float32)

    found = {
        "embeddings.word_embeddings.weight": matrix(len(WORDS), DIM),
        "embeddings.position_embeddings.weight": matrix(POSITIONS, DIM),
    }
    linear = {f"attention.{part}_lin": (DIM, DIM) for part in ("q", "k", "v", "out")}
    linear |= {"ffn.lin1": (HIDDEN, DIM), "ffn.lin2": (DIM, HIDDEN)}
    norms = ["embeddings.LayerNorm"]
    for n in range(LAYERS):
        layer = f"transformer.layer.{n}"
        norms += [f"{layer}.sa_layer_norm", f"{layer}.output_layer_norm"]
        for name, shape in linear.items():
            found |= {f"{layer}.{name}.weight": matrix(*shape), f"{layer}.{name}.bias": matrix(shape[0])}
    for name in norms:
        found |= {f"{name}.weight": 1 + matrix(DIM), f"{name}.bias": matrix(DIM)}
    return found


def _linear(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def _norm(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    x = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-12)
    return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]
