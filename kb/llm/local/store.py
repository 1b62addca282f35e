"""A packed model: one SQLite file that holds everything serving needs.

meta    key → text: `format`, `layout`, `complete`, `source` (the folder it was packed from) and the model's own
        `config.json`, `tokenizer.json`, `chat_template.jinja`, …
shards  one row per matrix, or per 64 MiB of one (`part`, `start`): which (layer, kind, expert), layout, shape,
        what packing cost (`relative_error`, `largest_error`), SHA-256, XXH3-128 (`checksum`; older files have
        none), and last the bytes as the kernels read them

A shard is committed with its hash in one transaction, so a pack that is killed goes on where it stopped.
Pages are 64 KiB: a matrix is then a few hundred pages in a row, which `reader` fetches past SQLite.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from kb.errors import DiskFull
from kb.llm.local.errors import BadModel, CorruptShard

FORMAT = "1"
PAGE_SIZE = 65536  # bytes of a database page
PART = 64 << 20  # a matrix larger than this is kept as several shards
SUFFIX = ".kbm"
BUSY_S = 5  # how long another connection may keep a reader or the writer waiting

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shards (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, part INTEGER NOT NULL,
    layer INTEGER, kind TEXT NOT NULL, expert INTEGER,
    layout TEXT NOT NULL, rows INTEGER NOT NULL, cols INTEGER NOT NULL, scales TEXT NOT NULL,
    start INTEGER NOT NULL, nbytes INTEGER NOT NULL, relative_error REAL, largest_error REAL,
    sha256 BLOB NOT NULL, checksum BLOB, data BLOB NOT NULL, UNIQUE (name, part)
);
"""
_COLUMNS = (
    "id, name, part, layer, kind, expert, layout, rows, cols, scales, start, nbytes,"
    " relative_error, largest_error, sha256"
)
_CHECKSUM = ", checksum"  # the last of them, in files that have it


@dataclass(frozen=True)
class Shard:
    """One row of `shards` without its bytes."""

    id: int
    name: str
    part: int
    layer: int | None
    kind: str  # "dense" | "gate_up" | "down"
    expert: int | None
    layout: str
    rows: int  # of the whole matrix
    cols: int
    scales: str  # how weights are scaled, in words
    start: int  # offset of these bytes in the packed matrix
    nbytes: int
    relative_error: float | None  # of the whole matrix; None: exact
    largest_error: float | None
    sha256: bytes
    checksum: bytes | None = None  # XXH3-128

    def __str__(self) -> str:
        where = "" if self.layer is None else f"layer {self.layer}, "
        which = "" if self.expert is None else f"expert {self.expert}, "
        return f"{where}{which}{self.name}" + (f" (part {self.part})" if self.part else "")


