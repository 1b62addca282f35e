"""Words: BM25 over stems and character pairs, by tantivy, in a directory of this process's own.

The allowed set is part of the query, so nothing outside it is ever scored. The text that tantivy sees
is cut into terms by kb.index.text; it only splits at the blanks between them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tantivy
from numpy.typing import NDArray

from kb.index.rows import Allowed, seconds
from kb.index.text import terms
from kb.store.chunks import IndexedChunk

Query, Occur = tantivy.Query, tantivy.Occur
HEAP = 15_000_000  # bytes; tantivy's least
HEAP_BULK = 128_000_000
FEW = 200  # values that are looked up one by one
MAX_TERMS = 64  # of a question; beyond it the rarest are kept
Scored = tuple[NDArray[np.int64], NDArray[np.float32]]


class Lexical:
    """One index directory, written by this process alone. Searches may run beside each other and a commit."""

    def __init__(self, directory: Path) -> None:
        """Open the index in `directory`, or begin one. Raises ValueError for files that tantivy cannot read."""
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._schema = _schema()
        self._index = tantivy.Index(self._schema, path=str(directory))
        self._index.config_reader(reload_policy="manual", num_warmers=0)
        self._writer: Any = None
        self._searcher = self._index.searcher()

    @property
    def count(self) -> int:
        """Chunks as of the last commit."""
        return int(self._searcher.num_docs)

    def add(self, chunks: Sequence[IndexedChunk]) -> None:
        """Add chunks; they are found after commit()."""
        writer = self._open_writer(HEAP_BULK if len(chunks) > 1000 else HEAP)
        for chunk in chunks:
            document = tantivy.Document()
            document.add_integer("chunk", chunk.id)
            document.add_integer("collection", chunk.collection_id)
            document.add_integer("created", seconds(chunk.created))
            document.add_text("body", " ".join(_body(chunk)))
            document.add_text("source", chunk.source.lower())
            document.add_text("type", chunk.type.lower())
            for tag in _tags(chunk.language.lower()):
                document.add_text("language", tag)
            writer.add_document(document)

    def delete(self, chunk_ids: Iterable[int]) -> None:
        """Delete chunks; they are gone after commit()."""
        writer = self._open_writer(HEAP)
        for chunk_id in chunk_ids:
            writer.delete_documents_by_term("chunk", chunk_id)

    def commit(self) -> None:
        """Make what was added and deleted searchable."""
        if self._writer is not None:
            self._writer.commit()
            self._index.reload()
            self._searcher = self._index.searcher()

    def settle(self) -> None:
        """Commit and wait until merges are done: the files then stay as they are."""
        self.commit()
        if self._writer is not None:
            self._writer.wait_merging_threads()
            self._writer = None
        self._index.reload()
        self._searcher = self._index.searcher()

    def search(
        self, question: Sequence[str], allowed: Allowed, k: int, among: Sequence[int] | None = None
    ) -> Scored:
        """The k best chunks for a question's terms, best first: (chunk ids, BM25 scores).

        among: score only these chunk ids (those that hold no term are left out).
        """
        if not question or not allowed.collection_ids or not k or (among is not None and not len(among)):
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        searcher = self._searcher
        wanted = Query.boolean_query(
            [
                (Occur.Should, Query.term_query(self._schema, "body", term, "freq"))
                for term in self._rarest(searcher, question)
            ]
        )
        limits = self._limits(allowed)
        if among is not None:
            limits.append(self._one_of("chunk", [int(chunk) for chunk in among]))
        # a limit must match, and adds nothing to the score
        must = [
            (Occur.Must, wanted),
            *((Occur.Must, Query.const_score_query(limit, 0.0)) for limit in limits),
        ]
        hits = searcher.search(Query.boolean_query(must), k, count=False).hits
        ids = searcher.fast_field_values("chunk", [address for _, address in hits])
        return np.array(ids, np.int64), np.array([score for score, _ in hits], np.float32)

    def weights(self, question: Sequence[str]) -> dict[str, float]:
        """How much each distinct term of a question says: BM25's idf in the bodies; 0 documents is the rarest."""
        searcher = self._searcher
        total = searcher.num_docs
        return {
            term: math.log(1 + (total - found + 0.5) / (found + 0.5))
            for term in dict.fromkeys(question)
            for found in [min(searcher.doc_freq("body", term), total)]
        }

    def ids(self) -> NDArray[np.int64]:
        """Every chunk id, ascending. For checks."""
        hits = self._searcher.search(Query.all_query(), max(self.count, 1), count=False).hits
        found = self._searcher.fast_field_values("chunk", [address for _, address in hits])
        return np.sort(np.array(found, np.int64))

    def _rarest(self, searcher: Any, question: Sequence[str]) -> list[str]:
        distinct = list(dict.fromkeys(question))
        if len(distinct) > MAX_TERMS:
            distinct.sort(key=lambda term: searcher.doc_freq("body", term))
        return distinct[:MAX_TERMS]

    def _limits(self, allowed: Allowed) -> list[Any]:
        filters, schema = allowed.filters, self._schema
        limits = [self._one_of("collection", sorted(allowed.collection_ids))]
        for name in ("source", "type", "language"):
            if wanted := getattr(filters, name):
                limits.append(Query.term_query(schema, name, wanted.lower(), "basic"))
        if filters.date_from is not None or filters.date_to is not None:
            first = seconds(filters.date_from) if filters.date_from else None
            last = seconds(filters.date_to) if filters.date_to else None
            limits.append(Query.range_query(schema, "created", tantivy.FieldType.Integer, first, last))
        return limits

    def _one_of(self, field: str, values: Sequence[int]) -> Any:
        # a set query walks the field's whole dictionary: six times slower for the fifty chunks of a search
        if len(values) > FEW:
            return Query.term_set_query(self._schema, field, list(values))
        return Query.boolean_query(
            [(Occur.Should, Query.term_query(self._schema, field, value, "basic")) for value in values]
        )

    def _open_writer(self, heap: int) -> Any:
        if self._writer is None:
            self._writer = self._index.writer(heap_size=heap, num_threads=1)
        return self._writer


def _schema() -> Any:
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("chunk", indexed=True, fast=True)
    builder.add_integer_field("collection", indexed=True)
    builder.add_integer_field("created", indexed=True, fast=True)
    builder.add_text_field("body", tokenizer_name="whitespace", index_option="freq")
    for name in ("source", "type", "language"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    return builder.build()


def _body(chunk: IndexedChunk) -> list[str]:
    """The chunk's terms, and those of its title and heading path that it lacks.

    Fields of their own would count a title's words twice where the text repeats them: on product manuals
    that cost 6 points of R@1 at half weight (support_emanual_en .575 → .516).
    """
    body = terms(chunk.text)
    above = terms(f"{chunk.title}\n{chunk.heading}")
    return body + sorted(set(above) - set(body))


def _tags(language: str) -> list[str]:
    """'zh-hant' is also 'zh'."""
    parts = language.split("-")
    return ["-".join(parts[: n + 1]) for n in range(len(parts))]
