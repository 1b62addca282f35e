"""The embedding stage: across documents, small ones first, large ones never starved, same text once."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from ingest import embed
from ingest.blocks import Extract
from ingest.embed import Stage
from ingest.layout import lay_out
from ingest.leases import Held
from ingest.pipeline import Prepared
from kb.types import Chunk, Job
from tests.fakes import FakeEncoder


def held(number: int) -> Held:
    return Held(
        Job(number, "ingest", f"d{number}", number, "t", 1, 0, "0" * 64, f"{number}.txt", "txt", 1, "", "c")
    )


def prepared(texts: Sequence[str]) -> Prepared:
    chunks = [Chunk(n, text, 0, 1) for n, text in enumerate(texts)]
    return Prepared(Extract([], "txt"), lay_out([]), chunks)


class Run:
    """A stage that records what it publishes."""

    def __init__(self, encoder: FakeEncoder) -> None:
        self.order: list[int] = []
        self.failed: list[int] = []
        self.vectors: dict[int, NDArray[np.float32]] = {}
        self.stop = threading.Event()
        self.stage = Stage(encoder, self.publish, lambda held, error: self.failed.append(held.job.id))
        self.expected = 0

    def publish(self, held: Held, prepared: Prepared, vectors: NDArray[np.float32]) -> None:
        self.order.append(held.job.id)
        self.vectors[held.job.id] = vectors
        if len(self.order) == self.expected:
            self.stop.set()

    def run(self, *documents: Sequence[str]) -> None:
        self.expected = len(documents)
        for number, texts in enumerate(documents):
            self.stage.put(held(number), prepared(texts), self.stop)
        self.stage.run(self.stop)


def test_vectors_come_back_to_their_chunks_and_the_same_text_is_embedded_once() -> None:
    encoder = FakeEncoder()
    run = Run(encoder)
    run.run(["a b", "c d", "a b"], ["e f"], [])
    assert encoder.encoded == 3
    assert np.array_equal(run.vectors[0], encoder.encode_documents(["a b", "c d", "a b"]))
    assert run.vectors[2].shape == (0, encoder.dim)


def test_a_large_document_delays_nobody_and_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "ROUND", 32)
    monkeypatch.setattr(embed, "LARGE_SHARE", 8)
    run = Run(FakeEncoder())
    run.run([f"large {n}" for n in range(500)], *([f"small {d} {n}" for n in range(20)] for d in range(10)))
    assert run.order[-1] == 0 and len(run.order) == 11


def test_a_large_document_gets_its_share_of_every_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "ROUND", 32)
    monkeypatch.setattr(embed, "LARGE_SHARE", 8)
    run = Run(FakeEncoder())
    run.stage.put(held(0), prepared([f"large {n}" for n in range(500)]), run.stop)
    for d in range(1, 8):
        run.stage.put(held(d), prepared([f"small {d} {n}" for n in range(30)]), run.stop)
    shares = {item.held.job.id: take for item, take in run.stage._shares()}
    assert shares[0] == 8 and sum(shares.values()) == 32


class Faulty(FakeEncoder):
    """Fails at every round that has `bad` in it."""

    def __init__(self, fault: type[Exception]) -> None:
        super().__init__()
        self.fault = fault

    def encode_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if "bad" in texts:
            raise self.fault
        return super().encode_documents(texts)


def test_a_fault_ends_its_documents_only() -> None:
    run = Run(Faulty(MemoryError))
    run.expected = 1
    thread = threading.Thread(target=run.stage.run, args=(run.stop,))
    thread.start()
    run.stage.put(held(1), prepared(["bad"]), run.stop)
    for _ in range(200):
        if run.failed:
            break
        threading.Event().wait(0.02)
    run.stage.put(held(2), prepared(["good"]), run.stop)
    thread.join(10)
    assert run.failed == [1] and run.order == [2]


def test_a_document_that_breaks_the_encoder_takes_none_of_its_round_along() -> None:
    run = Run(Faulty(ValueError))
    run.expected = 2
    for number, texts in enumerate((["good"], ["bad"], ["better"])):
        run.stage.put(held(number), prepared(texts), run.stop)
    thread = threading.Thread(target=run.stage.run, args=(run.stop,))
    thread.start()
    thread.join(10)
    run.stop.set()
    assert run.failed == [1] and sorted(run.order) == [0, 2]


def test_a_document_that_cannot_be_published_leaves_the_stage_alive() -> None:
    run = Run(FakeEncoder())
    run.expected = 1
    publish = run.publish

    def faulty(held: Held, prepared: Prepared, vectors: NDArray[np.float32]) -> None:
        if held.job.id == 0:
            raise ValueError
        publish(held, prepared, vectors)

    run.stage.publish = faulty
    for number in range(2):
        run.stage.put(held(number), prepared([f"text {number}"]), run.stop)
    thread = threading.Thread(target=run.stage.run, args=(run.stop,))
    thread.start()
    thread.join(5)
    run.stop.set()
    assert run.failed == [0] and run.order == [1]
