"""Finding what may answer a question: retrieved for, and read.

A question that leans on the turns before it is looked for with their words in front. Where the passages found so
lack something that the question says, it is looked for by itself as well: people change the subject in few words.
The passages that are surer to answer are taken, those of the conversation when in doubt.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from kb.answer import answerable, entities, extract, followup, spelling
from kb.answer.ports import Retriever
from kb.answer.run import Run
from kb.ports import Encoder
from kb.types import Retrieved

ENCODE_MARGIN_S = 0.25  # less time left than this, and sentences are ranked by words alone
READ_PASSAGES = 10
SURER = 0.05  # by so much must a question by itself be answered more surely (measured: bench/ask.py followup)


@dataclass(frozen=True)
class Found:
    """What one way of looking brought.

    asked: the words looked for. own: how much of what the question itself says the best passages say, 0..1.
    confidence: chance that they answer it. slips: words that were read as other ones.
    """

    asked: str
    retrieved: Retrieved
    reading: extract.Reading
    confidence: float
    own: float
    slips: dict[str, str]


class Finder:
    """Retrieves and reads, for one question at a time; safe to share between threads.

    limit: passages that are read. encoder: ranks sentences; without it words alone do.
    """

    def __init__(self, retriever: Retriever, encoder: Encoder | None, limit: int) -> None:
        self._retriever = retriever
        self._encoder = encoder
        self._limit = limit

    def find(self, run: Run) -> Found:
        """The passages and their reading, under the words that found the better ones."""
        found = self._look(run, run.standalone)
        if run.standalone == run.text or found.own >= 1 or not followup.may_stand(run.text):
            return found
        run.stop_if_cancelled()
        alone = self._look(run, run.text)
        if alone.own <= found.own or alone.confidence <= found.confidence + SURER:
            return found
        # the better of two chances is too good to be believed as it stands
        return replace(alone, confidence=(alone.confidence + found.confidence) / 2)

    def _look(self, run: Run, words: str) -> Found:
        with run.step("retrieve"):
            retrieved = self._search(run, words)
            slips = self._slips(run, words, retrieved)
            if slips:
                words = spelling.read(words, slips)
                retrieved = self._search(run, words)
        run.timings.update(
            {f"retrieve_{name}": round(value, 2) for name, value in retrieved.timings_ms.items()}
        )
        run.stop_if_cancelled()
        with run.step("read"):
            return self._read(run, words, retrieved, slips)

    def _search(self, run: Run, words: str) -> Retrieved:
        asked = run.asked
        return self._retriever.retrieve(
            run.principal,
            words,
            collections=asked.collections,
            filters=asked.filters,
            limit=self._limit,
            audience=asked.audience,
        )

    def _slips(self, run: Run, words: str, retrieved: Retrieved) -> dict[str, str]:
        """Words that are slips of the keyboard, and what was meant."""
        texts = (f"{p.title} {p.heading} {p.text}" for p in retrieved.passages)
        slips = spelling.slips(words, texts)
        if not slips:
            return {}
        asked = run.asked
        unknown = self._retriever.unknown(
            run.principal,
            slips,
            collections=asked.collections,
            filters=asked.filters,
            audience=asked.audience,
        )
        return {word: meant for word, meant in slips.items() if word in unknown}

    def _read(self, run: Run, words: str, retrieved: Retrieved, slips: dict[str, str]) -> Found:
        encoder = self._encoder if run.deadline - time.monotonic() > ENCODE_MARGIN_S else None
        passages = retrieved.passages
        reading = extract.read(words, passages, encoder, retrieved.sentences)
        covered = encoder is not None and encoder.covers(words) >= 0.5
        asked = spelling.read(run.text, slips)
        row = answerable.features(reading, passages, retrieved.signals, covered=covered, asked=asked)
        confidence = answerable.probability(row, words, covered=covered)
        if entities.strange_codes(words, passages):
            confidence = min(confidence, answerable.STRANGE_CODE)
        return Found(words, retrieved, reading, confidence, row["own"], slips)
