"""The file, and the readers that fetch shards from it."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

import apsw
import numpy as np
import pytest

from kb.llm.local import quant
from kb.llm.local.errors import BadModel, CorruptShard
from kb.llm.local.pack import pack
from kb.llm.local.pages import PageMap
from kb.llm.local.reader import BlobReader, PageReader, Readers, page_map
from kb.llm.local.resident import resident
from kb.llm.local.store import Shard, Store, models_in

from . import folders


@pytest.fixture(scope="module", params=[4096, 65536])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed model; with small pages its shards span many of them, with large ones most fit into a leaf."""
    folder = tmp_path_factory.mktemp("model")
    return pack(folders.write(folder / "src"), folder / "m.kbm", page_size=request.param)


def _shards(path: Path) -> list[Shard]:
    with Store(path) as store:
        return store.shards()


def _direct(path: Path) -> PageReader:
    try:
        return PageReader(path, page_map(path))
    except OSError:
        pytest.skip("this file system cannot read past the page cache")


@pytest.fixture(params=[False, True])
def cached(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether readers believe the page cache to hold what they want; it need not."""
    there: bool = request.param
    monkeypatch.setattr("kb.llm.local.reader.resident", lambda *_: there)
    return there


def test_all_readers_give_the_bytes_that_were_hashed(model: Path, cached: bool) -> None:
    readers = (_direct(model), PageReader(model, page_map(model), direct=False), BlobReader(model))
    for shard in _shards(model):
        for reader in readers:
            out = np.zeros(shard.nbytes, np.uint8)
            reader.read_into(shard, out)
            assert hashlib.sha256(out).digest() == shard.sha256, shard
    for reader in readers:
        reader.close()


@pytest.mark.parametrize("state", ["there", "forgotten", "half there"])
def test_what_the_page_cache_holds_is_taken_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    source = folders.write(tmp_path / "src", hidden_size=256, intermediate_size=256)
    model = pack(source, tmp_path / "m.kbm", page_size=4096)
    shard = next(shard for shard in _shards(model) if shard.kind == "gate_up")
    reader, fetched = _direct(model), 0
    fetch = reader._fetch

    def counted(page: int, length: int) -> bool:
        nonlocal fetched
        fetched += 1
        return fetch(page, length)

    monkeypatch.setattr(reader, "_fetch", counted)
    extent = reader._pages.extent(shard.id, shard.nbytes)
    assert extent is not None and extent.rest > 8 * 4096
    os.sync()
    if state != "there":
        start = (extent.first + (2 if state == "half there" else -1)) * 4096
        with model.open("rb") as file:
            os.posix_fadvise(file.fileno(), start, extent.rest, os.POSIX_FADV_DONTNEED)
    out = np.zeros(shard.nbytes, np.uint8)
    if state == "there" and not resident(reader._fd, (extent.first - 1) * 4096, extent.rest):
        pytest.skip("this system does not say what it has in memory")
    reader.read_into(shard, out)
    reader.close()
    assert hashlib.sha256(out).digest() == shard.sha256
    assert fetched == (state != "there")


def test_shards_are_read_past_sqlite_where_it_laid_them_in_a_row(model: Path, cached: bool) -> None:
    direct = _direct(model)
    direct._buffered.read_into = None  # type: ignore[assignment, method-assign]  # would raise if it were needed
    for shard in _shards(model):
        direct.read_into(shard, np.zeros(shard.nbytes, np.uint8))
    direct.close()


def test_shards_on_scattered_pages_are_still_read(tmp_path: Path, cached: bool) -> None:
    model = pack(folders.write(tmp_path / "src"), tmp_path / "m.kbm", page_size=4096)
    with Store(model, writable=True) as store:
        # Free pages here and there, then rows that take them up.
        store.connection.execute("DELETE FROM shards WHERE id % 3 = 0 AND kind <> 'dense'")
        store.connection.execute("UPDATE shards SET data = zeroblob(nbytes) || x'' WHERE id % 3 = 1")
        data = np.random.default_rng(0).integers(0, 256, 30000, dtype=np.uint8)
        last = store.shards()[-1]
        store.connection.execute(
            "UPDATE shards SET data = ?, nbytes = 30000 WHERE id = ?", (data.data, last.id)
        )
    direct, out = _direct(model), np.zeros(30000, np.uint8)
    shard = _shards(model)[-1]
    extent = direct._pages.extent(shard.id, shard.nbytes)
    assert extent is not None and not direct._read(
        extent, out, extent.head, 0, 1000
    )  # they are scattered indeed
    direct.read_into(shard, out)
    direct.close()
    np.testing.assert_array_equal(out, data)


def test_a_chain_steps_over_the_page_sqlite_keeps_for_locks(tmp_path: Path, cached: bool) -> None:
    """At 1 GiB one page is never used; a file with holes gets there without writing a gigabyte."""
    model = pack(folders.write(tmp_path / "src"), tmp_path / "m.kbm", page_size=65536)
    data = np.random.default_rng(0).integers(0, 256, 3 << 20, dtype=np.uint8)
    pages = (1 << 30) // 65536 - 20
    with model.open("r+b") as file:  # SQLite believes the page count in its header when the counters agree
        file.truncate(pages * 65536)
        file.seek(28)
        file.write(pages.to_bytes(4, "big"))
    with Store(model, writable=True) as store:
        last = store.shards()[-1]
        store.connection.execute(
            "UPDATE shards SET data = ?, nbytes = ? WHERE id = ?", (data.data, data.nbytes, last.id)
        )
    shard = _shards(model)[-1]
    direct = _direct(model)
    extent = direct._pages.extent(shard.id, shard.nbytes)
    assert extent is not None and len(direct._pages.runs(extent)) == 2
    direct._buffered.read_into = None  # type: ignore[assignment, method-assign]
    out = np.zeros(data.nbytes, np.uint8)
    direct.read_into(shard, out)
    direct.close()
    np.testing.assert_array_equal(out, data)


def test_a_reader_names_a_shard_that_is_too_short(model: Path) -> None:
    reader, shard = BlobReader(model), _shards(model)[0]
    with pytest.raises(CorruptShard, match=r"embed_tokens.*bytes long"):
        reader.read_into(shard, np.zeros(shard.nbytes + 1, np.uint8))
    reader.close()


def test_a_file_system_without_direct_reads_is_read_buffered(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "O_DIRECT", os.O_DIRECTORY)  # the same refusal: an OSError from open
    assert Readers(model, direct=True).kind == "buffered"


@pytest.mark.parametrize("content", [b"", b"not a database at all, but long enough to be looked at" * 20])
def test_what_is_no_packed_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.kbm"
    path.write_bytes(content)
    with pytest.raises(BadModel, match=r"x\.kbm"):
        Store(path)
    assert models_in(tmp_path) == []


def test_a_missing_file_and_another_format_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"does not exist.*kb model pack"):
        Store(tmp_path / "none.kbm")
    with Store(tmp_path / "new.kbm", writable=True) as store:
        store.set_meta({"format": "99"})
    with pytest.raises(BadModel, match="format '99'"):
        Store(tmp_path / "new.kbm")


def test_a_page_map_of_garbage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"SQLite format 3\0" + bytes([16, 0, 1, 1, 0]) + bytes(9000))
    with path.open("rb") as file, pytest.raises(BadModel):
        PageMap(file.fileno(), 2)


def test_the_file_is_plain_sqlite(model: Path) -> None:
    rows = apsw.Connection(str(model), flags=apsw.SQLITE_OPEN_READONLY).execute(
        "SELECT layer, kind, expert, layout, rows, cols, nbytes, length(data) FROM shards WHERE kind = 'down' LIMIT 1"
    )
    layer, kind, expert, layout, height, width, nbytes, length = next(rows)
    assert (layer, kind, expert, layout) == (0, "down", 0, "int8")
    assert nbytes == length == quant.nbytes(layout, height, width)


def test_a_shard_is_overwritten_while_another_thread_reads(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.kbm"
    path.write_bytes(model.read_bytes())
    shard = _shards(path)[0]
    reading = threading.Event()

    def read() -> None:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        with connection.blob_open("main", "shards", "data", shard.id, False):
            reading.set()
            for _ in range(10):
                time.sleep(0.01)
        connection.close()

    reader = threading.Thread(target=read)
    reader.start()
    reading.wait(5)
    with Store(path, writable=True) as store:
        store.overwrite(shard, memoryview(bytes(shard.nbytes)))
    reader.join()
    found = np.ones(shard.nbytes, np.uint8)
    again = BlobReader(path)
    again.read_into(shard, found)
    again.close()
    assert not found.any()
