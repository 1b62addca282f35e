"""System prompts that outlive the process: their pages on disk, found again at the next start.

One file per prompt, `.npz` read without pickle, under the hash of its tokens. A file is used only if its
checksum is right and it was made by the same weights in the same arithmetic (`stamp`).
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import queue
import threading
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kb.llm.local.prefix import PagePool, page_keys
from kb.llm.local.types import PAGE

log = logging.getLogger(__name__)

MOST_FILES = 4
MOST_PAGES = 128  # of one prompt: 4,096 tokens

Bytes = NDArray[np.uint8]


class PageBytes(Protocol):
    """The key-value cache as bytes."""

    def read(self, pages: Sequence[int]) -> Bytes: ...

    def write(self, pages: Sequence[int], data: Bytes) -> None: ...


class PrefixDisk:
    """Keeps the latest few prompts in a folder; a folder that cannot be written to is no reason to fail."""

    def __init__(self, folder: Path, stamp: bytes, cache: PageBytes) -> None:
        self.kept = self.loaded = 0
        self._folder, self._stamp, self._cache = folder, stamp, cache
        self._known: set[bytes] = set()
        self._jobs: queue.SimpleQueue[tuple[list[int], Bytes] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._writing = False

    def load(self, pool: PagePool) -> None:
        """Put what is on disk into the cache, newest first, while half of the pages stay free."""
        files = sorted(self._folder.glob("*.npz"), key=lambda file: file.stat().st_mtime, reverse=True)
        for file in files[:MOST_FILES]:
            found = self._read(file)
            if found is None:
                continue
            tokens, data = found
            keys = page_keys(tokens)
            if pool.available - len(keys) < pool.size // 2 or pool.holds(keys):
                continue
            pages = [pool.take() for _ in keys]
            try:
                self._cache.write(pages, data)
                for page, key in zip(pages, keys, strict=True):
                    pool.publish(page, key)
                self._known.add(keys[-1])
                self.loaded += 1
            except ValueError as error:
                log.warning("%s is of no use: %s", file, error)
            finally:
                pool.release(pages)

    def keep(self, tokens: list[int], pages: list[int]) -> None:
        """Write these pages in the background, unless they are there.

        One prompt at a time: a copy of its pages is up to 200 MB, and a disk may be slow. What finds another on its
        way is kept when it is seen again.
        """
        pages = pages[:MOST_PAGES]
        tokens = tokens[: len(pages) * PAGE]
        key = page_keys(tokens)[-1]
        if key in self._known or self._writing:
            return
        self._known.add(key)
        self._writing = True
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_all, name="prefixes", daemon=True)
            self._thread.start()
        self._jobs.put((tokens, self._cache.read(pages)))

    def close(self) -> None:
        """Finish what is being written."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join(timeout=10)

    def _write_all(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._write(*job)
            except (OSError, MemoryError) as error:
                log.warning("the system prompt's pages could not be kept in %s: %s", self._folder, error)
            del job  # or its bytes stay until the next
            self._writing = False

    def _write(self, tokens: list[int], data: Bytes) -> None:
        self._folder.mkdir(exist_ok=True)
        ids = np.array(tokens, np.int32)
        path = self._folder / (page_keys(tokens)[-1].hex() + ".npz")
        partial = path.with_suffix(".part")
        partial.touch(mode=0o600)  # a system prompt is nobody else's business
        with partial.open("wb") as out:
            np.savez(out, allow_pickle=False, tokens=ids, data=data, sum=self._sum(ids, data))
        os.replace(partial, path)
        self.kept += 1
        files = sorted(self._folder.glob("*.npz"), key=lambda file: file.stat().st_mtime)
        for old in files[:-MOST_FILES]:
            old.unlink(missing_ok=True)

    def _read(self, file: Path) -> tuple[list[int], Bytes] | None:
        """Tokens and pages of a file; None, and the file removed, where it does not fit this model."""
        try:
            with file.open("rb") as raw, np.load(raw, allow_pickle=False) as found:
                tokens, data, checksum = found["tokens"], found["data"], found["sum"]
            pages = len(tokens) // PAGE
            right = tokens.dtype == np.int32 and data.dtype == np.uint8 and 0 < len(tokens) == pages * PAGE
            if right and np.array_equal(checksum, self._sum(tokens, data)):
                return tokens.tolist(), data
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            pass
        log.warning("%s was made by another model or is damaged; removed", file)
        with contextlib.suppress(OSError):
            file.unlink()
        return None

    def _sum(self, tokens: NDArray[np.int32], data: Bytes) -> Bytes:
        digest = hashlib.sha256(self._stamp)
        digest.update(tokens.tobytes())
        digest.update(np.ascontiguousarray(data).data)
        return np.frombuffer(digest.digest(), np.uint8)
