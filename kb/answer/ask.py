"""One question answered: guard → follow-up → faq → retrieve → read → generate or quote → cite → support → save.

Every path ends in exactly one `done` or `error` event, within the question's deadline: a model that is
missing, down, slow or talking nonsense costs the generated wording, never the answer.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from kb.answer import answerable, cite, entities, extract, followup, guard, smalltalk, support
from kb.answer.find import READ_PASSAGES, Finder
from kb.answer.generate import Generated, Request, generate
from kb.answer.messages import say, spoken
from kb.answer.ports import Conversations, Faq, Retriever
from kb.answer.quotations import quoted
from kb.answer.run import Draft, Run
from kb.errors import Busy, DiskFull, FieldError, Invalid, KbError
from kb.llm.queue import Queue
from kb.ports import Cancel, ChatModel, Encoder
from kb.settings import Settings
from kb.types import (
    SURE,
    Answer,
    Citation,
    Event,
    FaqMatch,
    Filters,
    Passage,
    Principal,
    Question,
)

log = logging.getLogger(__name__)

HISTORY_TURNS = 8


class Asker:
    """Answers questions; one for the whole process, safe to share between threads.

    chat: None when no model is configured. encoder: ranks quoted sentences; without it words alone do.
    """

    def __init__(
        self,
        settings: Settings,
        conversations: Conversations,
        retriever: Retriever,
        faq: Faq | None,
        chat: ChatModel | None,
        queue: Queue | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        self._settings = settings
        self._conversations = conversations
        self._faq = faq
        self._chat = chat
        self._queue = queue or Queue(settings.llm_concurrency, settings.llm_queue)
        self._finder = Finder(retriever, encoder, max(settings.passages, READ_PASSAGES))

    def ask(
        self,
        principal: Principal,
        question: Question,
        *,
        cancel: Cancel | None = None,
        hurry: Cancel | None = None,
    ) -> Generator[Event]:
        """Events in order: status* sources token* citations (done | error).

        Tokens are provisional; the Answer in `done` is what counts. Closing the generator stops the model
        and leaves nothing half written. cancel: nobody waits any more. hurry: nobody can wait for the model any
        more; what it has not finished is quoted.
        """
        try:
            yield from self._steps(self._begin(principal, question, cancel, hurry))
        except KbError as problem:
            yield Event("error", problem)
        except Exception:
            log.exception("answering failed")
            yield Event("error", KbError("Something went wrong while answering. Please try again."))

    def _steps(self, run: Run) -> Iterator[Event]:
        with run.step("faq"):
            match = self._match(run)
        if match is not None:
            yield Event("sources", {"passages": []})
            yield from self._finish(run, self._curated(match))
            return
        if smalltalk.only(run.text):
            yield Event("sources", {"passages": []})
            kind = "courtesy" if smalltalk.greets(run.text) else "thanked"
            draft = Draft(say(kind, run.language), "none", False, "unchecked")
            yield from self._finish(run, draft)
            return
        found = self._finder.find(run)
        run.standalone, run.slips = found.asked, found.slips
        yield Event("sources", {"passages": list(found.retrieved.passages)})
        yield from self._say(run, found.retrieved.passages, found.reading, found.confidence)

    def _say(
        self, run: Run, passages: tuple[Passage, ...], reading: extract.Reading, confidence: float
    ) -> Iterator[Event]:
        """Generate where a model can, quote where it cannot, say so where there is nothing."""
        floor = answerable.REFUSE_BELOW if self._chat is None else answerable.REFUSE_BELOW_MODEL
        if not passages or reading.best is None or confidence < floor:
            yield from self._finish(run, self._nothing(run, passages, confidence))
            return
        outcome = Generated(notice="quoted-no-model")
        if self._chat is not None:
            outcome.notice = "quoted-down"
            with run.step("generate"):
                yield from generate(self._chat, self._queue, self._request(run, passages), outcome)
            run.timings |= {"queue": outcome.queue_ms, "first_token": outcome.first_token_ms}
        if outcome.text is not None:
            draft = self._generated(run, outcome, passages, confidence)
        elif outcome.not_found or confidence < answerable.REFUSE_BELOW:
            draft = self._nothing(run, passages, confidence)
        else:
            draft = self._quoted(run, reading, passages, confidence, outcome.notice)
        # After tokens of a model that failed, no more are sent: they would be added to its words.
        yield from self._finish(run, draft, told=outcome.streamed)

    # ---- the steps

    def _begin(
        self, principal: Principal, question: Question, cancel: Cancel | None, hurry: Cancel | None
    ) -> Run:
        began = time.monotonic()
        budget = self._settings.llm_total_s
        if question.deadline_ms is not None:
            if question.deadline_ms <= 0:
                raise Invalid(
                    "deadline_ms must be above 0.", errors=(FieldError("/deadline_ms", "must be above 0"),)
                )
            budget = min(budget, question.deadline_ms / 1000)
        run = Run(principal, question, cancel, began, began + budget, hurry=hurry)
        with run.step("guard"):
            run.text = guard.question(question.text)
            run.language = spoken(run.text, question.language)
        with run.step("followup"):
            run.history = question.history
            if question.conversation_id is not None and not run.history:
                run.history = self._conversations.history(
                    principal, question.conversation_id, HISTORY_TURNS, question.audience
                )
            run.standalone = followup.standalone(run.text, run.history)
        return run

    def _match(self, run: Run) -> FaqMatch | None:
        asked = run.asked
        if self._faq is None or asked.filters != Filters():  # filters are about documents; an entry is none
            return None
        match = self._faq.match(
            run.principal, run.standalone, collections=asked.collections, audience=asked.audience
        )
        # to the encoder, error E14 is nearly E07: a curated answer about the other would be shown as certain
        if match is None or entities.strange_to(run.standalone, match.entry):
            return None
        # a follow-up is mostly the words of the question before it, and so near to that one's entry
        entry = match.entry
        said = " ".join((entry.question, *entry.variants, entry.answer))
        return match if run.standalone == run.text or followup.keeps_to(run.text, said) else None

    def _request(self, run: Run, passages: Sequence[Passage]) -> Request:
        return Request(
            question=run.text,
            passages=passages,
            history=run.history,
            language=run.language,
            wanted=run.asked.language,
            key=f"{run.principal.kind}:{run.principal.id}",
            budget=self._settings.llm_context_tokens,
            deadline=run.deadline,
            cancel=run.cancel,
            hurry=run.hurry,
        )

    # ---- the ends

    def _curated(self, match: FaqMatch) -> Draft:
        entry = match.entry
        source = Citation(
            n=1,
            document_id=entry.id,
            external_id=entry.id,
            title=entry.question,
            revision=1,
            page=None,
            heading="",
            quote=entry.answer,
            url="",
        )
        return Draft(entry.answer, "faq", True, "full", (source,), confidence=match.score)

    def _nothing(self, run: Run, passages: tuple[Passage, ...], confidence: float) -> Draft:
        text = say("none" if passages else "nothing", run.language)
        return Draft(text, "none", False, "none", passages=passages, confidence=confidence)

    def _quoted(
        self,
        run: Run,
        reading: extract.Reading,
        passages: tuple[Passage, ...],
        confidence: float,
        notice: str,
    ) -> Draft:
        with run.step("cite"):
            text, sources = quoted(reading, passages)
        told = say(notice, run.language)
        if confidence < SURE:
            told = f"{told} {say('unsure', run.language)}"
        return Draft(text, "extractive", True, "full", sources, passages, None, told, confidence)

    def _generated(
        self, run: Run, outcome: Generated, passages: tuple[Passage, ...], confidence: float
    ) -> Draft:
        assert outcome.text is not None and self._chat is not None
        with run.step("cite"):
            text = cite.normalise(outcome.text, outcome.shown)
            sources = cite.citations(text, outcome.shown)
        with run.step("support"):
            found = support.verdicts(text, outcome.shown)
            verdict = support.overall(found)
        notes = []
        if not sources:
            notes.append(say("uncited", run.language))
        doubtful = [each.claim for each in found if not each.supported]
        if doubtful:
            notes.append(say("unsupported", run.language, claims=" · ".join(doubtful)))
        notice = " ".join(notes) or None
        return Draft(text, "generated", True, verdict, sources, passages, self._chat.name, notice, confidence)

    def _finish(self, run: Run, draft: Draft, *, told: bool = False) -> Iterator[Event]:
        """Tokens that were not sent yet, citations, and the one `done`; saved in between."""
        if not told and draft.tier != "generated":
            yield Event("token", {"text": draft.text})
        run.stop_if_cancelled()
        answer = Answer(
            id=f"ans_{secrets.token_hex(12)}",
            conversation_id=run.asked.conversation_id or "",
            question=run.text,
            text=draft.text,
            tier=draft.tier,
            answerable=draft.answerable,
            support=draft.support,
            citations=draft.citations,
            passages=draft.passages,
            model=draft.model,
            timings_ms=run.timings,
            created_at=datetime.now(UTC),
            notice=self._notice(run, draft),
            confidence=round(draft.confidence, 4),
        )
        yield Event("citations", {"citations": list(self._shown(run, answer).citations)})
        yield Event("done", self._shown(run, self._save(run, answer)))

    def _notice(self, run: Run, draft: Draft) -> str | None:
        if not run.slips:
            return draft.notice
        words = ", ".join(f"{typed} → {meant}" for typed, meant in run.slips.items())
        return " ".join(filter(None, (say("read-as", run.language, words=words), draft.notice)))

    def _shown(self, run: Run, answer: Answer) -> Answer:
        """As it may be shown now: waiting for a model takes minutes, in which a document or a grant may go."""
        return self._conversations.shown(run.principal, answer) if self._chat is not None else answer

    def _save(self, run: Run, answer: Answer) -> Answer:
        """The answer with its conversation. A store that is full or busy costs the record, not the answer."""
        asked = run.asked
        try:
            with run.step("save"):
                conversation = self._conversations.save(
                    run.principal, answer, run.standalone, ticket_id=asked.ticket_id
                )
                answer = replace(answer, conversation_id=conversation)
        except (Busy, DiskFull) as problem:
            log.error("answer not saved: %s", problem.detail)
            notice = " ".join(filter(None, (answer.notice, say("unsaved", run.language))))
            answer = replace(answer, notice=notice)
        timings = {**run.timings, "total": round((time.monotonic() - run.began) * 1000, 2)}
        return replace(answer, timings_ms=timings)


def answer_text(events: Iterator[Event]) -> Answer:
    """The Answer at the end of the events. Raises the KbError of an `error` event."""
    for event in events:
        if event.kind == "done":
            answer: Answer = event.data
            return answer
        if event.kind == "error":
            raise event.data
    raise KbError("The answer ended without an end.")
