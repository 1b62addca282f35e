"""Compiled kernels kept on disk: used when all is right, and never otherwise."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest
from llvmlite import ir

from kb.llm.local.cache import CachedStore
from kb.llm.local.config import ModelConfig
from kb.llm.local.kernels import objects
from kb.llm.local.kernels.build import Kernels
from kb.llm.local.kernels.compile import Library, best_path
from kb.llm.local.kernels.emit import new_module
from kb.llm.local.kernels.objects import Objects
from kb.llm.local.model import Model
from kb.llm.local.pack import pack
from kb.llm.local.types import Batch, Segment

from . import folders


def _module(number: int = 42) -> ir.Module:
    """`answer()` gives the number."""
    module = new_module("test")
    kind = ir.IntType(64)
    function = ir.Function(module, ir.FunctionType(kind, []), "answer")
    ir.IRBuilder(function.append_basic_block()).ret(ir.Constant(kind, number))
    return module


def _answer(library: Library) -> int:
    return int(ctypes.CFUNCTYPE(ctypes.c_int64)(library.address("answer"))())


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often something was compiled since the last call."""
    count, verify = 0, llvm.ModuleRef.verify

    def counted(module: llvm.ModuleRef) -> None:
        nonlocal count
        count += 1
        verify(module)

    def since() -> int:
        nonlocal count
        found, count = count, 0
        return found

    monkeypatch.setattr(llvm.ModuleRef, "verify", counted)
    return since


def test_the_second_start_compiles_nothing(tmp_path: Path, compilations: Callable[[], int]) -> None:
    kept = Objects(tmp_path / "models" / "kernels")
    assert _answer(Library(_module(), objects=kept)) == 42 and compilations() == 1
    assert _answer(Library(_module(), objects=kept)) == 42 and compilations() == 0
    assert _answer(Library(_module(43), objects=kept)) == 43 and compilations() == 1  # another program
    assert _answer(Library(_module(), objects=kept, features="")) == 42 and compilations() == 1  # processor
    (tmp_path / "models" / "kernels").chmod(0o500)
    with pytest.raises(KeyError):
        Library(_module(), objects=kept).address("no such function")


def test_it_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Library(_module(), objects=Objects(tmp_path / "kernels"))
    finally:
        os.umask(before)
    (file,) = (tmp_path / "kernels").iterdir()
    assert (tmp_path / "kernels").stat().st_mode & 0o777 == 0o700 and file.stat().st_mode & 0o777 == 0o600


def _flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def _linked(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to(file.with_name("elsewhere"))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: _flip(file, 0),
        lambda file: _flip(file, 200),
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:32]),
        lambda file: file.chmod(0o620),
        lambda file: file.parent.chmod(0o777),
        _linked,
    ],
)
def test_on_any_doubt_it_is_compiled_anew(
    tmp_path: Path, compilations: Callable[[], int], spoil: Callable[[Path], None]
) -> None:
    kept = Objects(tmp_path / "kernels")
    Library(_module(), objects=kept)
    (file,) = (tmp_path / "kernels").iterdir()
    spoil(file)
    compilations()
    assert _answer(Library(_module(), objects=kept)) == 42 and compilations() == 1
    (tmp_path / "kernels").chmod(0o700)
    assert _answer(Library(_module(), objects=kept)) == 42 and compilations() == 0  # put right


def test_another_users_file_is_not_run(
    tmp_path: Path, compilations: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Objects(tmp_path / "kernels")
    Library(_module(), objects=kept)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    compilations()
    assert _answer(Library(_module(), objects=kept)) == 42 and compilations() == 1


def test_under_another_name_code_is_not_run(tmp_path: Path, compilations: Callable[[], int]) -> None:
    kept = Objects(tmp_path)
    Library(_module(), objects=kept)
    (other,) = tmp_path.iterdir()
    Library(_module(43), objects=kept)
    name = next(file for file in tmp_path.iterdir() if file != other)
    os.replace(other, name)
    compilations()
    assert _answer(Library(_module(43), objects=kept)) == 43 and compilations() == 1


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path: Path, compilations: Callable[[], int]) -> None:
    (tmp_path / "file").touch()
    kept = Objects(tmp_path / "file" / "kernels")
    for _ in range(2):
        assert _answer(Library(_module(), objects=kept)) == 42 and compilations() == 1


def test_few_are_kept_and_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Objects(tmp_path)
    for number in range(objects._MOST + 3):
        kept.put(f"{number}", b"code")
        os.utime(tmp_path / f"{number}", (number, number))
    assert len(list(tmp_path.iterdir())) == objects._MOST and kept.get("10") == b"code"

    def fails(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(os, "replace", fails)
    kept.put("new", b"code")
    assert kept.get("new") is None and not list(tmp_path.glob(".*"))


def test_kernels_from_disk_compute_the_same(tmp_path: Path, compilations: Callable[[], int]) -> None:
    path = pack(folders.write(tmp_path / "src", mxfp4=True), tmp_path / "m.kbm", page_size=4096)
    found = []
    with CachedStore(path, 1 << 30) as store:
        config = ModelConfig.from_json(store.config)
        for compiled in (1, 0):
            compilations()
            kernels = Kernels(config, best_path(), "f16", Objects(tmp_path / "kernels"))
            assert compilations() == compiled
            model = Model(config, store, pages=2, threads=2, compiled=kernels)
            table, tokens = np.arange(2, dtype=np.int32), np.arange(3, 43, dtype=np.int32)
            found.append(model.forward(Batch(tokens, [Segment(40, 0, table)], np.arange(40, dtype=np.int32))))
            found[-1] = found[-1].copy()
            model.close()
    assert np.isfinite(found[0]).all()
    np.testing.assert_array_equal(found[0], found[1])
