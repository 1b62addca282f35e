"""The sample corpus is what data/README.md says: formats, languages, and gold that really stands in the documents."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pypdf
import pytest

from tests.data.sample_text import squeeze, text_of

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"
DOCUMENTS = SAMPLE / "documents"
PATHS = sorted(path.relative_to(DOCUMENTS).as_posix() for path in DOCUMENTS.glob("*/*"))
QUESTIONS: list[dict[str, Any]] = [
    json.loads(line) for line in (SAMPLE / "questions.jsonl").read_text("utf-8").splitlines()
]
ANSWERABLE = [question for question in QUESTIONS if question["answerable"]]


def entries() -> list[dict[str, str]]:
    with (SAMPLE / "faq.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_number_formats_and_size() -> None:
    formats = Counter(Path(path).suffix for path in PATHS)
    assert 30 <= len(PATHS) <= 60
    assert set(formats) == set(
        ".md .txt .html .docx .xlsx .pptx .pdf .csv .json .eml .odt .rtf .epub .zip".split()
    )
    assert sum((DOCUMENTS / path).stat().st_size for path in PATHS) < 2_000_000


def test_every_collection_is_declared_and_the_handbook_is_internal() -> None:
    collections = {row["name"]: row for row in json.loads((SAMPLE / "collections.json").read_text("utf-8"))}
    assert set(collections) == {path.split("/")[0] for path in PATHS}
    assert {row["audience"] for row in collections.values()} == {"internal", "public"}
    assert collections["handbook"]["audience"] == "internal"


@pytest.mark.parametrize("path", PATHS)
def test_every_document_holds_real_text(path: str) -> None:
    text = text_of(DOCUMENTS / path)
    assert len(re.findall(r"[\w'-]+", text)) + len(re.findall(r"[\u4e00-\u9fff]", text)) >= 120, text


def test_chinese_part() -> None:
    texts = {path: text_of(DOCUMENTS / path) for path in PATHS}
    chinese = {
        path for path, text in texts.items() if len(re.findall(r"[\u4e00-\u9fff]", text)) > 0.3 * len(text)
    }
    assert len(chinese) >= 8
    assert {path for path in chinese if re.search("[個維體則]", texts[path])} == {
        "support/warranty-hong-kong-zh-hant.txt"
    }


def test_mail_has_an_attachment_and_the_archive_two_files() -> None:
    assert "mould number, 01 to 12" in text_of(DOCUMENTS / "support/safety-notice-wt204.eml")
    with zipfile.ZipFile(DOCUMENTS / "support/spare-parts-pack.zip") as archive:
        assert len(archive.namelist()) == 2


def test_documents_are_those_of_the_sources(tmp_path: Path) -> None:
    subprocess.run([sys.executable, SAMPLE / "make.py", "--out", tmp_path], check=True, capture_output=True)
    made = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/*"))
    assert len(made) == len(list((SAMPLE / "sources").glob("*/*")))
    for path in made:
        assert text_of(tmp_path / path) == text_of(DOCUMENTS / path), path


def test_questions_count_and_kinds() -> None:
    assert len(QUESTIONS) == 80
    assert len({question["id"] for question in QUESTIONS}) == 80
    assert len({(question["text"], str(question.get("history"))) for question in QUESTIONS}) == 80
    assert len(QUESTIONS) - len(ANSWERABLE) == 27
    assert sum(question["lang"].startswith("zh") for question in QUESTIONS) >= 15
    assert {question["kind"] for question in QUESTIONS} == {"document", "faq", "followup", "unanswerable"}
    for question in QUESTIONS:
        assert (question["kind"] == "followup") == bool(question.get("history")), question["id"]


@pytest.mark.parametrize("question", ANSWERABLE, ids=lambda question: question["id"])
def test_gold_stands_in_the_document(question: dict[str, Any]) -> None:
    assert question["answers"] and question["gold"]
    assert set(question["doc_ids"]) <= set(PATHS)
    assert {gold["path"] for gold in question["gold"]} <= set(question["doc_ids"])
    for gold in question["gold"]:
        text = text_of(DOCUMENTS / gold["path"])
        assert squeeze(gold["quote"]) in text
        assert any(squeeze(answer) in text for answer in question["answers"])


def test_unanswerable_questions_have_no_gold() -> None:
    for question in QUESTIONS:
        if not question["answerable"]:
            assert not question["answers"] and not question["doc_ids"] and not question["gold"], question[
                "id"
            ]


def test_faq() -> None:
    rows = entries()
    assert list(rows[0]) == ["question", "variants", "answer", "collection", "language"]
    assert len(rows) == len({row["question"] for row in rows}) == 60
    assert sum(row["language"] == "zh" for row in rows) >= 12
    for row in rows:
        assert all(row.values()) and row["collection"] in {"handbook", "products", "support"}
    phrases = [phrase for row in rows for phrase in (row["question"], *row["variants"].split("|"))]
    assert len(phrases) == len(set(phrases)) and all(phrases)


def test_faq_questions_name_their_entry() -> None:
    known = {row["question"] for row in entries()}
    for question in QUESTIONS:
        assert (question["kind"] == "faq") == ("faq" in question)
        assert question.get("faq") is None or question["faq"] in known


def test_pdfs_have_pages_bookmarks_header_and_footer() -> None:
    for path in (path for path in PATHS if path.endswith(".pdf")):
        reader = pypdf.PdfReader(io.BytesIO((DOCUMENTS / path).read_bytes()))
        assert len(reader.pages) >= 2 and len(reader.outline) > 3
        assert all("Varnholt" in page.extract_text() for page in reader.pages)
