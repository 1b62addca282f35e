"""`kb doctor`: proves that rows, originals and indexes agree, and repairs what can be repaired.

SQL is the only truth; the indexes are derived from it and can always be rebuilt, without embedding again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from kb.errors import Broken
from kb.store import Blobs, Database, Faqs, Finding, checks, repair_rows

if TYPE_CHECKING:
    from kb.index import IndexCheck


class State(Protocol):
    """What is looked at: `kb.app.Kb`, or anything with these two."""

    @property
    def db(self) -> Database: ...
    @property
    def blobs(self) -> Blobs: ...


class Checkable(Protocol):
    """An index, such as `kb.index.Index`: check() compares it with SQL, rebuild() makes it anew from SQL."""

    @property
    def encoder(self) -> str: ...
    def check(self) -> IndexCheck: ...
    def rebuild(self) -> None: ...


@dataclass(frozen=True)
class Report:
    """findings in the order of the checks; done: what a repair did, a sentence each."""

    findings: tuple[Finding, ...]
    done: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """No errors and no warnings; notes are fine."""
        return all(finding.severity == "note" for finding in self.findings)


def check(kb: State, *, index: Checkable | None = None, full: bool = False) -> Report:
    """Look at everything, change nothing. full: also hash every original and measure every chunk.

    index: compared with SQL when given, and so is its encoder. Safe while kb runs: rows are read in one snapshot.
    """
    return Report(tuple(_findings(kb, index, full)))


def repair(
    kb: State, *, index: Checkable | None = None, faqs: Faqs | None = None, full: bool = False
) -> Report:
    """Clear litter, queue again what is stuck, rebuild the index if it is wrong; then check anew.

    What another encoder than the index's embedded is embedded again: documents by the worker, wordings of `faqs` here.

    A damaged database file is not repaired: Broken says to restore a backup.
    """
    with kb.db.read() as session:
        if any(f.severity == "error" for f in checks.database(session, sqlite=kb.db.sqlite)):
            raise Broken(
                "The database file is damaged. Stop kb and restore the last backup; nothing was changed."
            )
    done = repair_rows(kb.db, kb.blobs, index.encoder if index is not None else None)
    if faqs is not None and (wordings := faqs.reembed()):
        done.append(f"Embedded {wordings} wordings of the FAQ again.")
    if index is not None and _index(index):
        index.rebuild()
        done.append("Rebuilt the index from the database.")
    return Report(tuple(_findings(kb, index, full)), tuple(done))


def _findings(kb: State, index: Checkable | None, full: bool) -> Iterator[Finding]:
    with kb.db.read() as session:
        file = list(checks.database(session, sqlite=kb.db.sqlite))
        yield from file
        if file:
            return  # what a damaged file says about the rest means nothing
        yield from checks.originals(session, kb.blobs, full=full)
        yield from checks.documents(session)
        yield from checks.chunks(session, full=full)
        yield from checks.index_log(session)
        yield from checks.queue(session)
        yield from checks.faqs(session)
        if index is not None:
            yield from checks.encoders(session, index.encoder)
    if index is not None:
        yield from _index(index)


def _index(index: Checkable) -> list[Finding]:
    return [
        Finding("error", "index", f"The index has {count} {name.replace('_', ' ')}.")
        for name, count in index.check().wrong().items()
        if count
    ]
