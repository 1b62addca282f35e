"""Every labelled set through `kb eval`, in one table: kb beside each of its legs alone.

    python bench/eval.py [--sets ../shared/eval] [--only squad2_en …] [--limit 300] [--ask] [--out runs/]

A set of FAQ entries has no legs: it goes to the FAQ tier. `worst` is kb's R@5 less that of the better leg.
`--out` keeps each run as <set>.jsonl for score.py.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ingest import ingestor
from kb.app import build
from kb.ops.evaluate import Result, evaluate
from kb.settings import Settings

COLUMNS = ("R@1", "R@5", "R@10", "MRR@10", "abstain AUROC", "contains")


def row(result: Result) -> str:
    """One line of the table."""
    cells = [f"{result.figures.get(name, float('nan')):8.3f}" for name in COLUMNS]
    legs = [result.legs.get(leg, {}).get("R@5", float("nan")) for leg in ("dense", "lexical")]
    took = sorted(line["latency_ms"] for line in result.lines)
    cells += [f"{value:8.3f}" for value in legs]
    cells.append(f"{result.figures.get('R@5', float('nan')) - max(legs):+8.3f}" if result.legs else " " * 8)
    return (
        f"{result.set[:27]:28}" + "".join(cells) + f"{took[len(took) // 2]:8.1f}{result.seconds_loading:8.0f}"
    )


def main() -> None:
    """Print a line as each set is done."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", type=Path, default=Path("../shared/eval"))
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--ask", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    found = sorted(
        path.parent for path in args.sets.glob("*/corpus.jsonl*") if "pdf_" not in path.parent.name
    )
    chosen = [path for path in dict.fromkeys(found) if not args.only or path.name in args.only]
    if not chosen:
        sys.exit(f"no labelled sets in {args.sets}")
    heads = [
        *(name.replace("abstain ", "") for name in COLUMNS),
        "dense@5",
        "words@5",
        "worst",
        "p50 ms",
        "load s",
    ]
    print(f"{'':28}" + "".join(f"{head:>8}" for head in heads), flush=True)
    for directory in chosen:
        result = evaluate(directory, build, ingestor, settings=Settings(), ask=args.ask, limit=args.limit)
        print(row(result), flush=True)
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            lines = [json.dumps(line, ensure_ascii=False) for line in result.lines]
            (args.out / f"{result.set}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
