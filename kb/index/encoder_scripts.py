"""Which scripts an encoder knows, read off its vocabulary."""

from __future__ import annotations

import unicodedata
from collections import Counter

from tokenizers import Tokenizer

from kb.index.text import script

# Entries of a script below which its vocabulary only spells: BERT's English one holds 488 Chinese
# characters and 86 Cyrillic pieces and knows neither language; Chinese ones hold 7,000 and more.
ENOUGH = 1000


def known_scripts(tokenizer: Tokenizer) -> frozenset[str]:
    """Scripts with at least ENOUGH entries in the vocabulary. Chinese brings kana's kanji, not kana."""
    vocabulary = tokenizer.get_vocab(with_added_tokens=False)
    byte_level = any(entry.startswith("Ġ") for entry in vocabulary)
    found: Counter[str] = Counter()
    for entry, number in vocabulary.items():
        text = tokenizer.decode([number]) if byte_level else entry
        names = {
            script(character) for character in unicodedata.normalize("NFKC", text.removeprefix("##"))
        } - {""}
        if len(names) == 1:
            found.update(names)
    return frozenset(name for name, count in found.items() if count >= ENOUGH)
