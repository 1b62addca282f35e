"""The front door of answering: events in order, every tier labelled, nothing lost and nothing half."""

from __future__ import annotations

from typing import Any

import pytest

from kb.answer import Asker, answer_text
from kb.errors import Busy, Invalid, NotFound, TooLarge, Unavailable
from kb.llm.queue import Queue
from kb.settings import Settings
from kb.types import SURE, Event, FaqMatch, Filters, Principal, Question, Turn
from tests.fakes import FakeEncoder
from tests.fakes_answer import ALICE, FakeChat, FakeConversations, FakeFaq, FakeRetriever

LEAVE = "How many days of paid leave do employees get?"


def asker(
    chat: FakeChat | None = None,
    retriever: FakeRetriever | None = None,
    conversations: FakeConversations | None = None,
    **more: Any,
) -> Asker:
    values: dict[str, Any] = {"faq": None, "encoder": FakeEncoder()} | more
    return Asker(
        values.pop("settings", Settings()),
        conversations or FakeConversations(),
        retriever or FakeRetriever(),
        values.pop("faq"),
        chat,
        **values,
    )


def run(ask: Asker, text: str, **more: Any) -> list[Event]:
    events = list(ask.ask(ALICE, Question(text, **more)))
    kinds = [event.kind for event in events]
    assert sum(kind in ("done", "error") for kind in kinds) == 1 and kinds[-1] in ("done", "error")
    order = ["status", "sources", "token", "citations", "done", "error"]
    places = [order.index(kind) for kind in kinds if kind != "status"]
    assert places == sorted(places)
    return events


def test_without_a_model_it_quotes_and_says_so() -> None:
    events = run(asker(), LEAVE)
    answer = events[-1].data
    assert answer.tier == "extractive" and answer.answerable and answer.support == "full"
    assert "25 days of paid leave" in answer.text and "[1]" in answer.text
    assert answer.notice == "Quoted from the documents; no language model is configured."
    by_number = {passage.n: passage for passage in answer.passages}
    assert answer.citations and all(c.quote in by_number[c.n].text for c in answer.citations)
    assert {"guard", "followup", "faq", "retrieve", "read", "save", "total"} <= answer.timings_ms.keys()
    assert [event.data["text"] for event in events if event.kind == "token"] == [answer.text]


def test_a_quotation_below_even_chance_says_that_it_may_not_be_the_answer() -> None:
    sure, unsure = (run(asker(), text)[-1].data for text in (LEAVE, "paid leave for house moving days"))
    assert sure.tier == unsure.tier == "extractive" and unsure.confidence < SURE <= sure.confidence
    assert sure.sure and not unsure.sure
    assert (
        unsure.notice
        == f"{sure.notice} This is the closest the documents come; it may not be what you asked."
    )


def test_a_chinese_question_gets_chinese_words_around_the_quotation() -> None:
    answer = run(asker(), "上海办公室的营业时间是几点到几点？")[-1].data
    assert answer.tier == "extractive" and "九点到十八点" in answer.text
    assert answer.notice == "以下内容摘自文档原文；未配置语言模型。"


def test_with_a_model_it_generates_cites_and_checks() -> None:
    chat = FakeChat(["Employees get 25 days", " of paid leave [1]."])
    events = run(asker(chat), LEAVE)
    answer = events[-1].data
    assert (answer.tier, answer.support, answer.model, answer.notice) == ("generated", "full", "fake", None)
    assert "".join(event.data["text"] for event in events if event.kind == "token") == answer.text
    assert [citation.quote for citation in answer.citations] == [
        "Employees get 25 days of paid leave each year."
    ]


def test_invented_figures_are_marked() -> None:
    answer = run(asker(FakeChat(["Employees get 99 days of paid leave [1]."])), LEAVE)[-1].data
    assert answer.support == "none" and "99 days" in (answer.notice or "")


def test_marks_that_name_no_passage_go() -> None:
    answer = run(asker(FakeChat(["Employees get 25 days of paid leave [1][77]【1†L9】."])), LEAVE)[-1].data
    assert answer.text == "Employees get 25 days of paid leave [1][1]."
    assert [citation.n for citation in answer.citations] == [1]


