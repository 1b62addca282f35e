"""A tiny GGUF for llama.cpp: the sample company's tokenizer and template, one layer that adds nothing, and a head in
which each token of the answer asks for the next; or, not `writing`, random weights everywhere.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import gguf
import numpy as np

from .local import inhouse, speaking

_END = "<|endoftext|>"
_TEMPLATE = (
    "{% for message in messages %}{{ message.role + ': ' + message.content + '\\n' }}{% endfor %}assistant"
)
_WIDE, _HEADS, _INNER = 64, 4, 96


def write(path: Path, *, writing: bool) -> Path:
    """Write the model; a few hundred kilobytes."""
    tokenizer = json.loads(inhouse.tokenizer_json())
    ids: dict[str, int] = dict(tokenizer["model"]["vocab"])
    special = {}
    for added in tokenizer["added_tokens"]:
        ids[added["content"]] = added["id"]
        special[added["id"]] = added["special"]
    words = sorted(ids, key=lambda word: ids[word])
    assert [ids[word] for word in words] == list(range(len(words)))
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]
    control, defined, normal = (
        int(kind) for kind in (gguf.TokenType.CONTROL, gguf.TokenType.USER_DEFINED, gguf.TokenType.NORMAL)
    )
    kinds = [
        normal if number not in special else control if special[number] else defined
        for number in range(len(words))
    ]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_block_count(1)
    writer.add_context_length(16384)
    writer.add_embedding_length(_WIDE)
    writer.add_feed_forward_length(_INNER)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(words)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(ids[_END])
    writer.add_bos_token_id(ids[_END])
    writer.add_add_bos_token(False)
    writer.add_chat_template(_TEMPLATE)
    random = np.random.default_rng(1)
    signs = np.where(random.random((len(words), _WIDE)) < 0.5, -1.0, 1.0).astype(np.float32)
    head = np.zeros_like(signs) if writing else random.standard_normal(signs.shape).astype(np.float32)
    if writing:
        chain = [ids[word] for word in ("assistant", *inhouse.PIECES, _END)]
        for before, after in itertools.pairwise(chain):
            head[after] += signs[before]
    size = 0.0 if writing else 0.3

    def matrix(*shape: int) -> np.ndarray:
        return (size * random.standard_normal(shape)).astype(np.float32)

    writer.add_tensor("token_embd.weight", signs)
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        writer.add_tensor(f"blk.0.{name}.weight", matrix(_WIDE, _WIDE))
    for name, rows, cols in (
        ("ffn_gate", _INNER, _WIDE),
        ("ffn_up", _INNER, _WIDE),
        ("ffn_down", _WIDE, _INNER),
    ):
        writer.add_tensor(f"blk.0.{name}.weight", matrix(rows, cols))
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(_WIDE, np.float32))
    writer.add_tensor("output.weight", head)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


assert _END in speaking.MARKS
