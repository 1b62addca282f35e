"""Requests as the API accepts them: strict, bounded, unknown fields refused by name.

Answers are in `responses.py`. Field descriptions become the OpenAPI document.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    WithJsonSchema,
    model_validator,
)

from kb.errors import FieldError, Invalid
from kb.store.faqs import ANSWER
from kb.store.values import METADATA_DEPTH, blank, depth
from kb.types import Filters

MAX_QUESTION = 8000
HANT_REGIONS = frozenset({"tw", "hk", "mo"})
_LAX = TypeAdapter(datetime)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _clean(text: str) -> str:
    """Text a database, a log and a model can hold: no NUL, no lone surrogates."""
    if "\x00" in text:
        raise ValueError("must not contain the NUL character")
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("must be valid Unicode: it contains half a surrogate pair")
    return text


def _filled(text: str) -> str:
    if blank(text):
        raise ValueError("must not be empty")
    return text


def _time(given: object, rest: str) -> object:
    """A time or a bare date in ISO 8601, which `rest` completes."""
    if not isinstance(given, str) or not _DATE.match(given):  # digits alone are read as seconds since 1970
        raise ValueError("must be a time or a date, ISO 8601")
    return _LAX.validate_python(f"{given}T{rest}Z" if _DATE.fullmatch(given) else given)


def _day(given: object) -> object:
    """A bare date is its beginning."""
    return _time(given, "00:00:00")


def _day_end(given: object) -> object:
    """A bare date as an end includes that day."""
    return _time(given, "23:59:59.999999")


def _utc(moment: datetime) -> datetime:
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is outside the years 1 to 9999") from None


Text = Annotated[str, AfterValidator(_clean)]
Short = Annotated[Text, Field(max_length=200)]
Name = Annotated[Text, Field(min_length=1, max_length=200), AfterValidator(_filled)]
FaqAnswer = Annotated[Text, Field(min_length=1, max_length=ANSWER), AfterValidator(_filled)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", max_length=64)]
_WHEN = WithJsonSchema({"type": "string", "anyOf": [{"format": "date-time"}, {"format": "date"}]})
Moment = Annotated[datetime, BeforeValidator(_day), AfterValidator(_utc), _WHEN]
MomentEnd = Annotated[datetime, BeforeValidator(_day_end), AfterValidator(_utc), _WHEN]
Question = Annotated[Text, Field(min_length=1, max_length=MAX_QUESTION), AfterValidator(_filled)]
FaqQuestion = Annotated[Text, Field(min_length=1, max_length=2000), AfterValidator(_filled)]
Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=35)]
# as an entry without a language is shown
EntryLanguage = Annotated[Language | None, BeforeValidator(lambda given: None if given == "" else given)]
Names = Annotated[list[Name], Field(max_length=100)]


class Strict(BaseModel):
    """Refuses unknown fields; JSON types are not converted."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _written(language: str | None) -> str | None:
    """A locale such as en-US as documents carry it: by language, and of Chinese also by script."""
    if language is None:
        return None
    first, *rest = language.lower().split("-")
    traditional = "hant" in rest or (HANT_REGIONS & {*rest} and "hans" not in rest)
    return "zh-Hant" if first == "zh" and traditional else first


class FiltersIn(Strict):
    """What a question may be narrowed to."""

    source: Short | None = Field(None, description="Where documents came from, e.g. `upload`.")
    type: Short | None = Field(None, description="Kind of file: `pdf`, `docx`, …")
    language: Language | None = Field(None, description="Language of the document, e.g. `en` or `zh`.")
    date_from: Moment | None = Field(
        None, description="Not older than this (ISO 8601 time or date; UTC unless it says otherwise)."
    )
    date_to: MomentEnd | None = Field(None, description="Not newer than this; a bare date includes that day.")

    @model_validator(mode="after")
    def _ordered(self) -> FiltersIn:
        if self.date_from and self.date_to and self.date_from > self.date_to:
            raise ValueError("date_from must not be later than date_to: nothing could be found")
        return self

    def filters(self) -> Filters:
        """As retrieval takes them."""
        return Filters(self.source, self.type, _written(self.language), self.date_from, self.date_to)


class AskIn(Strict):
    """A question to be answered."""

    question: Question = Field(description="What is asked, in any language.")
    collections: Names | None = Field(
        None, description="Collections to look in; all readable ones if not given."
    )
    filters: FiltersIn | None = None
    conversation_id: Short | None = Field(
        None, description="Continue this conversation: follow-ups keep their subject."
    )
    ticket_id: Short | None = Field(
        None, description="The caller's own reference, stored with the conversation."
    )
    audience: Literal["internal", "public"] | None = Field(
        "internal", description="`public` keeps to public collections."
    )
    language: Language | None = Field(
        None, description="Language to answer in; that of the question if not given."
    )
    deadline_ms: int | None = Field(
        None,
        ge=1,
        le=86_400_000,
        description="Answer within this time, by quoting if the model would be late. Milliseconds.",
    )


