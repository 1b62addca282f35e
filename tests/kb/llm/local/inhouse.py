"""A tiny model for the sample company: a byte-level BPE learnt from its documents, a harmony chat template, 4 layers
of 8 experts. `packed(writing=True)` writes ANSWER and stops; otherwise the weights are random and it writes garbage.
"""

from __future__ import annotations

from pathlib import Path

import tokenizers

from kb.llm.local.pack import pack

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
        speaking.teach(path, _chain(text), vocabulary)
    return path


def packed(path: Path, *, writing: bool) -> Path:
    """`path` (…/name.kbm), packed from a folder beside it."""
    return pack(folder(path.with_suffix(".src"), writing=writing), path)


def _chain(tokenizer: str) -> list[int]:
    inner = tokenizers.Tokenizer.from_str(tokenizer)
    words = ["assistant", "<|channel|>", "final", "<|message|>", *PIECES, "<|return|>"]
    return [inner.token_to_id(word) for word in words]
