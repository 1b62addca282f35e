"""Exact search over rounded vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kb.errors import Broken
from kb.index.vectors import Vectors, save


def unit(rows: int, dim: int = 64, seed: int = 1) -> NDArray[np.float32]:
    made = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.fixture
def filled() -> tuple[Vectors, NDArray[np.float32]]:
    vectors, data = Vectors(64), unit(3000)
    vectors.add(data[:1000])
    vectors.add(data[1000:])
    return vectors, data


def test_the_nearest_are_the_exact_nearest(filled: tuple[Vectors, NDArray[np.float32]]) -> None:
    vectors, data = filled
    for question in unit(20, seed=2):
        rows, scores = vectors.search(question, np.ones(3000, bool), 10)
        exact = np.sort(data @ question)[::-1][:10]
        assert len(set(rows)) == 10
        assert np.allclose(scores, exact, atol=1e-3)  # float16 may swap neighbours that are as near as that
        assert np.allclose(scores, (data @ question)[rows], atol=1e-3)


def test_only_what_the_mask_allows_is_found(filled: tuple[Vectors, NDArray[np.float32]]) -> None:
    vectors, data = filled
    mask = np.zeros(3000, bool)
    mask[[7, 2999]] = True
    rows, _ = vectors.search(data[0], mask, 10)
    assert sorted(rows) == [7, 2999]


def test_an_empty_mask_finds_nothing(filled: tuple[Vectors, NDArray[np.float32]]) -> None:
    rows, scores = filled[0].search(filled[1][0], np.zeros(3000, bool), 10)
    assert len(rows) == len(scores) == 0


def test_an_empty_index_finds_nothing() -> None:
    rows, _ = Vectors(64).search(unit(1)[0], np.zeros(0, bool), 10)
    assert len(rows) == 0


def test_saved_without_the_dead_and_read_again(
    tmp_path: Path, filled: tuple[Vectors, NDArray[np.float32]], monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, data = filled
    alive = np.ones(3000, bool)
    alive[:10] = False
    save(tmp_path / "v.faiss", vectors.exact, alive)
    for room in ("blocks", "vectors"):
        monkeypatch.setattr(f"kb.index.{room}.SIZE", 1024)
    again = Vectors.read(tmp_path / "v.faiss", 64, 2990)
    assert len(again._exact) == 2990  # no room that nothing stands in
    rows, scores = again.search(data[10], np.ones(2990, bool), 1)
    assert rows[0] == 0
    assert scores[0] == pytest.approx(1, abs=1e-3)
    with pytest.raises(Broken):
        Vectors.read(tmp_path / "v.faiss", 64, 3000)


@pytest.mark.parametrize("few", [0, 200])  # hidden rows passed over, or found in excess and thrown away
def test_blocks_share_a_scan_and_keep_their_rows(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in ("blocks", "vectors"):
        monkeypatch.setattr(f"kb.index.{room}.SIZE", 64)
    monkeypatch.setattr("kb.index.blocks.FEW", few)
    vectors, data = Vectors(64), unit(1000, seed=3)
    for start in range(0, 1000, 37):  # blocks begin and end inside what is added
        vectors.add(data[start : start + 37])
    mask = np.ones(1000, bool)
    mask[::3] = False
    for question in unit(10, seed=4):
        for allowed in (np.ones(1000, bool), mask):
            rows, scores = vectors.search(question, allowed, 10)
            exact = np.where(allowed, data @ question, -1)
            assert allowed[rows].all()
            assert np.allclose(scores, np.sort(exact)[::-1][:10], atol=1e-3)
            assert np.allclose(scores, (data @ question)[rows], atol=1e-3)


def test_full_blocks_find_what_scanning_every_number_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    for room in ("blocks", "vectors"):
        monkeypatch.setattr(f"kb.index.{room}.SIZE", 2048)
    vectors, data = Vectors(384), unit(4096 + 100, dim=384, seed=5)
    vectors.add(data)
    assert [block._nibbles is not None for block in vectors._blocks] == [True, True, False]
    seen = np.ones(len(data), bool)
    for hidden in (0, 50, 1500):
        for question in unit(20, dim=384, seed=6 + hidden):
            seen[:hidden] = False
            rows, scores = vectors.search(question, seen, 10)
            exact = np.where(seen, data @ question, -1)
            assert rows.tolist() == np.argsort(-exact)[:10].tolist() or np.allclose(
                scores, np.sort(exact)[::-1][:10], atol=1e-3
            )
            assert seen[rows].all()
