"""Write the office, PDF, e-book, mail and archive files of the sample corpus from their readable sources.

`sources/A/name.docx.md` becomes `documents/A/name.docx`; a folder `sources/A/name.eml/` or `name.zip/`
becomes that file. Text, Markdown, HTML, CSV and JSON documents are their own source and stand in
`documents/` directly. Same sources, same bytes: dates are fixed, so a change in git is a change of
content.

    python data/sample/make.py [--out FOLDER]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from writers import office, openformats, pdf

HERE = Path(__file__).resolve().parent
FROM_TEXT = {
    ".docx": office.docx,
    ".xlsx": office.xlsx,
    ".pptx": office.pptx,
    ".pdf": pdf.pdf,
    ".odt": openformats.odt,
    ".rtf": openformats.rtf,
    ".epub": openformats.epub,
}
FROM_FOLDER = {".eml": openformats.eml, ".zip": openformats.zipped}


def build(source: Path) -> tuple[str, bytes]:
    """The name and the bytes of the document that belongs to one source."""
    if source.is_dir():
        return source.name, FROM_FOLDER[source.suffix](source)
    name, text = source.stem, source.read_text("utf-8")
    return name, FROM_TEXT[Path(name).suffix](text)


def main() -> None:
    """Write every document into `--out` (by default the corpus itself) and say what was written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE / "documents")
    out: Path = parser.parse_args().out
    for source in sorted((HERE / "sources").glob("*/*")):
        name, data = build(source)
        target = out / source.parent.name / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        print(f"{len(data):8,} bytes  {source.parent.name}/{name}")


if __name__ == "__main__":
    main()
