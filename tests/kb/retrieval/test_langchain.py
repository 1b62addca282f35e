"""The LangChain adapter over the real retriever."""

from __future__ import annotations

from pathlib import Path

from kb.index import Index
from kb.retrieval import Retriever
from kb.retrieval.langchain import KbRetriever
from kb.store import SYSTEM, Collections, Database, Documents, Jobs
from kb.types import Principal
from tests.fakes import FakeEncoder, put


def test_it_searches_as_its_principal(
    db: Database,
    encoder: FakeEncoder,
    documents: Documents,
    jobs: Jobs,
    collections: Collections,
    tmp_path: Path,
) -> None:
    put(documents, jobs, "Parking is free.", "a.txt")
    index = Index(db, encoder, tmp_path / "index")
    retriever = Retriever(db, index, encoder)
    found = KbRetriever(retriever=retriever, principal=SYSTEM).invoke("parking")
    assert [document.page_content for document in found] == ["Parking is free."]
    assert found[0].metadata["external_id"] == "a.txt"
    stranger = Principal("user", "u1", "Ann", scopes=frozenset({"search"}))
    assert KbRetriever(retriever=retriever, principal=stranger).invoke("parking") == []
    index.close()
