"""The input embedding by rows: the right ones, within their room, from bytes that were checked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kb.llm.local import dense, quant, ranges, rows
from kb.llm.local.cache import CachedStore
from kb.llm.local.config import ModelConfig
from kb.llm.local.errors import CorruptShard
from kb.llm.local.layout import make, matrices
from kb.llm.local.model import Model
from kb.llm.local.pack import pack
from kb.llm.local.quant_dense import EMBEDDING, HEAD
from kb.llm.local.reader import page_map
from kb.llm.local.source import Checkpoint
from kb.llm.local.store import Shard, Store
from kb.llm.local.types import Batch, Segment

from . import folders

WORDS, PART = 1000, 8192  # bytes of a shard, so that the embedding has several and tiles lie across two


@pytest.fixture(scope="module", params=[("int8", 4096), ("int8", 65536), ("bf16", 4096)])
def packed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, np.ndarray]]:
    """A packed model and the numbers of its embedding."""
    layout, page_size = request.param
    folder = tmp_path_factory.mktemp("model")
    source = folders.write(folder / "src", mxfp4=True, vocab_size=WORDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kb.llm.local.pack.PART", PART)
        patch.setattr(ranges, "_STEP", 3000)
        yield (
            pack(source, folder / "m.kbm", dense=layout, page_size=page_size),
            _embedding(source, layout),
        )


@pytest.fixture
def model(packed: tuple[Path, np.ndarray], tmp_path: Path) -> Path:
    """A copy to spoil; it still knows its source."""
    return Path(shutil.copy(packed[0], tmp_path / "m.kbm"))


def _embedding(folder: Path, layout: str) -> np.ndarray:
    source = Checkpoint(folder)
    plan = matrices(ModelConfig.from_json(source.config), "mxfp4", layout)
    return quant.unpack(make(source, next(m for m in plan if m.name == EMBEDDING)).packed)[0]


def _take(store: CachedStore, ids: list[int]) -> np.ndarray:
    packed, places = store.rows(EMBEDDING, np.array(ids, np.int32))
    return quant.unpack(packed)[0][places]


def _parts(path: Path) -> list[Shard]:
    with Store(path) as store:
        return [shard for shard in store.shards() if shard.name == EMBEDDING]


def _spoil(path: Path, shard: Shard, at: int) -> None:
    """Turn a byte of a shard over, behind SQLite's back."""
    pages = page_map(path)
    extent = pages.extent(shard.id, shard.nbytes)
    assert extent is not None
    ((offset, _),) = pages.places(extent, at, at + 1)
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0xFF]))


def test_rows_are_those_asked_for_while_others_come_and_go(
    packed: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows.Rows.__init__, "__defaults__", (40,))
    path, right = packed
    assert len(_parts(path)) > 5
    random = np.random.default_rng(0)
    with CachedStore(path, 1 << 30, warm=False) as store:
        for _ in range(50):
            ids = random.integers(0, WORDS, int(random.integers(1, 30))).tolist()
            np.testing.assert_array_equal(_take(store, ids), right[ids])
        common = [3, 999, 3, 500]
        np.testing.assert_array_equal(_take(store, common), right[common])
        before = store.report()
        for _ in range(10):  # what is used stays
            _take(store, [*random.integers(0, WORDS, 20).tolist(), *common])
            read = store.report()["rows_read"]
            _take(store, common)
            assert store.report()["rows_read"] == read
        assert store.report()["shards_verified"] == before["shards_verified"]
        packed_rows, _ = store.rows(EMBEDDING, np.array([0], np.int32))
        assert packed_rows.rows == 40
        every = random.permutation(WORDS).tolist()  # a step longer than there is room for
        np.testing.assert_array_equal(_take(store, every), right[every])


def test_the_embedding_takes_no_memory_unless_it_is_the_head_too(packed: tuple[Path, np.ndarray]) -> None:
    path, _ = packed
    with Store(path) as kept:
        every = {s.name: quant.nbytes(s.layout, s.rows, s.cols) for s in kept.shards() if s.kind == "dense"}
    with CachedStore(path, 1 << 30, warm=False) as store:
        kept_rows = store._dense.rows
        assert kept_rows is not None
        assert store.dense_bytes == sum(every.values()) - every[EMBEDDING] + kept_rows.nbytes
        verified = store.report()["shards_verified"]
        _take(store, [0])
        assert 1 <= store.report()["shards_verified"] - verified <= 2  # its weights' shard and its scales'


