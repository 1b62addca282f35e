"""How weight matrices lie in memory, and the way there and back.

Four layouts of a matrix [rows, cols], each three sections: weights, scales, bias (float32, always there).

int8   a tile is 32 rows. For each tile, each 32 inputs (a block), each 4 of them: 32 rows x 4 bytes, so that
       one 64-byte load is 16 rows x 4 inputs, as `vpdpbusd` wants them. A byte is the weight + 128. One
       scale per row and block, a power of two kept as its exponent + 127 (float32 bits >> 23).
mxfp4  the same tiles at half the bytes: the low nibble is row r, the high nibble row r + 16. Nibbles are the
       released fp4 codes. Scales are the released exponents less one, because the kernels look codes up as
       twice their value (0 1 2 3 4 6 8 12): the same integers and scales as the matrix expanded to int8.
bf16   row after row, 16 bits a weight (the upper half of float32).
f32    row after row, float32: norms, sinks, and tests.

Rows of int8 and mxfp4 are padded with zeros to whole tiles. Exponents under -126 read as zero: no real
weight is that small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kb.llm.local.config import BLOCK
from kb.llm.local.errors import BadModel
from kb.llm.local.types import Packed

TILE = 32  # rows of a tile
ALIGN = 64  # bytes; sections and buffers start at multiples of it
LAYOUTS = ("int8", "mxfp4", "bf16", "f32")
FP4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], dtype=np.float32)
FP4_DOUBLED = (FP4 * 2).astype(np.int8)

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
_CHUNK = 4096  # rows packed at a time: a few hundred MB of float32 at most


@dataclass(frozen=True)
class Sections:
    """Where the parts of a packed matrix lie: byte offsets and sizes."""

    weights: int
    weights_bytes: int
    scales: int
    scales_bytes: int
    bias: int
    bias_bytes: int
    nbytes: int


def sections(layout: str, rows: int, cols: int) -> Sections:
    """The sections of a matrix; BadModel for a layout unknown or a width it cannot hold."""
    if layout not in LAYOUTS:
        raise BadModel(f"unknown weight layout {layout!r}; known: {', '.join(LAYOUTS)}")
    tiled = layout in ("int8", "mxfp4")
    if tiled and cols % BLOCK:
        raise BadModel(f"a {layout} matrix needs a multiple of {BLOCK} columns, not {cols}")
    padded = _up(rows, TILE) if tiled else rows
    weights = {
        "int8": padded * cols,
        "mxfp4": padded * cols // 2,
        "bf16": 2 * rows * cols,
        "f32": 4 * rows * cols,
    }
    scales = padded * (cols // BLOCK) if tiled else 0
    at_scales = _up(weights[layout], ALIGN)
    at_bias = at_scales + _up(scales, ALIGN)
    bias = 4 * _up(rows, TILE)
    return Sections(0, weights[layout], at_scales, scales, at_bias, bias, at_bias + _up(bias, ALIGN))


def nbytes(layout: str, rows: int, cols: int) -> int:
    """Bytes of a packed matrix, all sections together (a multiple of 64)."""
    return sections(layout, rows, cols).nbytes


def aligned(size: int) -> Bytes:
    """An uninitialised buffer of `size` bytes whose first byte sits at a multiple of 64."""
    raw = np.empty(size + ALIGN, dtype=np.uint8)
    start = -raw.ctypes.data % ALIGN
    return raw[start : start + size]


def empty(layout: str, rows: int, cols: int) -> Packed:
    """A matrix with room but no values yet, for `fill` or for a reader's bytes."""
    return Packed(layout, rows, cols, aligned(nbytes(layout, rows, cols)))


def pack(weights: Floats, bias: Floats | None, layout: str) -> Packed:
    """A float32 matrix [rows, cols] in `layout`. For mxfp4 every weight must already be an fp4 value times a scale."""
    packed = empty(layout, *weights.shape)
    for start in range(0, len(weights), _CHUNK):
        fill(packed, start, weights[start : start + _CHUNK])
    set_bias(packed, bias)
    return packed


