"""The process that reads tables: `python -m ingest.pdftables.process`, paths in, tables out, until its input ends.

Every file is read by a child of its own, with little memory and time: whatever a hostile file does to PDFium ends
with that child, and is forgotten with it. Asked on standard input with one path a line as JSON; says, on standard
output, one line of JSON for each page that holds tables, then an empty line.
"""

from __future__ import annotations

import json
import os
import resource
import sys

from ingest.pdftables import page
from ingest.pdftables.find import tables

CPU_S = 10  # a file: some 2,000 ordinary pages
MEMORY = 2**30


def main() -> None:
    """Serve until standard input ends, which it does with whoever started this."""
    page.initialise()
    for line in sys.stdin.buffer:
        child = os.fork()
        if not child:
            status = 1
            try:
                _read(json.loads(line))
                status = 0
            finally:
                os._exit(status)
        os.waitpid(child, 0)
        os.write(1, b"\n\n")


def _read(path: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    for one in page.pages(path):
        found = [{"rows": table.rows, "edges": table.edges} for table in tables(one)]
        if found:
            sys.stdout.write(json.dumps({"page": one.number, "tables": found}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