def test_a_model_that_dies_midway_is_replaced() -> None:
    chat = FakeChat(["Employees get ", "about forty "], error=Unavailable("gone"))
    events = run(asker(chat), LEAVE)
    answer = events[-1].data
    assert answer.tier == "extractive" and "forty" not in answer.text and "25 days" in answer.text
    assert (
        answer.notice == "Quoted from the documents; the language model broke off, so its text was discarded."
    )


@pytest.mark.parametrize("said", ["NOT_FOUND", " `NOT_FOUND`", "NOT_FOUND."])
def test_a_model_that_finds_nothing_is_believed_and_its_signal_never_shown(said: str) -> None:
    events = run(asker(FakeChat(list(said))), LEAVE)
    answer = events[-1].data
    assert answer.tier == "none" and not answer.answerable and answer.passages
    assert "NOT_FOUND" not in "".join(str(event.data) for event in events)


def test_nothing_relevant_is_said_logged_and_offered_as_such() -> None:
    conversations = FakeConversations()
    answer = run(asker(conversations=conversations), "Who won the 1998 football world cup in Marseille?")[
        -1
    ].data
    assert answer.tier == "none" and not answer.answerable and answer.citations == ()
    assert answer.text.startswith("I found nothing in the documents that answers this.") and answer.passages
    assert [saved.answerable for saved, _ in conversations.saved] == [False]


def test_an_empty_knowledge_base_says_so() -> None:
    answer = run(asker(FakeChat(["never"]), FakeRetriever({})), LEAVE)[-1].data
    assert answer.tier == "none" and answer.text == "I found nothing in the documents about this."


def test_curated_answers_are_verbatim_and_need_no_model() -> None:
    chat = FakeChat(["never asked"])
    faq = FakeFaq("How do I reset my password?", "Click **Forgot password**.\nThen wait.")
    events = run(asker(chat, faq=faq), "How do I reset my password?")
    answer = events[-1].data
    assert (
        answer.tier == "faq" and answer.text == "Click **Forgot password**.\nThen wait." and not chat.prompts
    )
    assert [citation.document_id for citation in answer.citations] == ["faq_1"]


@pytest.mark.parametrize("other", ["What does error E14 mean?", "Is error E-07b dangerous?"])
def test_a_curated_answer_about_another_code_is_not_given(other: str) -> None:
    class Near(FakeFaq):  # as the encoder sees it
        def match(self, *given: Any, **named: Any) -> Any:
            return FaqMatch(self.entry, 0.87, self.entry.question)

    faq = Near("What does error E07 mean?", "The grinder is blocked.")
    for same in ("What does error E07 mean?", "what does error e-07 mean"):
        assert run(asker(faq=faq), same)[-1].data.tier == "faq"
    assert run(asker(faq=faq), other)[-1].data.tier != "faq"


def test_curated_answers_are_not_documents_and_need_their_subject() -> None:
    faq = FakeFaq("How long is it?", "Two days.")
    assert run(asker(faq=faq), "How long is it?")[-1].data.tier == "faq"
    assert run(asker(faq=faq), "How long is it?", filters=Filters(type="pdf"))[-1].data.tier != "faq"
    assert run(asker(faq=faq), "How long is it?", history=(Turn("user", LEAVE),))[-1].data.tier != "faq"


@pytest.mark.parametrize(
    ("text", "error"), [("", Invalid), (" \n\t", Invalid), ("\0\x07\u200b", Invalid), ("x" * 8001, TooLarge)]
)
def test_questions_that_are_none_are_refused_by_name(text: str, error: type[Exception]) -> None:
    event = run(asker(), text)[-1]
    assert (
        event.kind == "error"
        and isinstance(event.data, error)
        and event.data.errors[0].pointer == "/question"
    )


def test_the_longest_question_is_answered() -> None:
    assert run(asker(), (LEAVE + " ") * 170 + "x" * 100)[-1].kind == "done"


def test_a_follow_up_keeps_its_subject() -> None:
    retriever, conversations = FakeRetriever(), FakeConversations()
    ask = asker(retriever=retriever, conversations=conversations)
    first = run(ask, LEAVE)[-1].data
    second = run(ask, "And for part-time staff?", conversation_id=first.conversation_id)[-1].data
    assert "15 days" in second.text and second.question == "And for part-time staff?"
    assert "paid leave" in retriever.asked[-1] and conversations.saved[-1][1] == retriever.asked[-1]


