"""A document's lines as an answer shows them: prose flows, items, bullet points and table rows keep lines of their own."""

from __future__ import annotations

import re
from itertools import groupby

_ITEM = re.compile(r"[-*•] |\d{1,3}[.)、] ?")
# the points of a slide: paragraphs of one line that end like no sentence
_POINT = re.compile(r"(?!#|[-*•] |\d{1,3}[.)、])[^\t\n]*[^\s.!?。！？…:：;；]")
# a sentence may end within quotation marks, or before the number of a footnote
_QUOTED = re.compile(r"""[.!?。！？…](?:["'”’»」』）]|\[\d{1,3}\])+$""")


def lines(text: str) -> str:
    """Markdown of a quotation. Headings that ask nothing are left out where there is anything else.

    Stored text has a table row to a line, its cells parted by tabs: rows in a row become a table, the first its
    heading (every piece of a split table begins with it); one alone becomes cells beside each other.
    """
    found = _points(text)
    found = [line for line in found if not _heads(line)] or found
    found = [line.lstrip("# ") if line.startswith("#") else line for line in found]
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
                shown += apart + line if line else "\n\n"
    return shown.strip()


def _points(text: str) -> list[str]:
    """The lines of a text, points in a row marked as items; an empty line ends their list."""
    found: list[str] = []
    for point, group in groupby(re.split(r"\n\s*\n", text), key=lambda part: _is_point(part.strip())):
        parts = [part.strip("\n") for part in group]
        if point and len(parts) > 1:
            found += [*(f"- {part.strip()}" for part in parts), ""]
        else:
            found += [line for part in parts for line in part.splitlines() if line.strip()]
    return found


def _heads(line: str) -> bool:
    """Whether it is a heading, and no question of which the answer follows."""
    return line.startswith("#") and not line.rstrip("*_ ").endswith(("?", "？"))


def _is_point(part: str) -> bool:
    return bool(_POINT.fullmatch(part)) and not _QUOTED.search(part)


def _cells(row: str) -> list[str]:
    return [" ".join(cell.split()).replace("|", "\\|") for cell in row.strip(" ").split("\t")]


def _table(rows: list[str]) -> str:
    first, *others = [_cells(row) for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in (first, ["---"] * len(first), *others))
