"""Every file of ../shared/formats through the real way in, and what became of it, by format and expectation.

    python bench/formats.py [--ocr] [--tier core] [--only NAME]
    python bench/formats.py --readers      our own readers beside Tika, on the types that both read

Prints one line for each file that missed its expectation, one table, and the seconds that the whole folder took
(parse, split, embed, publish; one state directory, one worker). Without --ocr pictures are not read, and files
whose text is in pictures count as met when the document says which pages need OCR.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
import resource
import shutil
import tempfile
import threading
import time
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

from ingest import ocr, plain, sniff, worker
from kb.app import Kb, build
from kb.settings import Settings
from kb.store.scope import SYSTEM
from kb.types import Document

FORMATS = Path(__file__).resolve().parents[2] / "shared" / "formats"
BOUNDED_S = 120.0


def squeezed(text: str) -> str:
    """Without white space; NFC, as stored."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFC", text))


def main() -> None:
    """Run and print."""
    options = _options()
    if not (FORMATS / "manifest.csv").is_file():
        print("../shared/formats is not here: nothing to measure")
        return
    rows = [row for row in csv.DictReader((FORMATS / "manifest.csv").open(encoding="utf-8"))
            if options.tier in ("all", row["tier"]) and options.only in row["file"]]  # fmt: skip
    if options.readers:
        readers(rows)
        return
    state = Path(tempfile.mkdtemp(prefix="kb-formats-"))
    try:
        kb = build(Settings(data=state))
        kb.encoder.encode_documents(["warm"])
        kb.collections.create(SYSTEM, "formats", "Formats", "internal")
        with worker.tika_for(kb.settings) as (tika, tend):
            if tika is not None:
                tika.wait_ready()
            seconds, ids = _run(kb, rows, worker.Worker(kb, tika, ocr=options.ocr and ocr.available()), tend)
        _report(kb, rows, ids, seconds)  # after Tika has ended, so that its processor time is counted
        kb.close()
    finally:
        shutil.rmtree(state, ignore_errors=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ocr", action="store_true")
    parser.add_argument("--readers", action="store_true")
    parser.add_argument("--tier", default="all", choices=("all", "core", "extended"))
    parser.add_argument("--only", default="")
    return parser.parse_args()


def readers(rows: list[dict[str, str]]) -> None:
    """Our own readers and Tika on the same files: milliseconds a file, and expectations met."""
    table: dict[str, list[float]] = defaultdict(lambda: [0.0] * 6)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data=Path(folder))
        with worker.tika_for(settings) as (tika, _):
            assert tika is not None, "needs Java and the Tika server"
            tika.wait_ready()
            for row in rows:
                path = FORMATS / row["file"]
                kind = sniff.kind_of(path, path.name)
                if kind not in plain.READERS:
                    continue
                for at, read in (
                    (1, lambda p, k: plain.read(p, k, 10**6)),
                    (3, lambda p, k: tika.parse(p, k, 10**6)),
                ):
                    read(path, kind)  # warm
                    start = time.perf_counter()
                    found = read(path, kind)
                    table[kind][at] += 1000 * (time.perf_counter() - start)
                    text = squeezed("".join(block.text for block in found.blocks))
                    wanted = [squeezed(part) for part in row["expected_text"].split("|||")]
                    table[kind][at + 1] += all(part in text for part in wanted)
                table[kind][0] += 1
    print(f"{'type':6} {'files':>5} {'own ms':>8} {'met':>4} {'Tika ms':>8} {'met':>4}")
    for kind, (count, own, own_met, others, others_met, _) in sorted(table.items()):
        print(
            f"{kind:6} {count:5.0f} {own / count:8.1f} {own_met:4.0f} {others / count:8.1f} {others_met:4.0f}"
        )


def _run(kb: Kb, rows: list[dict[str, str]], work: worker.Worker, tend) -> tuple[float, list[str]]:  # type: ignore[no-untyped-def]
    started = time.monotonic()
    ids = []
    for row in rows:
        path = FORMATS / row["file"]
        document, _ = kb.documents.add(SYSTEM, "formats", io.BytesIO(path.read_bytes()), path.name)
        ids.append(document.id)
    work.lane.drain = lambda stop: None  # type: ignore[method-assign]
    work.run(threading.Event(), tend, until_idle=True)
    return time.monotonic() - started, ids


def _report(kb: Kb, rows: list[dict[str, str]], ids: list[str], seconds: float) -> None:
    table: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    chunks = 0
    for row, id_ in zip(rows, ids, strict=True):
        document = kb.documents.get(SYSTEM, id_)
        chunks += document.chunks
        missed = _missed(kb, row, document)
        table[(row["format"] or "-", row["expectation"])]["missed" if missed else "met"] += 1
        if missed:
            said = document.reason or "; ".join(document.warnings) or document.state
            print(f"MISSED {Path(row['file']).name} ({row['expectation']}): {missed} — {said}")
    print(f"\n{'format':12} {'expectation':20} {'met':>5} {'missed':>7}")
    for (kind, expectation), counts in sorted(table.items()):
        print(f"{kind:12} {expectation:20} {counts['met']:5} {counts['missed']:7}")
    total = sum(table.values(), Counter())
    texts = sum(
        (counts for (_, e), counts in table.items() if "contains" in e or "extractable" in e), Counter()
    )
    states = Counter(kb.documents.get(SYSTEM, id_).state for id_ in ids)
    own, tika = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = own.ru_maxrss / 1024
    print(
        f"\nall {total['met']} of {len(rows)}; text expected {texts['met']} of {texts.total()}; states {dict(states)}"
    )
    print(f"{seconds:.1f} s for {len(rows)} files, {chunks} chunks; peak memory of the worker {peak:.0f} MiB")
    print(
        f"processor time: kb {own.ru_utime + own.ru_stime:.0f} s, Tika {tika.ru_utime + tika.ru_stime:.0f} s"
    )


def _missed(kb: Kb, row: dict[str, str], document: Document) -> str:
    """'' when the expectation is met, else what is wrong."""
    expectation = row["expectation"]
    ready = document.state in ("ready", "ready_with_warnings")
    said = bool(document.reason or document.warnings)
    if document.state in ("queued", "parsing", "embedding"):
        return f"still {document.state}"
    text = squeezed(kb.documents.text(SYSTEM, document.id).text) if ready else ""
    if expectation in ("encrypted",):
        return (
            ""
            if document.state == "failed" and "password" in (document.reason or "")
            else f"is {document.state}"
        )
    if expectation == "corrupt":
        return "" if document.state in ("failed", "quarantined") and said else f"is {document.state}"
    if expectation.startswith("ocr_") and any("needs OCR" in warning for warning in document.warnings):
        return ""
    if "contains" in expectation:
        wanted = [part.strip() for part in row["expected_text"].split("|||") if part.strip()]
        lacking = [part for part in wanted if squeezed(part) not in text]
        return f"lacks {lacking[:3]}" if lacking else ""
    if "extractable" in expectation:
        return "" if text else "no text"
    return "" if ready or (document.state in ("failed", "quarantined") and said) else f"is {document.state}"


if __name__ == "__main__":
    main()