class Store:
    """An open packed model. One per thread; `writable` creates what is missing."""

    def __init__(self, path: Path, *, writable: bool = False, page_size: int = PAGE_SIZE) -> None:
        self.path = path
        if not writable and not path.is_file():
            raise BadModel(f"{path} does not exist. Make one with: kb model pack DIR")
        flags = (
            apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE if writable else apsw.SQLITE_OPEN_READONLY
        )
        with _speaking(path):
            self.connection = apsw.Connection(str(path), flags=flags)
            self.connection.set_busy_timeout(BUSY_S * 1000)
            if writable:
                # New pages go straight to the file; the journal holds only the few old ones that change.
                self.connection.execute(f"PRAGMA page_size={page_size}")
                self.connection.execute("PRAGMA journal_mode=DELETE")
                self.connection.execute(_SCHEMA)
        with _speaking(path, "is not a packed model, or is damaged"):
            self.meta = dict(self.connection.execute("SELECT key, value FROM meta"))
            named = {row[1] for row in self.connection.execute("PRAGMA table_info(shards)")}
        self._columns = _COLUMNS + (_CHECKSUM if "checksum" in named else "")
        if not writable and self.meta.get("format") != FORMAT:
            self.close()
            raise BadModel(
                f"{path} has format {self.meta.get('format')!r}, not {FORMAT}. Pack the model again."
            )

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.connection.close()

    @property
    def complete(self) -> bool:
        """Whether packing ran to its end."""
        return self.meta.get("complete") == "1"

    @property
    def layout(self) -> str:
        """Layout of the experts."""
        return str(self.meta.get("layout", ""))

    @property
    def config(self) -> dict[str, Any]:
        """The model's `config.json`."""
        try:
            return dict(json.loads(self.meta["config.json"]))
        except (KeyError, ValueError):
            raise BadModel(f"{self.path} holds no readable config.json. Pack the model again.") from None

    def require_complete(self) -> None:
        """BadModel unless packing ran to its end."""
        if not self.complete:
            source = self.meta.get("source", "DIR")
            raise BadModel(f"{self.path} is not packed to its end. Go on with: kb model pack {source}")

    def shards(self) -> list[Shard]:
        """Every shard, in the order it was packed, without its bytes."""
        with _speaking(self.path, "is damaged: pack the model again"):
            rows = self.connection.execute(f"SELECT {self._columns} FROM shards ORDER BY id")
            return [Shard(*row) for row in rows]

    def set_meta(self, values: Mapping[str, str]) -> None:
        """Write texts, all in one transaction."""
        with _speaking(self.path), self.connection:
            self.connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(values.items()))
        self.meta |= values

    def add(self, shards: list[tuple[Shard, memoryview]]) -> None:
        """Append the shards of one matrix in one transaction; their ids are ignored and given anew."""
        columns = self._columns.split(", ")[1:]
        marks = ", ".join("?" * (len(columns) + 1))
        with _speaking(self.path), self.connection:
            for shard, data in shards:
                values = [getattr(shard, column) for column in columns]
                self.connection.execute(
                    f"INSERT INTO shards ({', '.join(columns)}, data) VALUES ({marks})", (*values, data)
                )

    def overwrite(self, shard: Shard, data: memoryview) -> None:
        """Put right bytes in the place of damaged ones; readers that know the place find them there."""
        # APSW commits with the interpreter held: a reader in another thread, which must finish first, would
        # not get to. So SQLite waits a moment only, and this thread sleeps in between.
        self.connection.set_busy_timeout(20)
        deadline = time.monotonic() + BUSY_S
        with _speaking(self.path):
            while True:
                try:
                    with (
                        self.connection,
                        self.connection.blob_open("main", "shards", "data", shard.id, True) as blob,
                    ):
                        blob.write(data)
                    break
                except apsw.BusyError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.01)
        self.connection.set_busy_timeout(BUSY_S * 1000)


def models_in(folder: Path) -> list[Path]:
    """Complete packed models in a folder, newest first; what cannot be opened is left out."""
    found = []
    for path in sorted(folder.glob(f"*{SUFFIX}"), key=lambda file: file.stat().st_mtime, reverse=True):
        with contextlib.suppress(BadModel, CorruptShard), Store(path) as store:
            if store.complete:
                found.append(path)
    return found


def expert_pairs(shards: list[Shard], path: Path) -> dict[tuple[int, int], tuple[Shard, Shard]]:
    """The two shards of every expert, by (layer, expert)."""
    halves = {(shard.layer, shard.expert, shard.kind): shard for shard in shards if shard.kind != "dense"}
    found = {
        (layer, expert): (gate_up, down)
        for (layer, expert, kind), gate_up in halves.items()
        if kind == "gate_up"
        and layer is not None
        and expert is not None
        and (down := halves.get((layer, expert, "down"))) is not None
    }
    if not found or 2 * len(found) != len(halves) or any(shard.part for shard in halves.values()):
        raise BadModel(f"{path} lacks experts. Pack the model again: kb model pack DIR")
    return found


@contextlib.contextmanager
def _speaking(path: Path, wrong: str = "cannot be read") -> Iterator[None]:
    """SQLite's errors in words that name the file and the way out."""
    try:
        yield
    except apsw.FullError:
        raise DiskFull(f"No space left for {path}. Free some and run the same command: it goes on.") from None
    except (apsw.NotADBError, apsw.CorruptError):
        raise BadModel(
            f"{path} is not a packed model, or is damaged. Pack it again: kb model pack DIR"
        ) from None
    except apsw.Error as error:
        raise BadModel(f"{path} {wrong}: {error}") from None