def test_history_given_with_the_question_counts_too() -> None:
    retriever = FakeRetriever()
    run(asker(retriever=retriever), "And for part-time staff?", history=(Turn("user", LEAVE),))
    assert retriever.asked[-1].startswith(LEAVE)


def test_a_public_question_hides_the_internal_answers_before_it_from_the_model() -> None:
    chat, conversations = FakeChat(["See [1]."]), FakeConversations()
    conversations.turns["cnv_1"] = [Turn("user", LEAVE), Turn("assistant", "The secret rate is 77.")]
    ask = asker(chat, conversations=conversations)
    run(ask, "And for part-time staff?", conversation_id="cnv_1", audience="public")
    run(ask, "And for part-time staff?", conversation_id="cnv_1")
    assert ["secret rate" in str(prompt) for prompt in chat.prompts] == [False, True]


def test_somebody_elses_conversation_does_not_exist() -> None:
    event = run(asker(), LEAVE, conversation_id="cnv_foreign")[-1]
    assert isinstance(event.data, NotFound)


def test_errors_of_retrieval_end_the_question_once() -> None:
    assert isinstance(
        run(asker(retriever=FakeRetriever(error=NotFound("no such collection"))), LEAVE)[-1].data, NotFound
    )


def test_a_store_that_cannot_write_costs_the_record_not_the_answer() -> None:
    answer = run(asker(conversations=FakeConversations(Busy("locked"))), LEAVE)[-1].data
    assert answer.tier == "extractive" and "could not be saved" in answer.notice


def test_a_broken_part_is_reported_without_its_insides() -> None:
    class Broken(FakeRetriever):
        def retrieve(self, principal: Principal, question: str, **_: Any) -> Any:
            raise RuntimeError("secret path /var/lib")

    event = run(asker(retriever=Broken()), LEAVE)[-1]
    assert event.kind == "error" and "secret" not in event.data.detail


def test_waiting_says_its_position_and_a_full_queue_quotes() -> None:
    queue = Queue(1, 1)
    with queue.enter("user:bob"):
        events = run(asker(FakeChat(["x"]), queue=queue), LEAVE, deadline_ms=1500)
        assert [event.data.get("position") for event in events if event.kind == "status"] == [1]
        assert events[-1].data.tier == "extractive"
        with queue.enter("user:carol"):
            answer = run(asker(FakeChat(["x"]), queue=queue), LEAVE)[-1].data
            assert answer.notice is not None and "too many questions" in answer.notice
    assert queue.serving == 0 and queue.waiting == 0


def test_a_resting_model_is_not_asked() -> None:
    chat = FakeChat(["never"], up=False)
    answer = run(asker(chat), LEAVE)[-1].data
    assert answer.tier == "extractive" and "not available" in answer.notice and not chat.prompts


def test_leaving_midway_closes_the_model_and_saves_nothing() -> None:
    chat, conversations = FakeChat(["Employees get 25 ", "days [1]. ", "and more"]), FakeConversations()
    events = asker(chat, conversations=conversations).ask(ALICE, Question(LEAVE))
    for event in events:
        if event.kind == "token":
            break
    events.close()  # type: ignore[attr-defined]
    assert chat.closed.is_set() and conversations.saved == []


def test_a_deadline_must_be_one() -> None:
    assert isinstance(run(asker(), LEAVE, deadline_ms=0)[-1].data, Invalid)


def test_answer_text_drains_and_raises() -> None:
    assert answer_text(asker().ask(ALICE, Question(LEAVE))).tier == "extractive"
    with pytest.raises(Invalid):
        answer_text(asker().ask(ALICE, Question("")))


def test_passages_are_delimited_data_in_the_prompt() -> None:
    chat = FakeChat(["Employees get 25 days of paid leave [1]."])
    ask = asker(chat)
    run(ask, LEAVE)
    run(ask, LEAVE)
    marks = []
    for system, user in chat.prompts:
        assert system["role"] == "system" and user["role"] == "user"
        mark = next(line for line in user["content"].splitlines() if line.startswith("-----"))
        marks.append(mark)
        before, inside, after = user["content"].split(mark)
        assert "25 days" in inside and LEAVE in after and "25 days" not in before + after
    assert marks[0] != marks[1]
