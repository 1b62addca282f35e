"""Run as a process of its own: load any sentence-transformers model, write it as OpenVINO with its tokenizer.

    python -m kb.index.encoder_export NAME_OR_DIRECTORY OUT

The graph takes `input_ids`, `attention_mask` and gives the model's own sentence embedding, whatever
its pooling. The manifest, with the hash of every file, is written last.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def main(encoder: str, out: Path) -> None:
    """Export, and compare with the original before the manifest is written."""
    import openvino as ov
    from sentence_transformers import SentenceTransformer

    original = SentenceTransformer(encoder, device="cpu").float().eval()
    tokenizer = original.tokenizer
    if not getattr(tokenizer, "is_fast", False):
        raise SystemExit("it has no fast tokenizer (tokenizer.json), which kb needs")
    tokenizer.backend_tokenizer.save(str(out / "tokenizer.json"))
    probe = ["a question", "a somewhat longer sentence, to tell padding apart"]
    example = dict(tokenizer(probe, padding=True, return_tensors="pt"))
    inputs = {name: example[name] for name in ("input_ids", "attention_mask")}
    model = ov.convert_model(_wrapped(original), example_input=inputs)
    for node, name in zip(model.inputs, inputs, strict=True):
        node.get_tensor().set_names({name})
        node.get_node().set_partial_shape(ov.PartialShape([-1, -1]))
    model.validate_nodes_and_infer_types()
    ov.save_model(model, out / "model.xml", compress_to_fp16=False)

    compiled = ov.Core().compile_model(out / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    got = compiled({name: value.numpy() for name, value in inputs.items()})[0]
    got = got / np.linalg.norm(got, axis=1, keepdims=True)
    expected = original.encode(probe, normalize_embeddings=True)
    if float((got * expected).sum(axis=1).min()) < 0.999:
        raise SystemExit("its export gives other vectors than the original")
    manifest = {
        "source": encoder,
        "dim": int(got.shape[1]),
        "max_tokens": int(original.max_seq_length or tokenizer.model_max_length),
        "files": {
            name: hashlib.sha256((out / name).read_bytes()).hexdigest()
            for name in ("model.xml", "model.bin", "tokenizer.json")
        },
    }
    (out / "encoder.json").write_text(json.dumps(manifest, indent=1))


def _wrapped(original: Any) -> Any:
    """A module of two tensors, as tracing wants it. torch arrives only through sentence_transformers."""
    module = sys.modules["torch"].nn.Module

    class Wrapped(module):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__()
            self.original = original

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            features = {"input_ids": input_ids, "attention_mask": attention_mask}
            return self.original(features)["sentence_embedding"]

    return Wrapped()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