def test_tied_embeddings_are_in_memory_whole(tmp_path: Path) -> None:
    source = folders.write(tmp_path / "src", mxfp4=True, tie_word_embeddings=True)
    path = pack(source, tmp_path / "m.kbm")
    right = _embedding(source, "int8")
    with CachedStore(path, 1 << 30, warm=False) as store:
        assert store._dense.rows is None
        whole, places = store.rows(EMBEDDING, np.array([5, 191], np.int32))
        assert whole is store.dense(EMBEDDING) and places.tolist() == [5, 191]
        np.testing.assert_array_equal(quant.unpack(whole)[0], right)
    with Store(path) as kept:
        assert HEAD not in {shard.name for shard in kept.shards()}


def test_a_damaged_part_is_mended_before_a_row_of_it_is_used(
    model: Path, packed: tuple[Path, np.ndarray]
) -> None:
    part = _parts(model)[2]
    _spoil(model, part, part.nbytes - 1)
    every = list(range(WORDS))
    for mended in (1, 0):  # in the file as well
        with CachedStore(model, 1 << 30, warm=False) as store:
            np.testing.assert_array_equal(_take(store, every), packed[1])
            assert store.report()["shards_mended"] == mended


def test_a_damaged_part_without_a_source_is_never_used(
    model: Path, packed: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    with Store(model, writable=True) as kept:
        kept.set_meta({"source": str(tmp_path / "gone")})
    _spoil(model, _parts(model)[0], 4000)
    last = WORDS * 9 // 10
    with CachedStore(model, 1 << 30, warm=False) as store:
        for _ in range(2):
            with pytest.raises(CorruptShard, match=r"embed_tokens.*kb model pack"):
                _take(store, [last, 0])
            np.testing.assert_array_equal(_take(store, [last]), packed[1][[last]])


def test_a_part_on_scattered_pages_is_kept_in_memory(model: Path, packed: tuple[Path, np.ndarray]) -> None:
    part = _parts(model)[1]
    with Store(model, writable=True) as store:
        data = store.connection.execute("SELECT data FROM shards WHERE id = ?", (part.id,)).get
        store.connection.execute("DELETE FROM shards WHERE id % 3 = 0 AND kind <> 'dense'")
        store.connection.execute("UPDATE shards SET data = zeroblob(10) WHERE id = ?", (part.id,))
        store.connection.execute("UPDATE shards SET data = ? WHERE id = ?", (data, part.id))
    pages = page_map(model)
    parts = _parts(model)
    assert ranges.in_pages(pages, parts)

    mended: list[int] = []

    class Mender:
        def mend(self, shard: Shard, out: quant.Bytes) -> None:
            mended.append(shard.id)
            out[:] = np.frombuffer(data, np.uint8)

    kept = rows.Rows(parts[0], ranges.Ranges(model, pages, parts, Mender()))
    found, places = kept.take(np.arange(WORDS, dtype=np.int32))
    np.testing.assert_array_equal(quant.unpack(found)[0][places], packed[1])
    kept.ranges.close()
    page_size = int.from_bytes(model.read_bytes()[16:18], "big")  # 1 stands for 65,536
    assert mended == ([part.id] if page_size == 4096 else [])  # it lies on one large page


def test_by_rows_or_whole_the_logits_are_the_same(
    packed: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = packed
    found = []
    for most in (None, 4096, 8):
        if most is None:
            monkeypatch.setattr(dense, "in_pages", lambda *_: False)
        else:
            monkeypatch.undo()
            monkeypatch.setattr(rows.Rows.__init__, "__defaults__", (most,))
        with CachedStore(path, 1 << 30) as store:
            assert (store._dense.rows is None) is (most is None)
            found.append(_logits(store))
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


def _logits(store: CachedStore) -> np.ndarray:
    """After a prompt longer than there is room for at first, and after single tokens."""
    model = Model(ModelConfig.from_json(store.config), store, pages=4, threads=1)
    table, tokens = np.arange(4, dtype=np.int32), np.random.default_rng(0).integers(0, WORDS, 60).astype("i4")
    found = []
    for start, end in [(0, 50), *((at, at + 1) for at in range(50, 60))]:
        batch = Batch(
            tokens[start:end], [Segment(end - start, start, table)], np.array([end - start - 1], np.int32)
        )
        found.append(model.forward(batch).copy())
    model.close()
    return np.concatenate(found)
