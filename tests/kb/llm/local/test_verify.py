"""`verify` finds every damaged shard and names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from kb.llm.local.errors import BadModel
from kb.llm.local.pack import Progress, pack
from kb.llm.local.store import Store
from kb.llm.local.verify import verify

from . import folders


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return pack(folders.write(tmp_path / "src"), tmp_path / "m.kbm", page_size=4096)


def test_a_right_file_is_right(model: Path) -> None:
    told: list[Progress] = []
    found = verify(model, tell=told.append)
    assert found.complete and found.bad == ()
    assert told[-1].done_bytes == told[-1].total_bytes == found.nbytes > 0


def test_every_damaged_shard_is_named(model: Path) -> None:
    names = [
        "model.layers.0.mlp.experts.2.gate_up_proj",
        "model.layers.2.mlp.experts.7.down_proj",
        "lm_head.weight",
    ]
    with Store(model, writable=True) as store:
        for shard in store.shards():
            if shard.name in names:
                store.overwrite(shard, memoryview(bytes(shard.nbytes)))
        last = store.shards()[-1]
        store.connection.execute(
            "UPDATE shards SET data = x'00' WHERE id = ?", (last.id - 1,)
        )  # too short as well
    found = verify(model)
    assert {shard.name for shard in found.bad} == {*names, "model.layers.2.mlp.experts.7.gate_up_proj"}
    assert "layer 2, expert 7" in str(found.bad[-1])


def test_a_checksum_or_a_hash_that_rotted_is_named(model: Path) -> None:
    with Store(model, writable=True) as store:
        first, second = store.shards()[3:5]
        store.connection.execute("UPDATE shards SET checksum = zeroblob(16) WHERE id = ?", (first.id,))
        store.connection.execute("UPDATE shards SET sha256 = zeroblob(32) WHERE id = ?", (second.id,))
    assert [shard.id for shard in verify(model).bad] == [first.id, second.id]


def test_a_file_without_checksums_is_verified_by_its_hashes(model: Path) -> None:
    with Store(model, writable=True) as store:
        store.connection.execute("ALTER TABLE shards DROP COLUMN checksum")
    assert verify(model).bad == ()
    with Store(model, writable=True) as store:
        shard = store.shards()[7]
        assert shard.checksum is None
        store.overwrite(shard, memoryview(bytes(shard.nbytes)))
    assert [bad.id for bad in verify(model).bad] == [shard.id]


def test_a_missing_part_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kb.llm.local.pack.PART", 4096)
    model = pack(folders.write(tmp_path / "src"), tmp_path / "m.kbm")
    with Store(model, writable=True) as store:
        store.connection.execute("DELETE FROM shards WHERE name = 'lm_head.weight' AND part = 1")
    with pytest.raises(BadModel, match=r"lacks a part of lm_head\.weight"):
        verify(model)


def test_bytes_lost_at_the_end_are_noticed(model: Path) -> None:
    with model.open("r+b") as file:
        file.truncate(model.stat().st_size - 40960)
    try:
        found = verify(model)
    except BadModel as problem:  # SQLite may refuse the whole file, or the shards alone
        assert str(model) in problem.detail
    else:
        assert found.bad
