"""FAQ files: CSV or JSON into plain rows, for the REST call and the command alike; and entries into CSV.

CSV (commas, semicolons or tabs): a heading row with `question` and `answer`, and optionally `variants` (separated by | or line
breaks; one within a wording has a backslash before it), `collection`, `language`, and the `id` of the entry that the row is to
change. A cell that a spreadsheet would calculate (=…, +…, -…, @…) has an apostrophe in front when it is written, which is
taken off when it is read. JSON: a list of objects, or {"data": [...]} as the API lists them.

web/static/js/faq.js writes the same.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from typing import Any, Literal

from kb.errors import FieldError, Invalid
from kb.types import FaqEntry

FIELDS = ("id", "question", "variants", "answer", "collection", "language")
MOST_ROWS = 5000

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_BETWEEN = re.compile(r"(?<!\\)(\\*)([|\n])")  # what parts wordings, and the backslashes before it


def read_rows(kind: Literal["csv", "json"], raw: bytes) -> list[Any]:
    """The file's rows. Invalid when it cannot be read as a whole; single bad rows are the caller's to report."""
    if raw.startswith(b"PK\x03\x04"):
        raise Invalid("The file is a spreadsheet or an archive. Save it as CSV (UTF-8) and send that.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid("The file is not UTF-8. Save it as UTF-8 and send it again.") from None
    rows = _json(text) if kind == "json" else _csv(text)
    if len(rows) > MOST_ROWS:
        raise Invalid(f"{len(rows)} rows are more than the {MOST_ROWS} taken at once. Split the file.")
    return rows


def _json(text: str) -> list[Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"The body is not JSON: {error}.", errors=(FieldError("", "is not JSON"),)) from None
    if isinstance(found, dict):
        found = found.get("data")
    if not isinstance(found, list):
        raise Invalid("The body must be a list of entries.", errors=(FieldError("", "must be a list"),))
    return [_fields(row) if isinstance(row, dict) else row for row in found]


def _fields(row: dict[str, Any]) -> dict[str, Any]:
    # an empty field is none, as in a CSV: an entry without a language is listed with ""
    made = {name: value for name, value in row.items() if name in FIELDS and value not in ("", None)}
    if isinstance(made.get("variants"), str):
        made["variants"] = _split(made["variants"])
    return made


def check_row(row: Any) -> None:
    """Invalid for a row of JSON whose fields are of other kinds than an entry's: 5, ["x"] or null are no wordings."""
    if not isinstance(row, dict):
        raise Invalid("It is no object with question and answer.")
    for name in FIELDS:
        given = row.get(name, [] if name == "variants" else "")
        if name == "variants" and not (
            isinstance(given, list) and all(isinstance(text, str) for text in given)
        ):
            raise Invalid("variants must be a list of texts.")
        if name != "variants" and not isinstance(given, str):
            raise Invalid(f"{name} must be a text.")
    if row.get("language") and not _LANGUAGE.fullmatch(row["language"]):
        raise Invalid("language must be a code such as en, zh or zh-Hant.")


def csv_row(entry: FaqEntry) -> tuple[str, ...]:
    """The cells of an entry, in the order of FIELDS; `read_rows` makes exactly the same of them."""
    cells = (entry.id, entry.question, _join(entry.variants), entry.answer, entry.collection, entry.language)
    return tuple("'" + cell if _FORMULA.match(cell) else cell for cell in cells)


def _join(variants: Sequence[str]) -> str:
    """The wordings, `|` between them. Backslashes count double where a | or a line break follows, and only there."""
    texts = [_BETWEEN.sub(r"\1\1\\\2", text) for text in variants]
    ends = [text[len(text.rstrip("\\")) :] for text in texts[:-1]]
    return "|".join(text + end for text, end in zip(texts, [*ends, ""], strict=False))


def _split(variants: str) -> list[str]:
    parts, at = [""], 0
    for found in _BETWEEN.finditer(variants):
        slashes = len(found[1])
        parts[-1] += variants[at : found.start()] + "\\" * (slashes // 2)
        if slashes % 2:
            parts[-1] += found[2]
        else:
            parts.append("")
        at = found.end()
    parts[-1] += variants[at:]
    return [part.strip() for part in parts if part.strip()]


def _csv(text: str) -> list[Any]:
    try:
        heading = text.split("\n", 1)[0]
        mark = max(",;\t", key=heading.count)  # spreadsheets in many countries write semicolons
        reader = csv.DictReader(io.StringIO(text), delimiter=mark, strict=True)
        names = [(name or "").strip().lower() for name in reader.fieldnames or []]
        reader.fieldnames = names
        if missing := {"question", "answer"} - set(names):
            raise Invalid(
                f"The heading row lacks {' and '.join(sorted(missing))}. It must name question and answer, "
                "and may name id, variants, collection and language.",
                errors=tuple(FieldError(f"/{name}", "column is missing") for name in sorted(missing)),
            )
        return [_row(row) for row in reader]
    except csv.Error as error:
        raise Invalid(f"The CSV cannot be read: {error}.") from None


def _row(row: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {name: _meant((row.get(name) or "").strip()) for name in FIELDS}
    made["variants"] = _split(made["variants"])
    return {name: value for name, value in made.items() if value}


def _meant(cell: str) -> str:
    """The cell without the apostrophe that keeps it from being calculated."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
