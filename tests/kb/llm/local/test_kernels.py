"""Each kernel against the same arithmetic in numpy; every path and layout against each other, to the bit."""

from __future__ import annotations

import ctypes
from itertools import product

import numpy as np
import pytest

from kb.llm.local import quant, steps
from kb.llm.local.kernels import activations, attend, matmul, route, rows, run, vectors
from kb.llm.local.kernels.compile import AVX2, VNNI, Library, paths
from kb.llm.local.kernels.emit import new_module
from kb.llm.local.kernels.pool import Pool, Program
from kb.llm.local.types import Packed

COLS = 96
# 216 tiles, five to a work item: few tokens take them side by side, with one or more left, and the last is not full
HEIGHT = 6900


class Built:
    """The kernels of a small shape, and a pool to run single steps with."""

    def __init__(
        self, path: str, cpu: str | None = None, features: str | None = None, threads: int = 2
    ) -> None:
        module = new_module("test")
        run.emit(module)
        for acts, layout in product(("q8", "f32"), ("int8", "mxfp4")):
            matmul.emit(module, layout, acts, path)
        for layout in ("bf16", "f32"):
            rows.emit(module, layout)
        vectors.emit(module, eps=1e-5, alpha=1.702, limit=7.0, experts_per_token=3)
        route.emit(module, 10, 3)
        attend.emit(module, heads=4, kv_heads=2, head_dim=32, dtype="f16")
        self.library = Library(module, cpu=cpu, features=features)
        self.pool = Pool(self, threads)  # type: ignore[arg-type]

    def __getitem__(self, name: str) -> int:
        return self.library.address(name)

    def step(self, name: str, *values: int | np.ndarray | None) -> None:
        self.pool.run(Program([(self[name], steps.arguments(*values))]))

    def multiply(self, packed: Packed, source: steps.Source, tokens: int, *, exact: bool) -> np.ndarray:
        out = np.zeros((tokens, -(-packed.rows // 32) * 32), dtype=np.float32)
        done = steps.product(self, source, [(packed, out)], exact=exact)  # type: ignore[arg-type]
        for _, table in done:
            table[:, steps.TOKENS] = tokens
        self.pool.run(Program([step for step, _ in done]))
        return out[:, : packed.rows]


@pytest.fixture(scope="module")
def built():
    kernels = {path: Built(path) for path in paths()}
    yield kernels
    for each in kernels.values():
        each.pool.close()


def _activations(tokens: int, seed: int = 0) -> tuple[steps.Source, np.ndarray, np.ndarray]:
    """A source in both forms; its float32 values, and those its records stand for."""
    random = np.random.default_rng(seed)
    values = random.standard_normal((tokens, COLS)).astype(np.float32)
    grouped = values.reshape(tokens, -1, 32)
    scale = np.abs(grouped).max(axis=2, keepdims=True) / np.float32(127)
    whole = np.rint(grouped / scale).astype(np.int8)
    records = np.zeros((tokens, COLS // 32, activations.RECORD), dtype=np.uint8)
    records[:, :, :32] = whole.view(np.uint8)
    records[:, :, 32:36] = scale.astype(np.float32).view(np.uint8)
    corrections = -128 * whole.sum(axis=2, dtype=np.int32)
    records[:, :, 36:40] = corrections[..., None].view(np.uint8)
    back = (whole * scale).reshape(tokens, COLS)
    return steps.Source(values, records.reshape(tokens, -1)), values, back


def _released(height: int, layout: str) -> Packed:
    random = np.random.default_rng(2)
    blocks = random.integers(0, 256, (height, COLS // 32, 16), dtype=np.uint8)
    scales = random.integers(118, 126, (height, COLS // 32), dtype=np.uint8)
    bias = random.standard_normal(height).astype(np.float32)
    return quant.pack_mxfp4(blocks, scales, bias, layout)


@pytest.mark.parametrize("path", paths())
@pytest.mark.parametrize("layout", ["int8", "mxfp4", "bf16", "f32"])
@pytest.mark.parametrize("tokens", [1, 2, 3, 5, 13, 31])
def test_products(built, path: str, layout: str, tokens: int) -> None:
    if layout in ("int8", "mxfp4"):
        packed = _released(HEIGHT, layout)
    else:
        packed = quant.pack(
            np.random.default_rng(4).standard_normal((21, COLS)).astype(np.float32), None, layout
        )
    matrix, bias = quant.unpack(packed)
    source, values, back = _activations(tokens)
    for exact in (True, False):
        quantised = layout in ("int8", "mxfp4") and not exact
        expected = (back if quantised else values).astype(np.float64) @ matrix.astype(np.float64).T + bias
        found = built[path].multiply(packed, source, tokens, exact=exact)
        np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("tokens", [1, 3, 31])
def test_paths_layouts_and_company_change_no_bit(built, tokens: int) -> None:
    source, _, _ = _activations(tokens)
    results = [
        kernels.multiply(_released(HEIGHT, layout), source, tokens, exact=False)
        for kernels, layout in product(built.values(), ("int8", "mxfp4"))
    ]
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)
    alone = np.concatenate(
        [
            built["plain"].multiply(_released(HEIGHT, "int8"), _one(source, token), 1, exact=False)
            for token in range(tokens)
        ]
    )
    np.testing.assert_array_equal(results[0], alone)


def _one(source: steps.Source, token: int) -> steps.Source:
    return steps.Source(*(array[token : token + 1] for array in (source._floats, source._records)))


@pytest.mark.skipif(VNNI not in paths(), reason="needs an x86 CPU of the AVX-512 kind to compare with")
def test_kernels_compiled_for_an_older_cpu_give_the_same_bits(built) -> None:
    older = Built(AVX2, cpu="haswell", features="", threads=1)
    source, _, _ = _activations(7)
    for layout in ("int8", "mxfp4"):
        packed = _released(64, layout)
        np.testing.assert_array_equal(
            older.multiply(packed, source, 7, exact=False),
            built["vnni"].multiply(packed, source, 7, exact=False),
        )
    older.pool.close()


def test_products_add_to_what_is_there(built) -> None:
    source, _, _ = _activations(2)
    packed = _released(64, "int8")
    once = built["plain"].multiply(packed, source, 2, exact=True)
    out = np.ones((2, 64), dtype=np.float32)
    done = steps.product(built["plain"], source, [(packed, out)], exact=True, add=True)
    for _, table in done:
        table[:, steps.TOKENS] = 2
    built["plain"].pool.run(Program([step for step, _ in done]))
    np.testing.assert_allclose(out, 1 + once, rtol=1e-6)


def test_norm_writes_floats_and_records(built) -> None:
    random = np.random.default_rng(5)
    x, weight = (random.standard_normal(shape).astype(np.float32) for shape in ((4, COLS), (COLS,)))
    x[1, 32:64] = 0  # a block of zeros has scale 0
    taken = np.array([2, 1], dtype=np.int32)
    out, records = np.zeros((2, COLS), np.float32), np.zeros((2, COLS // 32 * activations.RECORD), np.uint8)
    built["plain"].step("norm", 2, taken, x, weight, COLS // 32, out, records)
    expected = x[taken] / np.sqrt((x[taken] ** 2).mean(axis=1, keepdims=True) + 1e-5) * weight
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)
    parts = records.reshape(2, -1, activations.RECORD)
    whole, scale = parts[:, :, :32].view(np.int8), parts[:, :, 32:36].copy().view(np.float32)
    assert (np.abs(whole * scale - expected.reshape(2, -1, 32)) <= scale / 2 + 1e-6).all()
    np.testing.assert_array_equal(
        parts[:, :, 36:40].copy().view(np.int32)[..., 0], -128 * whole.sum(axis=2, dtype=np.int32)
    )
    assert not whole[1, 1].any()


def test_gated_activation(built) -> None:
    source = (np.random.default_rng(6).standard_normal((3, 2 * COLS)) * 8).astype(np.float32)
    out = np.zeros((3, COLS), np.float32)
    built["plain"].step("gate", 3, 2, 2, COLS // 32, source, out, None)
    gate, up = (
        np.minimum(source[:, ::2].astype(np.float64), 7),
        np.clip(source[:, 1::2].astype(np.float64), -7, 7),
    )
    np.testing.assert_allclose(out, (up + 1) * gate / (1 + np.exp(-1.702 * gate)), rtol=1e-5, atol=1e-6)


def test_route_takes_the_largest_and_shares_by_softmax(built) -> None:
    logits = (np.random.default_rng(7).standard_normal((6, 10)) * 5).astype(np.float32)
    ids, weights = np.zeros((6, 3), np.int32), np.zeros((6, 3), np.float32)
    built["plain"].step("route", 6, logits.copy(), ids, weights)
    expected = np.argsort(-logits, axis=1)[:, :3]
    np.testing.assert_array_equal(ids, expected)
    top = np.exp(np.take_along_axis(logits, expected, 1) - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(weights, top / top.sum(axis=1, keepdims=True), rtol=1e-6)


def test_combine_weighs_the_experts_rows(built) -> None:
    random = np.random.default_rng(8)
    source, weights = (
        random.standard_normal((6, COLS)).astype(np.float32),
        random.random((2, 3)).astype(np.float32),
    )
    slots = np.array([[5, 0, 3], [1, 2, 4]], dtype=np.int32)
    out = np.ones((2, COLS), np.float32)
    built["plain"].step("combine", 2, 2, 2, COLS // 32, slots, weights, source, out)
    np.testing.assert_allclose(
        out, 1 + (source[slots] * weights[..., None]).sum(axis=1), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("layout", ["int8", "bf16", "f32"])
def test_embedding_rows(built, layout: str) -> None:
    table = quant.pack(np.random.default_rng(9).standard_normal((70, COLS)).astype(np.float32), None, layout)
    at = quant.sections(layout, 70, COLS)
    ids, out = np.array([69, 0, 33], np.int32), np.zeros((3, COLS), np.float32)
    built["plain"].step(f"embed_{layout}", 3, ids, table.data, table.data[at.scales :], COLS // 32, out)
    np.testing.assert_array_equal(out, quant.unpack(table)[0][ids])


def test_threads_wake_after_sleep_and_end(built) -> None:
    import time

    kernels = Built("plain", threads=3)
    source, _, _ = _activations(1)
    packed = _released(300, "int8")
    first = kernels.multiply(packed, source, 1, exact=False)
    time.sleep(0.05)  # long enough for them to fall asleep
    np.testing.assert_array_equal(kernels.multiply(packed, source, 1, exact=False), first)
    kernels.pool.close()
    kernels.pool.close()
    assert not any(thread.is_alive() for thread in kernels.pool._threads)
    with pytest.raises(RuntimeError, match="closed"):
        kernels.multiply(packed, source, 1, exact=False)


def test_unknown_kernel_names_are_refused(built) -> None:
    with pytest.raises(KeyError):
        built["plain"].library.address("nothing")
    assert ctypes.c_void_p(built["plain"]["norm"]).value