def set_bias(packed: Packed, bias: Floats | None) -> None:
    """Write the bias section (None: zeros)."""
    part = _bias(packed)
    part[:] = 0
    if bias is not None:
        part[: packed.rows] = bias


def fill(packed: Packed, start: int, weights: Floats) -> None:
    """Write rows `start`… of a matrix piece by piece; `start` and, but for the last piece, its rows in whole tiles."""
    weights = np.ascontiguousarray(weights, dtype=np.float32)
    if packed.layout == "f32":
        _dense(packed, np.float32)[start : start + len(weights)] = weights
    elif packed.layout == "bf16":
        _dense(packed, np.uint16)[start : start + len(weights)] = bf16(weights)
    else:
        padded = np.zeros((_up(len(weights), TILE), packed.cols), dtype=np.float32)
        padded[: len(weights)] = weights
        codes, exponents = _to_int8(padded) if packed.layout == "int8" else _to_fp4(padded)
        put(packed, start, codes, exponents)


def pack_mxfp4(blocks: Bytes, scales: Bytes, bias: Floats | None, layout: str) -> Packed:
    """A released matrix: blocks [rows, cols/32, 16] (low nibble first), scales [rows, cols/32]; to 'mxfp4' or 'int8'.

    Exact: both layouts hold the same integers and scales.
    """
    rows, groups, _ = blocks.shape
    if scales.shape != (rows, groups):
        raise BadModel(f"mxfp4 scales {scales.shape} do not fit blocks {blocks.shape}")
    if (scales == 255).any():
        raise BadModel("an mxfp4 scale is NaN: the checkpoint is damaged")
    packed = empty(layout, rows, groups * BLOCK)
    for start in range(0, rows, _CHUNK):
        part = blocks[start : start + _CHUNK]
        count = _up(len(part), TILE)
        codes = np.zeros((count, groups, 16, 2), dtype=np.uint8)
        np.bitwise_and(part, 15, out=codes[: len(part), :, :, 0])
        np.right_shift(part, 4, out=codes[: len(part), :, :, 1])
        exponents = np.zeros((count, groups), dtype=np.uint8)
        source = scales[start : start + _CHUNK]
        exponents[: len(part)] = source - (source > 0)
        values = codes.reshape(count, groups * BLOCK)
        put(
            packed,
            start,
            values if layout == "mxfp4" else FP4_DOUBLED[values].view(np.uint8) + 128,
            exponents,
        )
    set_bias(packed, bias)
    return packed


def unpack(packed: Packed) -> tuple[Floats, Floats]:
    """The float32 matrix [rows, cols] and bias [rows] that the kernels in effect multiply by."""
    bias = _bias(packed)[: packed.rows].copy()
    if packed.layout == "f32":
        return _dense(packed, np.float32).copy(), bias
    if packed.layout == "bf16":
        return from_bf16(_dense(packed, np.uint16).view(np.uint16)), bias
    at = sections(packed.layout, packed.rows, packed.cols)
    blocks = packed.cols // BLOCK
    raw = packed.data[: at.weights_bytes]
    if packed.layout == "int8":
        tiles = raw.reshape(-1, blocks, 8, 32, 4).view(np.int8) ^ np.int8(-128)
        integers = tiles.transpose(0, 3, 1, 2, 4)
    else:
        nibbles = raw.reshape(-1, blocks, 8, 16, 4)
        both = np.stack([nibbles & 15, nibbles >> 4], axis=3).reshape(-1, blocks, 8, 32, 4)
        integers = FP4_DOUBLED[both.transpose(0, 3, 1, 2, 4)]
    exponents = (
        packed.data[at.scales : at.scales + at.scales_bytes].reshape(-1, blocks, TILE).transpose(0, 2, 1)
    )
    scales = (exponents.astype(np.uint32) << 23).view(np.float32)
    values = integers.reshape(-1, TILE, blocks, BLOCK) * scales[..., None]
    return values.reshape(-1, packed.cols)[: packed.rows].astype(np.float32), bias


