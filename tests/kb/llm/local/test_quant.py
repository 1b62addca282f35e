"""Packed layouts hold the numbers they were given."""

from __future__ import annotations

import numpy as np
import pytest

from kb.llm.local import quant
from kb.llm.local.config import ModelConfig
from kb.llm.local.errors import BadModel
from kb.llm.local.quant_dense import dense_specs
from kb.llm.local.quant_error import pack_error

from . import tiny


def _random(rows: int, cols: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, cols)).astype(np.float32)


def _released(rows: int, groups: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    blocks = random.integers(0, 256, (rows, groups, 16), dtype=np.uint8)
    return blocks, random.integers(100, 130, (rows, groups), dtype=np.uint8)


@pytest.mark.parametrize("rows", [1, 32, 45, 4097])
def test_int8_is_within_half_a_step(rows: int) -> None:
    weights, bias = _random(rows, 64), _random(1, rows)[0]
    back, back_bias = quant.unpack(quant.pack(weights, bias, "int8"))
    largest = np.abs(weights.reshape(rows, -1, 32)).max(axis=2).repeat(32, axis=1)
    assert (
        np.abs(back - weights) <= largest / 127 + 1e-7
    ).all()  # a power-of-two step is at most 2/127 of the largest
    np.testing.assert_array_equal(back_bias, bias)


@pytest.mark.parametrize("layout", ["f32", "bf16"])
def test_plain_layouts_are_lossless_for_their_numbers(layout: str) -> None:
    weights = quant.from_bf16(quant.bf16(_random(33, 50)))
    back, bias = quant.unpack(quant.pack(weights, None, layout))
    np.testing.assert_array_equal(back, weights)
    assert not bias.any()


def test_released_blocks_expand_to_int8_exactly() -> None:
    blocks, scales = _released(70, 3)
    codes = np.stack([blocks & 15, blocks >> 4], axis=-1).reshape(70, 96)
    expected = quant.FP4[codes] * np.exp2(scales.astype(np.float32) - 127).repeat(32, axis=1)
    for layout in ("mxfp4", "int8"):
        packed = quant.pack_mxfp4(blocks, scales, None, layout)
        assert packed.data.nbytes == quant.nbytes(layout, 70, 96)
        assert packed.data.ctypes.data % 64 == 0
        np.testing.assert_array_equal(quant.unpack(packed)[0], expected)


def test_pack_finds_the_fp4_codes_again() -> None:
    blocks, scales = _released(64, 2)
    weights, _ = quant.unpack(quant.pack_mxfp4(blocks, scales, None, "int8"))
    np.testing.assert_array_equal(quant.unpack(quant.pack(weights, None, "mxfp4"))[0], weights)
    with pytest.raises(BadModel, match="int8"):
        quant.pack(_random(32, 32), None, "mxfp4")


def test_filling_in_pieces_gives_the_same_bytes() -> None:
    weights = _random(100, 64)
    whole, pieces = quant.pack(weights, None, "int8"), quant.empty("int8", 100, 64)
    for start in range(0, 100, 32):
        quant.fill(pieces, start, weights[start : start + 32])
    quant.set_bias(pieces, None)
    at = quant.sections("int8", 100, 64)
    np.testing.assert_array_equal(whole.data[: at.scales], pieces.data[: at.scales])
    np.testing.assert_array_equal(quant.unpack(whole)[0], quant.unpack(pieces)[0])


def test_error_report_and_refusals() -> None:
    weights = _random(64, 64)
    error = pack_error(weights, quant.pack(weights, None, "int8"))
    assert 0 < error.relative < 0.02 and error.largest < error.scale / 60
    assert pack_error(weights, quant.pack(weights, None, "f32")).relative == 0
    for bad in (np.nan, np.inf):
        weights[5, 5] = bad
        with pytest.raises(BadModel, match="not a number"):
            quant.pack(weights, None, "int8")
    with pytest.raises(BadModel, match="multiple of 32"):
        quant.sections("int8", 4, 40)
    with pytest.raises(BadModel, match="int9"):
        quant.nbytes("int9", 4, 32)
    blocks, scales = _released(2, 1)
    with pytest.raises(BadModel, match="NaN"):
        quant.pack_mxfp4(blocks, np.full_like(scales, 255), None, "int8")


def test_config_reads_both_ages_of_rope_fields() -> None:
    raw = tiny.build().config.to_dict()
    config = ModelConfig.from_json(raw)
    rope = raw.pop("rope_parameters")
    old = {**raw, "rope_theta": rope.pop("rope_theta"), "rope_scaling": rope}
    assert ModelConfig.from_json(old) == config
    assert config.rope_scaling is not None and config.rope_scaling.original_max_position == 128
    assert config.sliding_layers == (True, False, True, False)
    with pytest.raises(BadModel, match="llama"):
        ModelConfig.from_json({**raw, "model_type": "llama"})
    with pytest.raises(BadModel, match="vocab_size"):
        ModelConfig.from_json({key: value for key, value in raw.items() if key != "vocab_size"})
    with pytest.raises(BadModel, match="multiple of 32"):
        ModelConfig.from_json({**raw, "hidden_size": 50})


def test_dense_specs_name_the_checkpoint_tensors() -> None:
    model = tiny.build()
    names = dict(model.state_dict())
    for spec in dense_specs(ModelConfig.from_json(model.config.to_dict())):
        tensor = names.pop(spec.name)
        assert tensor.reshape(spec.rows, spec.cols).numel() == tensor.numel()
        if spec.bias:
            assert names.pop(spec.bias).shape == (spec.rows,)
    assert all("experts" in name for name in names)


@pytest.mark.parametrize("mxfp4", [False, True])
def test_tiny_checkpoints_load_back_the_same(tmp_path, mxfp4: bool) -> None:  # type: ignore[no-untyped-def]
    from safetensors.torch import load_file

    model = tiny.build(3)
    folder = tiny.save(model, tmp_path, mxfp4=mxfp4)
    stored = {k: v for file in folder.glob("*.safetensors") for k, v in load_file(file).items()}
    for name, tensor in model.state_dict().items():
        if name + "_blocks" in stored:
            found = tiny.expand(stored[name + "_blocks"], stored[name + "_scales"])
        else:
            found = stored[name].float()
        assert (found == tensor).all(), name
