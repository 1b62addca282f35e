"""Scoring a labelled set end to end, and its figures by hand."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ingest import ingestor
from kb.app import build
from kb.commands.evaluate import evaluate_
from kb.errors import Invalid
from kb.ops.evaluate import evaluate
from kb.ops.evaluate_score import auroc, contains, figures
from kb.ops.evaluate_set import read_set
from kb.settings import Settings
from tests.fakes import FakeEncoder

SCORE = Path(__file__).parents[3] / ".." / "shared" / "eval" / "score.py"


def write(directory: Path, corpus: list[dict[str, Any]], queries: list[dict[str, Any]]) -> Path:
    directory.mkdir()
    for name, rows in (("corpus", corpus), ("queries", queries)):
        with gzip.open(directory / f"{name}.jsonl.gz", "wt") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return directory


@pytest.fixture
def documents_set(tmp_path: Path) -> Path:
    corpus = [
        {
            "id": "d1",
            "title": "Parking",
            "text": "Parking behind the house is free for guests.",
            "lang": "en",
        },
        {"id": "d2", "title": "Lunch", "text": "The cafeteria serves soup at noon.", "lang": "en"},
        {
            "id": "d3",
            "title": "Claims",
            "text": "# Claims\n\nClaims are paid within thirty days.",
            "path": "c.md",
        },
    ]
    ask = {"lang": "en", "answerable": True}
    queries = [
        {"id": "q1", "text": "Is parking free?", "doc_ids": ["d1"], "answers": ["free for guests"], **ask},
        {"id": "q2", "text": "What does the cafeteria serve?", "doc_ids": ["d2"], "answers": ["soup"], **ask},
        {"id": "q3", "text": "When are claims paid?", "doc_ids": ["d3"], "answers": ["thirty days"], **ask},
        {
            "id": "q4",
            "text": "Who founded Rome?",
            "doc_ids": [],
            "answers": [],
            "lang": "en",
            "answerable": False,
        },
        {
            "id": "q5",
            "text": "And for guests?",
            "history": [
                {"role": "user", "text": "What does parking cost?"},
                {"role": "assistant", "text": "…"},
            ],
            "doc_ids": ["d1"],
            "answers": [],
            **ask,
        },
    ]
    return write(tmp_path / "set", corpus, queries)


def test_documents_go_in_and_questions_come_out_right(
    documents_set: Path, settings: Settings, tmp_path: Path
) -> None:
    result = evaluate(documents_set, build, ingestor, settings=settings, overrides={"encoder": FakeEncoder()})
    assert result.figures["R@1"] == 1.0
    assert result.figures["contains"] == 1.0
    assert result.legs["dense"]["questions"] == result.legs["lexical"]["questions"] == 5
    assert result.legs["lexical"]["R@5"] == 1.0
    by_id = {line["id"]: line for line in result.lines}
    assert by_id["q1"]["ranked"][0] == "d1"
    assert by_id["q1"]["cited"][0] == "d1"
    assert by_id["q4"]["confidence"] < by_id["q1"]["confidence"]
    assert result.figures["abstain AUROC"] == 1.0
    assert not settings.data.exists()  # nothing but the scratch state was touched


def test_the_run_is_what_the_scorer_reads(documents_set: Path, settings: Settings, tmp_path: Path) -> None:
    if not SCORE.is_file():
        pytest.skip("../shared/eval/score.py is not here")
    result = evaluate(documents_set, build, ingestor, settings=settings, overrides={"encoder": FakeEncoder()})
    run = tmp_path / "run.jsonl"
    run.write_text("\n".join(json.dumps(line) for line in result.lines))
    done = subprocess.run(
        [sys.executable, str(SCORE), str(documents_set), str(run), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = json.loads(done.stdout)["all"]
    for name in ("R@1", "R@5", "R@10", "MRR@10", "nDCG@10", "contains", "abstain AUROC"):
        assert theirs[name] == pytest.approx(result.figures[name]), name


def test_faq_entries_are_matched_each_in_its_shop(settings: Settings, tmp_path: Path) -> None:
    def entry(id: str, question: str, kb: str, *variants: str) -> dict[str, Any]:
        return {
            "id": id,
            "text": "t",
            "question": question,
            "variants": variants,
            "answers": [f"A {id}"],
            "kb": kb,
        }

    directory = write(
        tmp_path / "faq_set",
        [
            entry("a1", "Where is my parcel?", "Shop A", "track my order"),
            entry("a2", "How do I pay?", "Shop A"),
            entry("b1", "Where is my parcel?", "Shop B"),
        ],
        [
            {"id": "q1", "text": "track the order", "doc_ids": ["a1"], "kb": "Shop A", "answerable": True},
            {
                "id": "q2",
                "text": "where is the parcel",
                "doc_ids": ["b1"],
                "kb": "Shop B",
                "answerable": True,
            },
        ],
    )
    result = evaluate(
        directory, build, ingestor, settings=settings, overrides={"encoder": FakeEncoder()}, ask=False
    )
    assert result.figures["FAQ top-1"] == result.figures["R@1"] == 1.0
    assert [line["ranked"] for line in result.lines] == [["a1", "a2"], ["b1"]]
    assert result.legs["lexical"]["FAQ top-1"] == 1.0
    assert result.legs["dense"].keys() == result.figures.keys()


def test_a_question_that_is_refused_is_one_without_an_answer(settings: Settings, tmp_path: Path) -> None:
    """People send "?" too, and ask shops of which the set holds nothing; the other questions are scored all the same."""
    directory = write(
        tmp_path / "faq_set",
        [{"id": "a1", "text": "t", "question": "Where is my parcel?", "answers": ["A a1"], "kb": "A"}],
        [
            {"id": "q1", "text": "??", "doc_ids": [], "kb": "A", "answerable": False},
            {"id": "q2", "text": "Where is my parcel?", "doc_ids": ["a1"], "kb": "A", "answerable": True},
            {"id": "q3", "text": "Where is my parcel?", "doc_ids": [], "kb": "B", "answerable": False},
            {"id": "q4", "text": "parcel " * 2000, "doc_ids": [], "kb": "A", "answerable": False},
        ],
    )
    result = evaluate(directory, build, ingestor, settings=settings, overrides={"encoder": FakeEncoder()})
    assert [line["tier"] for line in result.lines] == ["none", "faq", "none", "none"]
    assert [line["cited"] for line in result.lines] == [[], ["a1"], [], []]  # the set's own ids
    assert result.lines[2]["ranked"] == []


def test_how_sure_of_an_entry_is_the_matchers_word(settings: Settings, tmp_path: Path) -> None:
    """Where no entry is sure enough the answer looks for documents, finds none, and is as unsure of all questions."""
    directory = write(
        tmp_path / "faq_set",
        [{"id": "a1", "text": "t", "question": "Where is my parcel?", "answers": ["A a1"]}],
        [{"id": q, "text": q, "doc_ids": []} for q in ("Where has my parcel gone?", "Who founded Rome?")],
    )
    overrides = {"encoder": FakeEncoder()}
    asked = evaluate(directory, build, ingestor, settings=settings, overrides=overrides)
    found = evaluate(directory, build, ingestor, settings=settings, overrides=overrides, ask=False)
    near, far = (line["confidence"] for line in found.lines)
    assert near > far
    assert [line["confidence"] for line in asked.lines] == [near, far]


def test_a_set_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    for name, row in (("corpus", {"id": "d", "text": "t"}), ("queries", {"id": "q", "text": "t"})):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row), encoding="utf-8-sig")
    assert read_set(tmp_path).corpus[0]["id"] == "d"


def test_a_corpus_of_files_is_read_from_the_files(settings: Settings, tmp_path: Path) -> None:
    corpus = [
        {"id": "a.pdf", "title": "Parking", "text": "(see files/a.html)", "path": "files/a.html"},
        {"id": "b", "title": "Lunch", "path": "files/b.md"},
        {"id": "c", "title": "Claims", "text": "Claims are paid within thirty days.", "path": "files/c.md"},
        {"id": "d", "title": "Secret", "text": "see ../secret.md", "path": "../secret.md"},
    ]
    queries = [
        {"id": "q1", "text": "Is parking free for guests?", "doc_ids": ["a.pdf"], "answerable": True},
        {"id": "q2", "text": "What does the cafeteria serve?", "doc_ids": ["b"], "answerable": True},
        {"id": "q3", "text": "When are claims paid?", "doc_ids": ["c"], "answerable": True},
    ]
    directory = write(tmp_path / "set", corpus, queries)
    (directory / "files").mkdir()
    (directory / "files/a.html").write_text("<p>Parking behind the house is free for guests.</p>")
    (directory / "files/b.md").write_text("The cafeteria serves soup at noon.")
    (directory / "files/c.md").write_text("# Unmasked\n\nThis one has a text of its own, which counts.")
    (tmp_path / "secret.md").write_text("outside")
    assert set(read_set(directory).originals) == {"a.pdf", "b"}
    result = evaluate(directory, build, ingestor, settings=settings, overrides={"encoder": FakeEncoder()})
    by_id = {line["id"]: line for line in result.lines}
    assert result.figures["R@1"] == 1.0
    assert "free for guests" in by_id["q1"]["quotes"][0]
    assert "soup" in by_id["q2"]["quotes"][0]
    assert "thirty days" in by_id["q3"]["quotes"][0]


def test_an_entry_without_text_or_file_is_named(tmp_path: Path) -> None:
    directory = write(
        tmp_path / "set",
        [{"id": "lost", "path": "files/lost.pdf"}],
        [{"id": "q1", "text": "Is parking free?", "doc_ids": ["lost"], "answerable": True}],
    )
    with pytest.raises(Invalid, match="lost"):
        read_set(directory)


def test_figures_by_hand() -> None:
    queries = [
        {"id": "1", "doc_ids": ["a"], "answerable": True},
        {"id": "2", "doc_ids": ["b", "c"], "answerable": True},
        {"id": "3", "doc_ids": [], "answerable": False},
    ]
    run = {
        "1": {"ranked": ["x", "a"], "confidence": 0.9},
        "2": {"ranked": ["c", "b"], "confidence": 0.2},
        "3": {"ranked": ["a"], "confidence": 0.2},
    }
    found = figures(queries, run, all_needed=False)
    assert (found["R@1"], found["R@5"], found["MRR@10"]) == (0.5, 1.0, 0.75)
    assert found["abstain AUROC"] == 0.75
    assert figures(queries, run, all_needed=True)["all@10"] == 1.0
    assert figures(queries, {}, all_needed=False) == {"questions": 3, "answerable": 2}


def test_auroc_and_contains() -> None:
    assert auroc([2, 3], [1, 1]) == 1.0
    assert auroc([1], [1]) == 0.5
    assert contains("It is Thirty-days, really.", ["thirty days"])
    assert not contains("It is soup.", ["", "—"])


@pytest.mark.parametrize(
    ("name", "content"), [("corpus.jsonl", "{"), ("corpus.jsonl", '{"id": 1, "text": "x"}'), ("x", "")]
)
def test_a_folder_that_is_no_set_is_named(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    (tmp_path / "queries.jsonl").write_text('{"id": "q", "text": "x"}')
    with pytest.raises(Invalid, match="corpus"):
        read_set(tmp_path)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"history": [{"role": "user", "text": "Hi"}, {"text": "And?"}]},
            "turn 2 of the history needs a role",
        ),
        ({"history": [{"role": "user"}]}, "turn 1 of the history needs a text"),
        ({"history": "before"}, "history must be a list of turns"),
        ({"history": ["before"]}, "history must be a list of turns"),
        ({"doc_ids": "d"}, "doc_ids must be a list of texts"),
        ({"answers": "free"}, "answers must be a list of texts"),
        ({"answerable": "false"}, "answerable must be true or false"),
    ],
)
def test_a_question_that_does_not_fit_is_named_by_file_and_line(
    tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    good = {"id": "q", "text": "Is parking free?", "history": None, "doc_ids": ["d"]}
    directory = write(tmp_path / "set", [{"id": "d", "text": "Parking is free."}], [good, {**good, **given}])
    done = CliRunner().invoke(evaluate_, [str(directory)])
    assert isinstance(done.exception, Invalid), done.exception
    assert f"queries.jsonl.gz, line 2: {said}" in done.exception.detail


@pytest.mark.parametrize(
    "content",
    [b"no gzip", gzip.compress(b'{"id": "q", "text": "x"}', mtime=0)[:-9], gzip.compress(b"\xff", mtime=0)],
    ids=["not packed", "cut short", "not UTF-8"],
)
def test_a_file_that_cannot_be_unpacked_is_named(tmp_path: Path, content: bytes) -> None:
    directory = write(tmp_path / "set", [{"id": "d", "text": "t"}], [])
    (directory / "queries.jsonl.gz").write_bytes(content)
    with pytest.raises(Invalid, match=r"queries\.jsonl\.gz cannot be read"):
        read_set(directory)
