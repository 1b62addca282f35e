"""Packing: every matrix comes out as the checkpoint says, and a pack that dies goes on."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from kb.errors import Invalid
from kb.llm.local import quant
from kb.llm.local.config import ModelConfig
from kb.llm.local.errors import BadModel, SourceError
from kb.llm.local.layout import make, matrices, released_in_mxfp4
from kb.llm.local.pack import pack, part_of, remake
from kb.llm.local.reader import BlobReader
from kb.llm.local.source import Checkpoint
from kb.llm.local.store import Store, models_in
from kb.llm.local.types import Packed

from . import folders


def _matrix(path: Path, name: str) -> Packed:
    """A matrix put together from its shards."""
    with Store(path) as store:
        shards = [shard for shard in store.shards() if shard.name == name]
    first = shards[0]
    packed = quant.empty(first.layout, first.rows, first.cols)
    reader = BlobReader(path)
    for shard in shards:
        reader.read_into(shard, packed.data[shard.start : shard.start + shard.nbytes])
    reader.close()
    return packed


def _bf16(source: Checkpoint, name: str) -> np.ndarray:
    return (source.read(name).astype(np.uint32) << 16).view(np.float32)


@pytest.mark.parametrize("mxfp4", [False, True])
def test_a_packed_model_holds_the_checkpoints_numbers(tmp_path: Path, mxfp4: bool) -> None:
    source = Checkpoint(folders.write(tmp_path / "src", mxfp4=mxfp4))
    path = pack(source.folder, tmp_path / "m.kbm")
    stem = "model.layers.1.mlp.experts."
    weights, bias = quant.unpack(_matrix(path, stem + "5.gate_up_proj"))
    np.testing.assert_array_equal(bias, _bf16(source, stem + "gate_up_proj_bias")[5])
    if mxfp4:
        blocks = source.read(stem + "gate_up_proj_blocks")[5]
        scales = source.read(stem + "gate_up_proj_scales")[5]
        codes = np.stack([blocks & 15, blocks >> 4], axis=-1).reshape(*scales.shape, 32)
        right = (quant.FP4[codes] * np.exp2(scales.astype(np.float32) - 127)[..., None]).reshape(
            weights.shape
        )
        np.testing.assert_array_equal(weights, right)
    else:
        right = _bf16(source, stem + "gate_up_proj")[5].T
        step = np.abs(right).reshape(len(right), -1, 32).max(axis=2, keepdims=True) / 63
        assert (np.abs(weights - right).reshape(len(right), -1, 32) <= step).all()
    norm, _ = quant.unpack(_matrix(path, "model.norm.weight"))
    np.testing.assert_array_equal(norm[0], _bf16(source, "model.norm.weight"))
    router, _ = quant.unpack(_matrix(path, "model.layers.2.mlp.router.weight"))
    np.testing.assert_array_equal(router, _bf16(source, "model.layers.2.mlp.router.weight"))


def test_the_default_layout_follows_the_source(tmp_path: Path) -> None:
    for mxfp4, layout in ((True, "mxfp4"), (False, "int8")):
        folder = folders.write(tmp_path / layout, mxfp4=mxfp4)
        assert released_in_mxfp4(Checkpoint(folder)) is mxfp4
        with Store(pack(folder, tmp_path / f"{layout}.kbm")) as store:
            assert store.layout == layout
            assert store.meta["chat_template.jinja"] == "{{ messages }}"
            errors = {shard.kind: shard.relative_error for shard in store.shards()}
        assert (errors["gate_up"] is None) is mxfp4  # 4-bit blocks are kept exactly


def test_packing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = folders.write(tmp_path / "src", mxfp4=True)
    hashes = []
    for name in ("a.kbm", "b.kbm"):
        with Store(pack(folder, tmp_path / name, layout="int8")) as store:
            hashes.append([(shard.name, shard.sha256) for shard in store.shards()])
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize("old", [False, True])
def test_a_pack_that_was_killed_goes_on(tmp_path: Path, old: bool) -> None:
    """old: begun before shards had a checksum."""
    folder = folders.write(tmp_path / "src")
    whole = pack(folder, tmp_path / "whole.kbm")
    out, seen = tmp_path / "m.kbm", 0

    def die(_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(folder, out, tell=die)
    assert not out.exists() and not models_in(tmp_path)[1:]
    if old:
        with Store(part_of(out), writable=True) as store:
            store.connection.execute("ALTER TABLE shards DROP COLUMN checksum")
    with Store(part_of(out)) as store:
        assert len(store.shards()) == 20 and not store.complete
        with pytest.raises(BadModel, match="kb model pack"):
            store.require_complete()
    told: list[str] = []
    pack(folder, out, tell=lambda progress: told.append(progress.what))
    with Store(out) as store, Store(whole) as reference:
        assert store.complete
        assert [(s.name, s.sha256) for s in store.shards()] == [
            (s.name, s.sha256) for s in reference.shards()
        ]
        assert all((s.checksum is None) == old for s in store.shards())
        assert len(told) == len(store.shards()) - 20
    assert set(models_in(tmp_path)) == {out, whole}


def test_a_pack_does_not_go_on_with_other_weights(tmp_path: Path) -> None:
    folder, out = folders.write(tmp_path / "src"), tmp_path / "m.kbm"

    def die(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(folder, out, tell=die)
    with pytest.raises(Invalid, match="another layout"):
        pack(folder, out, dense="bf16")
    folders.write(tmp_path / "src", num_hidden_layers=2)
    with pytest.raises(Invalid, match="begun from another model"):
        pack(folder, out)


def test_a_finished_model_is_not_overwritten(tmp_path: Path) -> None:
    folder = folders.write(tmp_path / "src")
    pack(folder, tmp_path / "m.kbm")
    with pytest.raises(Invalid, match="already there"):
        pack(folder, tmp_path / "m.kbm")


def test_large_matrices_are_kept_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folders.write(tmp_path / "src")
    whole = _matrix(pack(folder, tmp_path / "whole.kbm"), "lm_head.weight")
    monkeypatch.setattr("kb.llm.local.pack.PART", 4096)
    path = pack(folder, tmp_path / "parts.kbm")
    with Store(path) as store:
        shards = store.shards()
        assert max(shard.nbytes for shard in shards) == 4096 and any(shard.part for shard in shards)
        again = [shard for shard in shards if shard.name == "lm_head.weight"][-1]
        assert hashlib.sha256(remake(store, again)).digest() == again.sha256
    np.testing.assert_array_equal(_matrix(path, "lm_head.weight").data, whole.data)


def test_the_error_is_that_of_the_whole_matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Checkpoint(folders.write(tmp_path / "src"))
    config = ModelConfig.from_json(source.config)
    embedding = next(m for m in matrices(config, "int8") if m.name == "model.embed_tokens.weight")
    once = make(source, embedding).error
    monkeypatch.setattr("kb.llm.local.layout._ROWS", 64)
    pieces = make(source, embedding).error
    assert once is not None and pieces is not None
    assert pieces.relative == pytest.approx(once.relative) and 0.001 < once.relative < 0.02
    assert pieces.largest == once.largest


@pytest.mark.parametrize("damage", ["no config", "truncated", "lacks a file", "lacks a tensor", "escapes"])
def test_a_damaged_folder_is_named(tmp_path: Path, damage: str) -> None:
    folder = folders.write(tmp_path / "src")
    weights = folder / "model-00001-of-00002.safetensors"
    index = folder / "model.safetensors.index.json"
    if damage == "no config":
        (folder / "config.json").unlink()
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "lacks a file":
        weights.unlink()
    elif damage == "lacks a tensor":
        index.unlink()
        (folder / "model-00002-of-00002.safetensors").unlink()
    else:
        index.write_text('{"weight_map": {"a": "../../etc/passwd"}}')
    with pytest.raises((BadModel, SourceError)) as caught:
        pack(folder, tmp_path / "m.kbm")
    assert str(folder) in caught.value.detail
    assert not (tmp_path / "m.kbm").exists()


def test_a_shape_that_is_not_the_configs_is_refused(tmp_path: Path) -> None:
    folder = folders.write(tmp_path / "src")
    config = (folder / "config.json").read_text().replace('"vocab_size": 192', '"vocab_size": 224')
    (folder / "config.json").write_text(config)
    with pytest.raises(BadModel, match=r"embed_tokens.*has shape"):
        pack(folder, tmp_path / "m.kbm")


def test_packing_streams(tmp_path: Path) -> None:
    """Memory for a few matrices, not for the folder."""
    shape = {"num_hidden_layers": 2, "num_local_experts": 32, "hidden_size": 256, "intermediate_size": 256}
    folder = folders.write(tmp_path / "src", **shape)
    size = sum(file.stat().st_size for file in folder.iterdir())
    tracemalloc.start()
    pack(folder, tmp_path / "m.kbm")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 25e6 and peak < size / 2


def test_large_dense_matrices_are_made_piece_by_piece(tmp_path: Path) -> None:
    """The output head of the real model is 2.3 GB as float32, and two matrices are made at once."""
    source = Checkpoint(
        folders.write(tmp_path / "src", vocab_size=30_000, hidden_size=512, num_hidden_layers=1)
    )
    config = ModelConfig.from_json(source.config)
    embedding = next(
        matrix for matrix in matrices(config, "int8") if matrix.name == "model.embed_tokens.weight"
    )
    tracemalloc.start()
    made = make(source, embedding)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert made.error is not None
    assert peak < 0.9 * 4 * 30_000 * 512  # less than the matrix itself as float32
