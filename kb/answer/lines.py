"""A document's lines as an answer shows them: prose flows, items and table rows keep lines of their own."""

from __future__ import annotations

import re
from itertools import groupby

_ITEM = re.compile(r"[-*•] |\d{1,3}[.)、] ?")


def lines(text: str) -> str:
    """Markdown of a quotation. Headings are left out where there is anything else.

    Stored text has a table row to a line, its cells parted by tabs: rows in a row become a table, the first its
    heading (every piece of a split table begins with it); one alone becomes cells beside each other.
    """
    found = [line for line in text.splitlines() if line.strip()]
    found = [line for line in found if not line.startswith("#")] or [line.lstrip("# ") for line in found]
    shown = ""
    for tabs, group in groupby(found, key=lambda line: line.strip(" ").count("\t")):
        rows = list(group)
        if tabs and len(rows) > 1:
            shown += f"\n\n{_table(rows)}\n\n"
        elif tabs:
            shown += "\n" + " | ".join(filter(None, _cells(rows[0])))
        else:
            for line in (" ".join(row.split()) for row in rows):
                apart = "" if shown.endswith("\n") else "\n" if _ITEM.match(line) else " "
                shown += apart + line
    return shown.strip()


def _cells(row: str) -> list[str]:
    return [" ".join(cell.split()).replace("|", "\\|") for cell in row.strip(" ").split("\t")]


def _table(rows: list[str]) -> str:
    first, *others = [_cells(row) for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in (first, ["---"] * len(first), *others))
