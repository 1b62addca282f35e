"""Packing vectors of sentences with the words they belong to, and asking them how near a question is."""

from __future__ import annotations

import numpy as np
import pytest

from kb.index.sentence_vectors import MOST, Nearness, pack
from tests.fakes import FakeEncoder

HOLIDAYS = "Offices close on public holidays. The cafeteria opens at noon.\nParking is free for guests."
SHORT = "1.\nOk\n"


def test_each_sentence_keeps_its_words_and_its_nearness() -> None:
    encoder = FakeEncoder()
    packed = pack([HOLIDAYS, SHORT, "Parking costs nothing."], encoder.encode_documents, encoder.dim)
    asked = encoder.encode_question("When does the cafeteria open?")
    near = Nearness(asked, dict(enumerate(packed)))
    found = {HOLIDAYS[start:end]: cosine for (start, end), cosine in near.of(0).items()}
    assert list(found) == [
        "Offices close on public holidays.",
        "The cafeteria opens at noon.",
        "Parking is free for guests.",
    ]
    for text, cosine in found.items():
        assert cosine == pytest.approx(float(encoder.encode_question(text) @ asked), abs=0.01)
    assert max(found, key=found.__getitem__) == "The cafeteria opens at noon."
    assert near.best() == {0: max(found.values()), 2: next(iter(near.of(2).values()))}
    assert packed[1] == b"" and near.of(1) == {}


def test_what_is_not_there_or_damaged_is_left_out() -> None:
    encoder = FakeEncoder()
    (whole,) = pack([HOLIDAYS], encoder.encode_documents, encoder.dim)
    near = Nearness(encoder.encode_question("parking"), {1: None, 2: whole[:-1], 3: whole, 4: b""})
    assert list(near.best()) == [3]
    assert near.of(2) == near.of(1) == near.of(99) == {} and len(near.of(3)) == 3
    assert Nearness(np.zeros(384, np.float32), {}).best() == {}


def test_a_chunk_of_a_thousand_lines_costs_no_more_than_the_most() -> None:
    encoder = FakeEncoder()
    (packed,) = pack(["\n".join(f"cell number {n}" for n in range(1000))], encoder.encode_documents, 384)
    assert encoder.encoded == MOST
    assert len(Nearness(encoder.encode_question("cell"), {1: packed}).of(1)) == MOST
