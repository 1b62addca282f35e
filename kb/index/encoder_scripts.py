"""Which scripts and languages an encoder knows, read off its vocabulary."""

from __future__ import annotations

import unicodedata
from collections import Counter

from tokenizers import Tokenizer

from kb.index.languages import FUNCTION_WORDS
from kb.index.text import script

# Entries of a script below which its vocabulary only spells: BERT's English one holds 488 Chinese
# characters and 86 Cyrillic pieces and knows neither language; Chinese ones hold 7,000 and more.
ENOUGH = 1000
# Of a language's function words of four letters and more, the share that are one entry each. BERT's English vocabulary
# holds all of the English ones and a twentieth to a fifth of the German, French or Spanish ones.
WHOLE = 0.5


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


def known_languages(tokenizer: Tokenizer) -> frozenset[str]:
    """Languages in Latin letters whose function words the vocabulary does not have to spell."""
    return frozenset(code for code, words in FUNCTION_WORDS.items() if _whole(tokenizer, words) >= WHOLE)


def _whole(tokenizer: Tokenizer, words: frozenset[str]) -> float:
    long = sorted(word for word in words if len(word) >= 4)
    # a blank in front, as words have it inside a text: byte-level vocabularies hold them so
    found = tokenizer.encode_batch([f" {word}" for word in long], add_special_tokens=False)
    return sum(len(encoding.ids) == 1 for encoding in found) / len(long)
