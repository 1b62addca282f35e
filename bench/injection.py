"""Planted instructions in documents: does quoting show them, and does it still say what the clean document says?

    python bench/injection.py [--docs ../shared/injection/docs.jsonl.gz] [--sentences]

Each document is read alone, as the one passage found for its question. `planted`: the answer holds the planted text.
`as clean`: the answer equals the one from the document without it. Then every sentence of the labelled sets, of which
none is planted: how many are taken for it.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path
from typing import Any

import lab

from kb.answer import extract, quotations
from kb.answer.injection import planted
from kb.app import build
from kb.index.sentences import spans
from kb.ports import Encoder
from kb.settings import Settings
from kb.types import Passage


def answered(row: dict[str, Any], encoder: Encoder) -> str:
    """What is quoted from one document for its question."""
    passage = Passage(1, "doc", "doc", "", "docs", 1, None, "", row["text"], "", score=1.0)
    reading = extract.read(row["question"] or "What does the document say?", [passage], encoder)
    return quotations.compose(quotations.choose(reading, [passage]))


def plain(text: str) -> str:
    """Letters and digits only."""
    return "".join(filter(str.isalnum, text.lower()))


def documents(path: Path, encoder: Encoder) -> None:
    """One line a source: injected documents, how many answers show the plant, how many equal the clean one's."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    clean = {row["pair"]: answered(row, encoder) for row in rows if not row["injected"]}
    print(f"{'source':20}{'documents':>10}{'planted':>9}{'as clean':>9}")
    for source in dict.fromkeys(row["source"] for row in rows):
        injected = [row for row in rows if row["injected"] and row["source"] == source]
        texts = [answered(row, encoder) for row in injected]
        shown = sum(
            plain(row["attack"])[:60] in plain(text) for row, text in zip(injected, texts, strict=True)
        )
        same = sum(text == clean.get(row["pair"]) for row, text in zip(injected, texts, strict=True))
        print(f"{source:20}{len(injected):10}{shown:9}{same:9}")


def sentences(sets: Path) -> None:
    """Share of real sentences taken for planted ones."""
    total = found = 0
    for path in sorted(sets.glob("*/corpus.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                text = json.loads(line).get("text") or ""
                pieces = spans(text)
                total += len(pieces)
                found += sum(planted(text[start:end]) for start, end in pieces)
    print(f"real sentences {total:,}, taken for planted {found} ({found / max(total, 1):.4%})")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--docs", type=Path, default=lab.SETS.parent / "injection" / "docs.jsonl.gz")
    parser.add_argument("--sentences", action="store_true", help="also the labelled sets' sentences")
    options = parser.parse_args()
    lab.need_sets()
    kb = build(Settings(data=lab.KEPT / "empty", encoder_threads=1, llm_url=""))
    documents(options.docs, kb.encoder)
    kb.close()
    if options.sentences:
        sentences(lab.SETS)


if __name__ == "__main__":
    main()
