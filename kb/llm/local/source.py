"""A model folder as released: config, tokenizer and safetensors files, read slice by slice.

Tensors are read with `pread` into memory of our own, never mapped, so that packing a 42 GB folder stays
within a few hundred megabytes. A safetensors file is an 8-byte little-endian length, a JSON header
{name: {dtype, shape, data_offsets}} and the tensors one after another.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kb.llm.local.errors import BadModel, SourceError

_HEADER_LIMIT = 100_000_000  # bytes; the format's own limit
_KINDS: dict[str, type[np.generic]] = {
    "BF16": np.uint16,
    "F16": np.float16,
    "F32": np.float32,
    "U8": np.uint8,
    "I8": np.int8,
}
TEXTS = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "generation_config.json",
)


@dataclass(frozen=True)
class Tensor:
    """Where one tensor lies."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int  # byte offset in the file


class Checkpoint:
    """The tensors of a model folder by name. SourceError when the folder cannot be read, BadModel when it is no model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not folder.is_dir():
            raise SourceError(
                f"{folder} is not a folder. Download the model first: kb model pull REPO_OR_DIR"
            )
        self.texts = {name: _text(folder / name) for name in TEXTS if (folder / name).is_file()}
        if "config.json" not in self.texts:
            raise BadModel(f"{folder} has no config.json, so it is not a model folder.")
        try:
            self.config: dict[str, Any] = json.loads(self.texts["config.json"])
        except ValueError as error:
            raise BadModel(f"{folder / 'config.json'} is not JSON: {error}") from None
        self.tensors: dict[str, Tensor] = {}
        for file in _weight_files(folder):
            self.tensors |= _header(file)

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor; BadModel if the folder has none of that name."""
        return self._find(name).shape

    def read(self, name: str, index: int | None = None, rows: slice | None = None) -> NDArray[Any]:
        """A tensor as stored (bf16 as uint16), or entry `index` of its first axis, or its `rows`."""
        tensor = self._find(name)
        kind = np.dtype(_KINDS[tensor.dtype])
        shape, start = tensor.shape, tensor.start
        if index is not None:
            if not shape or index >= shape[0]:
                raise BadModel(f"{name} in {self.folder} has shape {shape}: no entry {index}")
            start += index * math.prod(shape[1:]) * kind.itemsize
            shape = shape[1:]
        elif rows is not None:
            first, last, _ = rows.indices(shape[0])
            start += first * math.prod(shape[1:]) * kind.itemsize
            shape = (last - first, *shape[1:])
        out = np.empty(shape, kind)
        _read_into(tensor.file, start, out)
        return out

    def floats(self, name: str, index: int | None = None, rows: slice | None = None) -> NDArray[np.float32]:
        """The same as float32 numbers."""
        raw = self.read(name, index, rows)
        if raw.dtype == np.uint16:
            return (raw.astype(np.uint32) << 16).view(np.float32)
        if raw.dtype in (np.float16, np.float32):
            return raw.astype(np.float32, copy=False)
        raise BadModel(f"{name} in {self.folder} holds {raw.dtype}, not floating-point numbers")

    def _find(self, name: str) -> Tensor:
        try:
            return self.tensors[name]
        except KeyError:
            raise BadModel(f"{self.folder} has no tensor {name}; is the download complete?") from None


def _weight_files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = sorted(set(json.loads(_text(index))["weight_map"].values()))
        except (ValueError, KeyError, AttributeError, TypeError):
            raise BadModel(f"{index} is not a safetensors index") from None
        if any(not isinstance(name, str) or Path(name).name != name for name in names):
            raise BadModel(f"{index} names files outside its folder")  # it comes from the network
        files = [folder / name for name in names]
    else:
        files = sorted(folder.glob("*.safetensors"))
    missing = [file.name for file in files if not file.is_file()]
    if missing or not files:
        lacks = ", ".join(missing) if missing else "any .safetensors file"
        raise SourceError(f"{folder} lacks {lacks}. Run the download again: it goes on where it stopped.")
    return files


def _header(file: Path) -> dict[str, Tensor]:
    size = file.stat().st_size
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(_HEADER_LIMIT, size - 8):
                raise ValueError("its header length is impossible")
            entries = json.loads(stream.read(length))
        found = {}
        for name, entry in entries.items():
            if name == "__metadata__":
                continue
            first, last = entry["data_offsets"]
            shape = tuple(int(extent) for extent in entry["shape"])
            kind = _KINDS.get(entry["dtype"])
            if kind is None:
                raise ValueError(f"{name} has the unknown type {entry['dtype']}")
            if (
                last - first != math.prod(shape) * np.dtype(kind).itemsize
                or first < 0
                or 8 + length + last > size
            ):
                raise ValueError(f"{name} does not fit the file")
            found[name] = Tensor(file, entry["dtype"], shape, 8 + length + first)
        return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{file} is not a complete safetensors file: {error}. Download it again.") from None


def _read_into(file: Path, start: int, out: NDArray[Any]) -> None:
    view = out.reshape(-1).view(np.uint8).data
    done = 0
    fd = os.open(file, os.O_RDONLY)
    try:
        while done < len(view):
            got = os.preadv(fd, [view[done : done + (64 << 20)]], start + done)
            if got == 0:
                raise SourceError(f"{file} ended early; it changed while it was read")
            done += got
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror}") from None
    finally:
        os.close(fd)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{file} cannot be read: {error}") from None
