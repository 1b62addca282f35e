"""A request on its way to the scheduler and its events on their way back as OpenAI's objects."""

from __future__ import annotations

import queue
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from kb.errors import NotFound
from kb.llm.local.protocol import Body, ChatBody, CompletionBody
from kb.llm.local.responses import Json, chat_logprobs, text_logprobs, usage
from kb.llm.local.sampling import Chosen
from kb.llm.local.sequences import Events, Finished, Request, Sequence
from kb.llm.local.service import Service
from kb.llm.local.writer import Delta, Writer

DEFAULT_TEXT_TOKENS = 16  # OpenAI's default for /v1/completions


@dataclass
class _Choice:
    """What one text has come to."""

    content: list[str] = field(default_factory=list)
    shown: int = 0  # characters of it
    reasoning: list[str] = field(default_factory=list)
    tokens: list[Chosen] = field(default_factory=list)
    end: Finished | None = None


class Completion:
    """One call of either kind. `sequences` are what to submit; `chunks` and `whole` are what to send."""

    def __init__(self, service: Service, body: Body) -> None:
        if body.model and body.model != service.name:
            raise NotFound(
                f"The model {body.model!r} is not served here; {service.name!r} is.", slug="model_not_found"
            )
        self._service, self.body = service, body
        self._chat = isinstance(body, ChatBody)
        self.id = ("chatcmpl-" if self._chat else "cmpl-") + secrets.token_hex(12)
        self._created = int(time.time())
        self.events: Events = queue.SimpleQueue()
        self.sequences = self._sequences()
        self._choices = [_Choice() for _ in self.sequences]
        self._logprobs = self.sequences[0].request.params.top_logprobs is not None

    def opening(self) -> Iterator[Json]:
        """Chunks before any text: OpenAI's clients expect the role first."""
        if self._chat:
            for index in range(len(self.sequences)):
                yield self._chunk(
                    index, {"delta": {"role": "assistant", "content": ""}, "finish_reason": None}
                )

    def chunks(self, index: int, event: Delta | Finished) -> Iterator[Json]:
        """Chunks of a stream for one event of one text."""
        choice = self._choices[index]
        if isinstance(event, Finished):
            choice.end = event
            last: Json = {"finish_reason": event.reason}
            last["delta" if self._chat else "text"] = {} if self._chat else ""
            yield self._chunk(index, last)
            return
        part: Json = {"finish_reason": None}
        if self._logprobs:
            part["logprobs"] = self._explain(event.tokens, choice.shown)
        if self._chat:
            delta: Json = {}
            if event.reasoning:
                delta["reasoning_content"] = delta["reasoning"] = event.reasoning
            if event.content:
                delta["content"] = event.content
            part["delta"] = delta
        else:
            part["text"] = event.content
        choice.shown += len(event.content)
        if event.content or event.reasoning or event.tokens:
            yield self._chunk(index, part)

    def closing(self) -> Iterator[Json]:
        """Chunks after all texts: the usage, if asked for."""
        if self.body.stream_options and self.body.stream_options.include_usage:
            yield self._object("chunk") | {"choices": [], "usage": self._usage()}

    def add(self, index: int, event: Delta | Finished) -> None:
        """Keep an event for `whole`."""
        choice = self._choices[index]
        if isinstance(event, Finished):
            choice.end = event
        else:
            choice.content.append(event.content)
            choice.reasoning.append(event.reasoning)
            choice.tokens += event.tokens

    def whole(self) -> Json:
        """The answer of a call that does not stream."""
        choices = [self._choice(index, choice) for index, choice in enumerate(self._choices)]
        return self._object("") | {"choices": choices, "usage": self._usage()}

    def _choice(self, index: int, choice: _Choice) -> Json:
        assert choice.end is not None
        found: Json = {"index": index, "finish_reason": choice.end.reason, "logprobs": None}
        if self._logprobs:
            found["logprobs"] = self._explain(tuple(choice.tokens), 0)
        content, reasoning = "".join(choice.content), "".join(choice.reasoning) or None
        if not self._chat:
            return found | {"text": content}
        message = {
            "role": "assistant",
            "content": content,
            "reasoning_content": reasoning,
            "reasoning": reasoning,
        }
        return found | {"message": message}

    def _explain(self, tokens: tuple[Chosen, ...], offset: int) -> Json:
        tokenizer = self._service.tokenizer
        return chat_logprobs(tokens, tokenizer) if self._chat else text_logprobs(tokens, tokenizer, offset)

    def _usage(self) -> Json:
        return usage([choice.end for choice in self._choices if choice.end is not None], self.body.n)

    def _chunk(self, index: int, part: Json) -> Json:
        return self._object("chunk") | {"choices": [{"index": index, "logprobs": None, **part}]}

    def _object(self, suffix: str) -> Json:
        kind = "chat.completion" if self._chat else "text_completion"
        if suffix and self._chat:
            kind += "." + suffix
        return {"id": self.id, "object": kind, "created": self._created, "model": self._service.name}

    def _sequences(self) -> list[Sequence]:
        body, service = self.body, self._service
        if isinstance(body, ChatBody):
            body.check()
            messages = [message.plain() for message in body.messages]
            characters = sum(len(m["content"]) + len(m.get("thinking", "")) for m in messages)
            service.check_length(characters, len(messages))
            prompt = service.template.tokens(messages, effort=body.effort)
            save = service.common(prompt, service.template.system_tokens(messages, effort=body.effort))
            limit = body.max_completion_tokens or body.max_tokens or service.context
            top = body.top_logprobs if body.logprobs else None
            return [self._sequence(prompt, limit, top, number, save) for number in range(body.n)]
        assert isinstance(body, CompletionBody)
        limit = body.max_tokens or DEFAULT_TEXT_TOKENS
        prompts = [service.prompt_tokens(prompt) for prompt in body.prompts()]
        return [
            self._sequence(prompt, limit, body.logprobs, number, 0)
            for number, prompt in enumerate(prompt for prompt in prompts for _ in range(body.n))
        ]

    def _sequence(self, prompt: list[int], limit: int, top: int | None, number: int, save: int) -> Sequence:
        body, service = self.body, self._service
        service.scheduler.check_fits(len(prompt))  # before anything is made of so many tokens
        writer = Writer(
            service.tokenizer, service.harmony, body.stops(), chat=self._chat, ends=not body.ignore_eos
        )
        stop_ids: frozenset[int] = frozenset() if body.ignore_eos else service.stop_ids
        request = Request(prompt, body.params(top, number), limit, stop_ids, save)
        return Sequence(request, writer, number, self.events)
