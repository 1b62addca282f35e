"""Curated answers: the right entry, or none."""

from __future__ import annotations

import pytest

from kb.retrieval import FaqMatcher
from kb.store import SYSTEM, Collections, Database
from kb.store.faqs import Faqs
from kb.types import Principal
from tests.fakes import FakeEncoder


@pytest.fixture
def faqs(db: Database, encoder: FakeEncoder, collections: Collections) -> Faqs:
    collections.create(SYSTEM, "secret", "Secret")
    made = Faqs(db, encoder.encode_documents, lambda: encoder.name)
    made.create(
        SYSTEM,
        question="How do I reset my password?",
        variants=["I forgot my password"],
        answer="Press 'forgot'.",
        collection="docs",
    )
    made.create(SYSTEM, question="Where can I park?", answer="Behind the house.", collection="docs")
    return made


@pytest.fixture
def matcher(db: Database, encoder: FakeEncoder) -> FaqMatcher:
    return FaqMatcher(db, encoder)


def test_a_wording_finds_its_entry(faqs: Faqs, matcher: FaqMatcher) -> None:
    match = matcher.match(SYSTEM, "i forgot my password!")
    assert match is not None
    assert (match.entry.answer, match.wording) == ("Press 'forgot'.", "I forgot my password")
    assert match.score > 0.8


def test_another_question_finds_none(faqs: Faqs, matcher: FaqMatcher) -> None:
    assert matcher.match(SYSTEM, "What is the weather like in Lisbon?") is None


def test_entries_are_ranked(faqs: Faqs, matcher: FaqMatcher) -> None:
    ranked = matcher.rank(SYSTEM, "where to park", 5)
    assert [match.entry.answer for match in ranked] == ["Behind the house.", "Press 'forgot'."]


def test_changes_count_at_once(faqs: Faqs, matcher: FaqMatcher) -> None:
    assert matcher.match(SYSTEM, "Is lunch free?") is None
    entry = faqs.create(SYSTEM, question="Is lunch free?", answer="Yes.", collection="docs")
    assert matcher.match(SYSTEM, "Is lunch free?") is not None
    faqs.delete(SYSTEM, entry.id)
    assert matcher.match(SYSTEM, "Is lunch free?") is None


def test_only_what_the_principal_may_read(faqs: Faqs, matcher: FaqMatcher, collections: Collections) -> None:
    faqs.create(SYSTEM, question="Who gets a bonus?", answer="The board.", collection="secret")
    person = Principal("user", "u1", "Ann", scopes=frozenset({"ask"}))
    assert matcher.match(person, "Where can I park?") is None
    collections.grant("docs", "everyone", "", "read")
    assert matcher.match(person, "Where can I park?") is not None
    assert matcher.match(person, "Who gets a bonus?") is None
    assert matcher.match(SYSTEM, "Who gets a bonus?", audience="public") is None


def test_chinese_is_matched_by_words(faqs: Faqs, matcher: FaqMatcher) -> None:
    faqs.create(SYSTEM, question="如何申请退款？", answer="填表。", collection="docs")
    faqs.create(SYSTEM, question="如何申请发票？", answer="写信。", collection="docs")
    match = matcher.match(SYSTEM, "请问怎么申请退款呢")
    assert match is not None and match.entry.answer == "填表。"
    assert matcher.match(SYSTEM, "怎么申请签证") is None


def test_an_empty_faq_matches_nothing(db: Database, matcher: FaqMatcher) -> None:
    assert matcher.match(SYSTEM, "Where can I park?") is None
