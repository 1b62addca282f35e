"""How much of their words two questions share, for where the encoder is blind and to settle its ties."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kb.index import question_terms

# what Chinese questions are framed with, whatever they ask
_FRAME = re.compile("请问|請問|如何|怎么样|怎么|怎樣|怎样|怎麼|什么|什麼|[吗嗎呢的了呀啊吧我你您请請？?]")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")


class Overlaps:
    """Wordings by their terms: an inverted list, so that a question only meets wordings it shares a term with."""

    def __init__(self, texts: Sequence[str]) -> None:
        bags = [bag(text) for text in texts]
        seen = Counter(term for one in bags for term in one)
        self._rare = math.log(1 + max(1, len(bags)))
        self._weight = {term: math.log(1 + len(bags) / count) for term, count in seen.items()}
        self._sizes = np.array(
            [sum(self._weight[term] * count for term, count in one.items()) for one in bags], np.float32
        )
        places: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for row, one in enumerate(bags):
            for term, count in one.items():
                places[term].append((row, count))
        self._places = {term: np.array(found, np.int64).T for term, found in places.items()}

    def of(self, question: str) -> NDArray[np.float32]:
        """[wordings] 0..1: common terms as a share of all terms of both, rare ones counting more."""
        common = np.zeros(len(self._sizes), np.float32)
        total = 0.0
        for term, count in bag(question).items():
            weight = self._weight.get(term, self._rare)
            total += weight * count
            if term in self._places:
                rows, counts = self._places[term]
                common[rows] += weight * np.minimum(counts, count)
        shares: NDArray[np.float32] = 2 * common / np.maximum(total + self._sizes, 1e-6)
        return shares


def bag(text: str) -> Counter[str]:
    """Terms with their counts; of Chinese also the single characters, since word order and particles vary."""
    plain = _FRAME.sub(" ", text) if _HAN.search(text) else text
    if not plain.strip():
        plain = text
    return Counter(question_terms(plain) + _HAN.findall(plain))
