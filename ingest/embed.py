"""The embedding stage: chunks of all waiting documents together, so that batches are full and alike in length.

Documents with little left go first; whatever they leave of a round goes to the large ones, which always get a
share. So a workbook of ten thousand chunks delays nobody, and still comes to its end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import InitVar, dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ingest.leases import Held
from ingest.pipeline import Prepared
from kb.ports import Encoder

ROUND = 256  # texts a round
LARGE_SHARE = 64  # of them, for documents that would take many rounds
MOST_DOCUMENTS, MOST_CHUNKS = 32, 8192  # waiting: beyond it, parsing pauses


@dataclass
class Waiting:
    """A document in the stage. Texts that occur twice in it are embedded once, those in `known` not at all."""

    held: Held
    prepared: Prepared
    known: InitVar[Mapping[str, NDArray[np.float32]]]
    dim: InitVar[int]
    texts: list[str] = field(init=False)
    of_chunk: NDArray[np.int64] = field(init=False)
    vectors: NDArray[np.float32] = field(init=False)
    done: int = field(init=False)

    def __post_init__(self, known: Mapping[str, NDArray[np.float32]], dim: int) -> None:
        texts = self.prepared.texts
        there = [text for text in dict.fromkeys(texts) if text in known]
        places = {text: place for place, text in enumerate(dict.fromkeys([*there, *texts]))}
        self.of_chunk = np.array([places[text] for text in texts], np.int64)
        self.texts, self.done = list(places), len(there)
        self.vectors = np.zeros((len(places), dim), np.float32)
        for place, text in enumerate(there):
            self.vectors[place] = known[text]

    @property
    def left(self) -> int:
        return len(self.texts) - self.done


class Stage:
    """Give it prepared documents with `put`; `run` embeds them and hands each to `publish` when complete."""

    def __init__(
        self,
        encoder: Encoder,
        publish: Callable[[Held, Prepared, NDArray[np.float32]], None],
        failed: Callable[[Held, Exception], None],
    ) -> None:
        """failed: told of each document that could not be embedded or published; may not raise."""
        self.encoder, self.publish, self.failed = encoder, publish, failed
        self._waiting: list[Waiting] = []
        self._changed = threading.Condition()

    def put(
        self,
        held: Held,
        prepared: Prepared,
        stop: threading.Event,
        known: Mapping[str, NDArray[np.float32]] = MappingProxyType({}),
    ) -> None:
        """Add a document; waits while the stage is full. known: vectors that are there already, by text."""
        item = Waiting(held, prepared, known, self.encoder.dim)
        held.state, held.progress = "embedding", {"done": 0, "total": len(prepared.chunks), "unit": "chunks"}
        with self._changed:
            while not stop.is_set() and self._full():
                self._changed.wait(0.2)
            self._waiting.append(item)
            self._changed.notify_all()

    def run(self, stop: threading.Event) -> None:
        """Until `stop`. Runs in a thread of its own."""
        while not stop.is_set():
            with self._changed:
                if not self._waiting:
                    self._changed.wait(0.2)
                self._waiting = [item for item in self._waiting if not item.held.lost]
                shares = self._shares()
            try:
                self._embed(shares)
            except Exception:  # one document's fault, perhaps: the others of the round are not to pay for it
                for share in shares:
                    self._alone(share)
            with self._changed:
                complete = [item for item in self._waiting if not item.left and not item.held.lost]
                self._waiting = [item for item in self._waiting if item.left]
                self._changed.notify_all()
            for item in complete:
                try:
                    self.publish(item.held, item.prepared, item.vectors[item.of_chunk])
                except Exception as error:  # whatever it is, the stage must live on
                    self.failed(item.held, error)

    def _alone(self, share: tuple[Waiting, int]) -> None:
        try:
            self._embed([share])
        except Exception as error:
            share[0].held.lost = True
            self.failed(share[0].held, error)

    def idle(self) -> bool:
        """Whether nothing waits."""
        with self._changed:
            return not self._waiting

    def _full(self) -> bool:
        chunks = sum(item.left for item in self._waiting)
        return bool(self._waiting) and (len(self._waiting) >= MOST_DOCUMENTS or chunks >= MOST_CHUNKS)

    def _shares(self) -> list[tuple[Waiting, int]]:
        """How many texts of which document this round takes."""
        order = sorted(self._waiting, key=lambda item: item.left)
        large = sum(item.left for item in order if item.left > ROUND)
        room = ROUND - min(LARGE_SHARE, large)
        shares: list[tuple[Waiting, int]] = []
        for item in order:
            if item.left > ROUND:
                room += min(LARGE_SHARE, large) if large else 0
                large = 0
            take = min(item.left, room)
            if take > 0:
                shares.append((item, take))
                room -= take
        return shares

    def _embed(self, shares: list[tuple[Waiting, int]]) -> None:
        texts = [text for item, take in shares for text in item.texts[item.done : item.done + take]]
        if not texts:
            return
        vectors = self.encoder.encode_documents(texts)
        at = 0
        for item, take in shares:
            item.vectors[item.done : item.done + take] = vectors[at : at + take]
            item.done += take
            at += take
            share = item.done / max(1, len(item.texts))
            chunks = len(item.prepared.chunks)
            item.held.progress = {"done": int(share * chunks), "total": chunks, "unit": "chunks"}
