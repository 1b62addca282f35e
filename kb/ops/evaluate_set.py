"""A labelled set on disk: documents or FAQ entries, questions, gold."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kb.errors import Invalid

POINTER = 40  # characters around the path in a text such as "(see pdfs/a.pdf)"
LISTS = ("doc_ids", "answers", "variants")
ALL_NEEDED = ("multihop_", "multidoc_", "rgb_int")  # sets in which every gold document is needed, not any


@dataclass(frozen=True)
class LabelledSet:
    """corpus: id, title, text (+ question, variants, answers for FAQ entries); queries: id, text, doc_ids, answerable.

    files: a folder of documents instead of a corpus; their paths below it are the ids in `doc_ids`.
    originals: by id, the file of each entry whose text only says where it lies.
    """

    name: str
    corpus: tuple[Mapping[str, Any], ...]
    queries: tuple[Mapping[str, Any], ...]
    files: Path | None = None
    originals: Mapping[str, Path] = field(default_factory=dict)

    @property
    def is_faq(self) -> bool:
        """Whether the entries are questions with answers."""
        return self.files is None and all(row.get("question") for row in self.corpus)

    @property
    def all_needed(self) -> bool:
        """Whether a question needs all of its gold documents."""
        return self.name.startswith(ALL_NEEDED)


def read_set(directory: Path) -> LabelledSet:
    """Read `corpus.jsonl[.gz]` (`corpus_masked` where there is one) and `queries.jsonl[.gz]`.

    A folder with `documents/` and `questions.jsonl`, as data/sample is, is a set of files. An entry of the corpus
    may be a file too: it names its `path` in the folder, and its text is empty or only says "see <path>".
    Raises Invalid, naming the file, for what does not fit the schema.
    """
    if (directory / "documents").is_dir() and (directory / "questions.jsonl").is_file():
        asked = tuple(_rows(directory / "questions.jsonl", ("id", "text")))
        return LabelledSet(directory.resolve().name, (), asked, directory / "documents")
    masked = _find(directory, "corpus_masked", required=False)
    corpus = tuple(_rows(masked or _find(directory, "corpus"), ("id",)))
    queries = tuple(_rows(_find(directory, "queries"), ("id", "text")))
    if not corpus or not queries:
        raise Invalid(f"{directory} holds no documents or no questions.")
    originals = {row["id"]: file for row in corpus if (file := _original(directory, row)) is not None}
    for row in corpus:
        if row["id"] not in originals and not isinstance(row.get("text"), str):
            raise Invalid(
                f"{directory}: {row['id']} in the corpus has neither a text nor a file at its path."
            )
    return LabelledSet(directory.resolve().name, corpus, queries, originals=originals)


def _original(directory: Path, row: Mapping[str, Any]) -> Path | None:
    """The file that an entry stands for, where its text is no more than a pointer to it."""
    named, text = row.get("path"), str(row.get("text") or "").strip()
    if not isinstance(named, str) or not named:
        return None
    if text and (named not in text or len(text) > len(named) + POINTER):
        return None
    top = directory.resolve()
    file = (top / named).resolve()
    return file if file.is_relative_to(top) and file.is_file() else None


def _find(directory: Path, stem: str, *, required: bool = True) -> Path | None:
    for suffix in (".jsonl.gz", ".jsonl"):
        if (path := directory / f"{stem}{suffix}").is_file():
            return path
    if required:
        raise Invalid(f"{directory} has no {stem}.jsonl or {stem}.jsonl.gz: it is no labelled set.")
    return None


def _rows(path: Path | None, fields: tuple[str, ...]) -> Iterator[Mapping[str, Any]]:
    assert path is not None
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise Invalid(f"{path}, line {number}: not JSON ({error}).") from error
        if wrong := _wrong(row, fields):
            raise Invalid(f"{path}, line {number}: {wrong}.")
        yield row


def _lines(path: Path) -> Iterator[str]:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig") as lines:
            yield from lines
    except (UnicodeDecodeError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise Invalid(f"{path} cannot be read: {error}.") from error


def _wrong(row: Any, fields: tuple[str, ...]) -> str:
    """What of a row does not fit the schema; empty: nothing. Fields that the schema does not know are anybody's."""
    if not isinstance(row, dict) or any(not isinstance(row.get(field), str) for field in fields):
        return f"needs the text fields {', '.join(fields)}"
    for name in LISTS:  # a bare text would be scored by its letters
        if row.get(name) is not None and not _all(row[name], str):
            return f"{name} must be a list of texts"
    if not isinstance(row.get("answerable", True), bool):
        return "answerable must be true or false"
    if not isinstance(row.get("question") or "", str):
        return "question must be a text"
    turns = row.get("history")
    if turns is None:
        return ""
    if not _all(turns, dict):
        return "history must be a list of turns, each with a role and a text"
    for place, turn in enumerate(turns, 1):
        if turn.get("role") not in ("user", "assistant"):
            return f"turn {place} of the history needs a role: user or assistant"
        if not isinstance(turn.get("text"), str):
            return f"turn {place} of the history needs a text"
    return ""


def _all(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)
