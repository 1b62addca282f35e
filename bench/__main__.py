"""`make bench`: the tables, one after the other; `python -m bench model` those of the local model.

What is measured against public data sets or files needs ../shared beside the checkout; a script whose data is
absent says so and the others go on.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TABLES = {
    "main": (
        ("formats.py",),
        ("ingestion.py", "--limit", "120"),
        ("encoder.py", "--texts", "512"),
        ("search.py", "--peer"),
        ("eval.py",),
        ("answerable.py",),
        ("ask.py", "speed"),
        ("moods.py",),
        ("kill9.py", "--kills", "50"),
    ),
    "model": (
        ("model_decode.py", "--layers", "6", "--layout", "int8"),
        ("model_decode.py", "--layers", "12", "--layout", "int8"),
        ("model_decode.py", "--layers", "24", "--layout", "mxfp4", "--apart"),
        ("model_serve.py",),
        ("model_cache.py", "--full"),
    ),
}


def main() -> int:
    """Run one group; the exit status says whether every script ended well."""
    group = sys.argv[1] if len(sys.argv) > 1 else "main"
    if group not in TABLES:
        print(f"There is no group {group!r}: {', '.join(TABLES)}", file=sys.stderr)
        return 2
    failed = []
    for script, *options in TABLES[group]:
        print(f"\n=== {script} {' '.join(options)}", flush=True)
        if subprocess.run([sys.executable, str(HERE / script), *options]).returncode:
            failed.append(script)
    if failed:
        print(f"\nnot finished: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
