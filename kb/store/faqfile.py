"""FAQ files: CSV or JSON into plain rows, for the REST call and the command alike.

CSV (commas, semicolons or tabs): a heading row with `question` and `answer`, and optionally `variants` (separated by | or line
breaks), `collection`, `language`, and the `id` of the entry that the row is to change. JSON: a list of objects, or
{"data": [...]} as the API lists them.
"""

from __future__ import annotations

import csv
import io
import json
from typing import Any, Literal

from kb.errors import FieldError, Invalid

FIELDS = ("id", "question", "variants", "answer", "collection", "language")
MOST_ROWS = 5000


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


def _split(variants: str) -> list[str]:
    return [v.strip() for v in variants.replace("\n", "|").split("|") if v.strip()]


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
    made: dict[str, Any] = {name: (row.get(name) or "").strip() for name in FIELDS}
    made["variants"] = _split(made["variants"])
    return {name: value for name, value in made.items() if value}
