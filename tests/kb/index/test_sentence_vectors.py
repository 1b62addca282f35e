"""Packing vectors of sentences with the words they belong to, and asking them how near a question is."""

from __future__ import annotations

import numpy as np
import pytest

from kb.index.sentence_vectors import MOST, Nearness, pack
from kb.store.sentences import Lacking
from tests.fakes import FakeEncoder

HOLIDAYS = "Offices close on public holidays. The cafeteria opens at noon.\nParking is free for guests."
SHORT = "1.\nOk\n"


def chunk(id_: int, text: str, title: str = "Handbook", heading: str = "") -> Lacking:
    return Lacking(id_, text, title, heading)


def test_each_sentence_keeps_its_words_and_its_nearness() -> None:
    encoder = FakeEncoder()
    packed = pack(
        [chunk(7, HOLIDAYS), chunk(8, SHORT, heading="Office › Cafeteria")], encoder.encode_documents, 384
    )
    asked = encoder.encode_question("When does the cafeteria open?")

    def near(text: str) -> float:
        return float(encoder.encode_question(text) @ asked)

    found = Nearness(asked, packed)
    told = {HOLIDAYS[start:end]: cosine for (start, end), cosine in found.of(7).items()}
    assert list(told) == [
        "Offices close on public holidays.",
        "The cafeteria opens at noon.",
        "Parking is free for guests.",
    ]
    for text, cosine in told.items():
        assert cosine == pytest.approx(near(text), abs=0.01)
    assert max(told, key=told.__getitem__) == "The cafeteria opens at noon."
    parts = found.parts()
    assert parts[7] == pytest.approx((max(told.values()), near("Handbook")), abs=0.01)
    assert found.of(8) == {} and parts[8] == pytest.approx((-1, near("Handbook: Cafeteria")), abs=0.01)


def test_what_is_not_there_or_damaged_is_left_out() -> None:
    encoder = FakeEncoder()
    whole = pack([chunk(1, HOLIDAYS)], encoder.encode_documents, 384)[1]
    found = Nearness(encoder.encode_question("parking"), {1: None, 2: whole[:-1], 3: whole, 4: b""})
    assert list(found.parts()) == [3]
    assert found.of(2) == found.of(1) == found.of(99) == {} and len(found.of(3)) == 3
    assert Nearness(np.zeros(384, np.float32), {}).parts() == {}
    assert pack([], encoder.encode_documents, 384) == {}


def test_a_chunk_of_a_thousand_lines_costs_no_more_than_the_most_and_what_is_said_twice_costs_once() -> None:
    encoder = FakeEncoder()
    lines = "\n".join(f"cell number {n}" for n in range(1000))
    packed = pack([chunk(1, lines), chunk(2, lines)], encoder.encode_documents, 384)
    assert encoder.encoded == MOST + 1 and packed[1] == packed[2]
    assert len(Nearness(encoder.encode_question("cell"), packed).of(1)) == MOST