class SearchIn(Strict):
    """A question for which passages are wanted, not an answer."""

    question: Question
    collections: Names | None = None
    filters: FiltersIn | None = None
    audience: Literal["internal", "public"] | None = "internal"
    limit: int | None = Field(10, ge=1, le=50, description="Passages returned at most; 10 if not given.")


class DocumentIn(Strict):
    """The fields beside `file` of an upload (multipart/form-data)."""

    collection: Name = Field("default", description="Collection the document belongs to.")
    external_id: Annotated[Text, Field(max_length=500)] | None = Field(
        None,
        description="The caller's own id; the file's name if not given. Other bytes under the same id become a new "
        "revision, which takes the place of the one before: `revision` in the answer is above 1 then.",
    )
    title: Annotated[Text, Field(max_length=500)] | None = None
    metadata: Annotated[Text, Field(max_length=20_000)] | None = Field(
        None, description='A JSON object, e.g. `{"author": "Ada"}`.'
    )


class Paging(Strict):
    """Every list: `limit` and the `cursor` that the page before gave as `next`."""

    limit: int = Field(50, ge=1, le=200)
    cursor: Short | None = Field(None, description="`next` of the page before.")


class DocumentsQuery(Paging):
    """Which documents to list."""

    collection: Name | None = None
    state: (
        Literal["queued", "parsing", "embedding", "ready", "ready_with_warnings", "failed", "quarantined"]
        | None
    ) = None
    q: Short | None = Field(None, description="Words of the title or the external id.")


class RevisionQuery(Strict):
    """Which revision of a document."""

    revision: int | None = Field(
        None,
        ge=1,
        le=2**31 - 1,
        description="If not given: of the text the one that answers, of the original the newest.",
    )


class CollectionIn(Strict):
    """A new collection."""

    name: Slug = Field(description="Short name used in requests: a-z, 0-9, dot, dash, underscore.")
    title: Name | None = Field(None, description="What people see; the name if not given.")
    audience: Literal["internal", "public"] = "internal"
    everyone: bool = Field(False, description="Let everyone who signs in read it.")


class TitlePatch(Strict):
    """What a collection or a conversation is to be called."""

    title: Name


class FaqQuery(Paging):
    """Which entries to list."""

    collection: Name | None = None
    q: Short | None = None


class FaqIn(Strict):
    """A curated question and its answer, which is given verbatim."""

    question: FaqQuestion
    variants: Annotated[list[FaqQuestion], Field(max_length=99)] = Field(
        default_factory=list, description="Other wordings of the same question."
    )
    answer: FaqAnswer
    collection: Name = "default"
    language: EntryLanguage = None


class FaqPatch(Strict):
    """Fields to change; those left out, or null, stay. Only `language: null` (or `""`) takes the language away."""

    question: FaqQuestion | None = None
    variants: Annotated[list[FaqQuestion], Field(max_length=99)] | None = None
    answer: FaqAnswer | None = None
    collection: Name | None = None
    language: EntryLanguage = None


class ImportQuery(Strict):
    """Where rows go that name no collection."""

    collection: Name | None = None


class ConversationsQuery(Paging):
    """Which of the caller's conversations to list."""

    q: Short | None = Field(
        None, description="Words of the title, the questions or the answers; all of them must occur."
    )


class FeedbackIn(Strict):
    """What a reader thought of an answer."""

    rating: Literal["up", "down"]
    reason: Short | None = Field(None, description="For example: wrong, incomplete, outdated, off_topic.")
    comment: Annotated[Text, Field(max_length=4000)] | None = None


def metadata_of(raw: str | None) -> dict[str, Any] | None:
    """The upload's `metadata` field; Invalid if it is not a JSON object, or not one that every program can read."""
    if not raw:
        return None
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Invalid(
            "`metadata` must be a JSON object.", errors=(FieldError("/metadata", "is not a JSON object"),)
        )
    try:
        if depth(found) > METADATA_DEPTH:
            raise ValueError(f"is nested more than {METADATA_DEPTH} deep")
        _clean(json.dumps(found, ensure_ascii=False, allow_nan=False))
    except ValueError as error:
        said = str(error).replace(
            "Out of range float values are not JSON compliant", "holds a number beyond JSON's"
        )
        raise Invalid(
            f"`metadata` cannot be stored: it {said}.", errors=(FieldError("/metadata", said),)
        ) from None
    return found
