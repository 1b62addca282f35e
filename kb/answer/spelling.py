"""Slips of the keyboard: a word that no document holds which may be read, but a passage found without it nearly so.

The vectors often find the right passage in spite of a slip, but its weight as the rarest word of all then speaks
against the answer. So the question is read with the passages' spelling, and the answer says so. Names, codes and
short words stay as they are: Jonas is not Jones, and no letter of a model's name may be guessed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from kb.answer.words import STOP, fold, stem
from kb.index.languages import function_words

SHORTEST = 5  # letters
SUBSTITUTED = (
    7  # from which a wrong letter counts, too; in shorter words that is another word as often as not
)
LONG = 9  # from which there may be two slips
_WORD = re.compile(r"[^\W\d_]+")


def slips(question: str, texts: Iterable[str]) -> dict[str, str]:
    """The question's words that may be slips, as far as the texts found for it tell, and what they may mean."""
    typed = [match[0] for match in _WORD.finditer(question) if not _name(question, match)]
    idle = STOP | function_words(question)
    typed = [word for word in typed if len(word) >= SHORTEST and fold(word) not in idle]
    if not typed:
        return {}
    spelt = {word for text in texts for word in _WORD.findall(fold(text)) if len(word) >= SHORTEST - 1} - STOP
    stems = {stem(word) for word in spelt}
    found: dict[str, str] = {}
    for word in typed:
        if stem(fold(word)) in stems:
            continue  # a text has it, in this form or another
        if (meant := _meant(fold(word), spelt)) is not None:
            found[word] = meant.capitalize() if word[0].isupper() else meant
    return found


def read(text: str, slips: Mapping[str, str]) -> str:
    """The text with those words as they are read."""
    return _WORD.sub(lambda match: slips.get(match[0], match[0]), text) if slips else text


def _name(question: str, match: re.Match[str]) -> bool:
    """Capitalised inside a sentence, or in capitals, or part of a code: somebody's or something's own name."""
    word, before = match[0], question[: match.start()].rstrip()
    inside = bool(before) and before[-1] not in ".!?:。！？"
    beside = question[max(0, match.start() - 1) : match.start()] + question[match.end() : match.end() + 1]
    return (
        word.isupper()
        or (inside and word[0].isupper())
        or any(c.isdigit() or c in "_-@/." for c in beside.strip(".?!,"))
    )


def _meant(typed: str, spelt: Collection[str]) -> str | None:
    """The one word that is near enough; None where there is none, or several that mean different things."""
    near = {word: steps for word in spelt if word[0] == typed[0] and (steps := _steps(typed, word))}
    if not near:
        return None
    least = min(near.values())
    nearest = sorted(
        (word for word, steps in near.items() if steps == least), key=lambda word: (len(word), word)
    )
    return nearest[0] if len({stem(word) for word in nearest}) == 1 else None


def _steps(typed: str, word: str) -> int:
    """Slips from one to the other: letters left out, added or changed over; 0 where it takes too many."""
    most = 2 if len(typed) >= LONG else 1
    if abs(len(typed) - len(word)) > most or typed.startswith(word) or word.startswith(typed):
        return 0  # a longer end is another form of the word (rider, ride), seldom a slip
    steps = _distance(typed, word)
    if len(typed) < SUBSTITUTED and len(typed) == len(word) and sorted(typed) != sorted(word):
        return 0
    return steps if steps <= most else 0


def _distance(a: str, b: str) -> int:
    """Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours."""
    two: list[int] = []
    one = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            best = min(one[j] + 1, row[j - 1] + 1, one[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                best = min(best, two[j - 2] + 1)
            row.append(best)
        two, one = one, row
    return one[-1]