def put(packed: Packed, start: int, codes: Bytes, exponents: Bytes) -> None:
    """Lay whole tiles of codes [rows, cols] and exponents [rows, cols/32] into a tiled matrix from row `start` on."""
    if start % TILE or len(codes) % TILE:
        raise ValueError("tiled matrices are filled in whole tiles")
    at = sections(packed.layout, packed.rows, packed.cols)
    blocks = packed.cols // BLOCK
    tiles = slice(start // TILE, (start + len(codes)) // TILE)
    ordered = codes.reshape(-1, TILE, blocks, 8, 4).transpose(0, 2, 3, 1, 4)
    raw = packed.data[: at.weights_bytes]
    if packed.layout == "int8":
        raw.reshape(-1, blocks, 8, TILE, 4)[tiles] = ordered
    else:
        raw.reshape(-1, blocks, 8, 16, 4)[tiles] = ordered[:, :, :, :16] | (ordered[:, :, :, 16:] << 4)
    scales = packed.data[at.scales : at.scales + at.scales_bytes].reshape(-1, blocks, TILE)
    scales[tiles] = exponents.reshape(-1, TILE, blocks).transpose(0, 2, 1)


def bf16(values: Floats) -> NDArray[np.uint16]:
    """Round to nearest even, as the upper 16 bits of float32."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bf16(bits: NDArray[np.uint16]) -> Floats:
    """The float32 numbers that 16-bit patterns stand for."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _to_int8(weights: Floats) -> tuple[Bytes, Bytes]:
    grouped = weights.reshape(len(weights), -1, BLOCK)
    largest = np.abs(grouped).max(axis=2)
    if not np.isfinite(largest).all():
        raise BadModel("a weight is not a number: the checkpoint is damaged")
    # the smallest power of two that keeps the largest weight within 127 steps
    exponents = np.clip(np.ceil(np.log2(np.maximum(largest, 1e-37) / np.float32(127.0))) + 127, 1, 254)
    exponents = exponents.astype(np.uint8)
    scales = (exponents.astype(np.uint32) << 23).view(np.float32)
    steps = np.clip(np.rint(grouped / scales[..., None]), -127, 127).astype(np.int8)
    return (steps.view(np.uint8) + 128).reshape(weights.shape), exponents


def _to_fp4(weights: Floats) -> tuple[Bytes, Bytes]:
    grouped = weights.reshape(len(weights), -1, BLOCK)
    largest = np.abs(grouped).max(axis=2)
    _, power = np.frexp(largest)  # largest = m * 2**power, m in [0.5, 1)
    first = np.clip(power + 124, 1, 252)  # released exponent with the largest weight in [4, 8) steps
    codes = np.zeros(grouped.shape, dtype=np.uint8)
    exponents = np.zeros(largest.shape, dtype=np.uint8)
    done = largest == 0
    for shift in range(4):  # a block whose largest is 0.5…6 steps: its scale is one of these
        exponent = np.clip(first + shift, 1, 254)
        scaled = grouped / (exponent.astype(np.uint32) << 23).view(np.float32)[..., None]
        code = np.searchsorted(FP4[:8], np.abs(scaled)).clip(0, 7).astype(np.uint8)
        exact = (FP4[code] == np.abs(scaled)).all(axis=2) & ~done
        codes[exact] = code[exact] | (np.signbit(scaled[exact]) << 3)
        exponents[exact] = exponent[exact] - 1
        done |= exact
    if not done.all():
        raise BadModel("these weights are not 4-bit blocks; pack them as int8")
    return codes.reshape(weights.shape), exponents


def _bias(packed: Packed) -> Floats:
    at = sections(packed.layout, packed.rows, packed.cols)
    return packed.data[at.bias : at.bias + at.bias_bytes].view(np.float32)


def _dense(packed: Packed, kind: type[np.float32] | type[np.uint16]) -> NDArray[np.float32]:
    at = sections(packed.layout, packed.rows, packed.cols)
    return packed.data[: at.weights_bytes].view(kind).reshape(packed.rows, packed.cols)  # type: ignore[return-value]


def _up(value: int, step: int) -> int:
    return -(-value // step) * step
