"""What clients may ask: the bodies of OpenAI's chat completions and completions, checked field by field."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kb.errors import FieldError, Invalid
from kb.llm.local.headroom import room
from kb.llm.local.sampling import SamplingParams

MOST_TEXTS = 32  # prompts × n of one request

TokenId = Annotated[int, Field(ge=0, lt=2**31)]
TokenIds = Annotated[list[Annotated[TokenId, Field(strict=True)]], Field(min_length=1)]
Bias = Annotated[float, Field(allow_inf_nan=False)]


class StreamOptions(BaseModel):
    include_usage: bool = False
    continuous_usage_stats: bool = False


class Body(BaseModel):
    """Fields of both. Unknown ones are ignored, as OpenAI's clients send many."""

    model_config = ConfigDict(extra="ignore", strict=False)

    model: str | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int = Field(1, ge=1, le=8)
    temperature: float | None = Field(None, ge=0, le=5)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1)
    min_p: float | None = Field(None, ge=0, le=1)
    repetition_penalty: float | None = Field(None, ge=0.01, le=5)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[TokenId, Bias] | None = Field(None, max_length=1024)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: str | list[str] | None = None
    max_tokens: int | None = Field(None, ge=1)
    ignore_eos: bool = False

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, found: Any) -> Any:
        """OpenAI's schema lets clients write null for what they do not ask for."""
        return {k: v for k, v in found.items() if v is not None} if isinstance(found, dict) else found

    def stops(self) -> list[str]:
        """Stop strings."""
        found = [self.stop] if isinstance(self.stop, str) else self.stop or []
        if len(found) > 16 or any(not 0 < len(stop) <= 500 for stop in found):
            raise Invalid("At most 16 stop strings of 1 to 500 characters.", errors=_field("stop"))
        return found

    def params(self, top_logprobs: int | None, place: int = 0) -> SamplingParams:
        """How to draw the answer of this place: with a seed, each has one of its own."""
        return SamplingParams(
            temperature=_or(self.temperature, 1.0),
            top_p=_or(self.top_p, 1.0),
            top_k=max(0, self.top_k or 0),
            min_p=_or(self.min_p, 0.0),
            repetition_penalty=_or(self.repetition_penalty, 1.0),
            frequency_penalty=_or(self.frequency_penalty, 0.0),
            presence_penalty=_or(self.presence_penalty, 0.0),
            seed=None if self.seed is None else (self.seed + place) % 2**64,
            logit_bias={k: max(-100.0, min(100.0, v)) for k, v in (self.logit_bias or {}).items()},
            top_logprobs=top_logprobs,
        )


class TextPart(BaseModel):
    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One message. Only text: this model sees no images."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    name: str | None = None
    reasoning_content: str | None = None

    def plain(self) -> dict[str, Any]:
        """As chat templates expect it."""
        content = self.content
        if isinstance(content, list):
            content = "".join(part.text for part in content)
        found: dict[str, Any] = {"role": self.role, "content": content or ""}
        if self.role == "assistant" and self.reasoning_content:
            found["thinking"] = self.reasoning_content
        return found


class ChatBody(Body):
    """Body of /v1/chat/completions."""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0, le=20)
    reasoning_effort: Literal["minimal", "low", "medium", "high"] | None = None
    response_format: dict[str, Any] | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None

    def check(self) -> None:
        """Invalid for what would be silently ignored otherwise."""
        if self.tools or self.functions:
            raise Invalid("This server calls no tools.", errors=_field("tools"))
        if self.response_format and self.response_format.get("type") != "text":
            raise Invalid("Only response_format text is offered.", errors=_field("response_format"))
        _check_count(self.n)

    @property
    def effort(self) -> str | None:
        """For the template: low | medium | high."""
        return "low" if self.reasoning_effort == "minimal" else self.reasoning_effort


class CompletionBody(Body):
    """Body of /v1/completions. A prompt is a text or token ids; a list of either is as many requests."""

    prompt: str | TokenIds | list[str] | list[TokenIds] = Field(union_mode="left_to_right")
    logprobs: int | None = Field(None, ge=0, le=20)
    echo: bool = False
    suffix: str | None = None

    def prompts(self) -> list[str | list[int]]:
        """One by one."""
        if self.echo or self.suffix:
            raise Invalid(
                "echo and suffix are not offered.", errors=_field("echo" if self.echo else "suffix")
            )
        if isinstance(self.prompt, str):
            return [self.prompt]
        if not self.prompt:
            raise Invalid("The list of prompts is empty.", errors=_field("prompt"))
        first = self.prompt[0]
        found: list[Any] = [self.prompt] if isinstance(first, int) else list(self.prompt)
        _check_count(len(found) * self.n)
        return found


AnyBody = TypeVar("AnyBody", bound=Body)


def parse(kind: type[AnyBody], raw: bytes) -> AnyBody:
    """A checked body. Invalid names the first field that is wrong. MemoryError where there is no room for it."""
    try:
        with room(8 * len(raw)):
            return kind.model_validate_json(raw)
    except ValidationError as error:
        # of what a union could have been, the one that fits furthest says most
        found = error.errors(include_url=False, include_input=False)
        first = max(found, key=lambda wrong: (wrong["loc"][:1] == found[0]["loc"][:1], len(wrong["loc"])))
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise Invalid(f"{where}: {first['msg']}", errors=_field(where)) from None


def _check_count(count: int) -> None:
    if count > MOST_TEXTS:
        raise Invalid(f"{count} texts in one request; at most {MOST_TEXTS}.", errors=_field("n"))


def _field(name: str) -> tuple[FieldError, ...]:
    return (FieldError(f"/{name}", "see detail"),)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
