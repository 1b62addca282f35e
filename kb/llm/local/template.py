"""The model's own chat template: messages in, the tokens of a prompt out."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from kb.errors import Invalid
from kb.llm.local.errors import BadModel
from kb.llm.local.tokenizer import Tokenizer

Message = Mapping[str, Any]
SYSTEM_ROLES = ("system", "developer")


class ChatTemplate:
    """`chat_template` of a model folder, run in jinja's sandbox: it may read the messages and nothing else."""

    def __init__(self, texts: Mapping[str, str], tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._known = _special_names(texts)
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
        source = _source(texts)
        try:
            self._template = None if source is None else environment.from_string(source)
        except jinja2.TemplateError as error:
            raise BadModel(f"its chat template cannot be read: {error}") from None

    def tokens(self, messages: Sequence[Message], *, effort: str | None) -> list[int]:
        """The prompt that asks for the assistant's next message. Invalid when the template refuses the messages."""
        return self._tokenizer.encode_template(self._render(messages, effort, ask=True))

    def system_tokens(self, messages: Sequence[Message], *, effort: str | None) -> list[int]:
        """Tokens of the leading system messages alone; empty where the template cannot render them so."""
        leading = []
        for message in messages:
            if message.get("role") not in SYSTEM_ROLES:
                break
            leading.append(message)
        if not leading:
            return []
        try:
            return self._tokenizer.encode_template(self._render(leading, effort, ask=False))
        except Invalid:
            return []

    def _render(self, messages: Sequence[Message], effort: str | None, *, ask: bool) -> str:
        if self._template is None:
            raise Invalid("This model has no chat template; ask it through /v1/completions.")
        values: dict[str, Any] = dict(self._known)
        if effort:
            values["reasoning_effort"] = effort
        masked = [self._mask(dict(message)) for message in _merged(messages)]
        try:
            return self._template.render(messages=masked, add_generation_prompt=ask, **values)
        except jinja2.TemplateError as error:
            raise Invalid(f"The model's chat template refuses these messages: {error}") from None
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise Invalid(f"The model's chat template cannot render these messages: {error}") from None

    def _mask(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._tokenizer.mask(value)
        if isinstance(value, Mapping):
            return {key: self._mask(part) for key, part in value.items()}
        if isinstance(value, Sequence):
            return [self._mask(part) for part in value]
        return value


def _merged(messages: Sequence[Message]) -> list[Message]:
    """Leading system and developer messages as one: gpt-oss's template reads the first and drops the others."""
    count = next((at for at, m in enumerate(messages) if m.get("role") not in SYSTEM_ROLES), len(messages))
    if count < 2:
        return list(messages)
    text = "\n\n".join(str(message["content"]) for message in messages[:count])
    return [{**messages[0], "content": text}, *messages[count:]]


def _source(texts: Mapping[str, str]) -> str | None:
    if "chat_template.jinja" in texts:
        return texts["chat_template.jinja"]
    found = _json(texts, "tokenizer_config.json").get("chat_template")
    if isinstance(found, list):  # several by name
        named = {part.get("name"): part.get("template") for part in found if isinstance(part, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else None


def _special_names(texts: Mapping[str, str]) -> dict[str, str]:
    """bos_token, eos_token … as templates refer to them."""
    names = {}
    for key, value in _json(texts, "tokenizer_config.json").items():
        if key.endswith("_token"):
            text = value.get("content") if isinstance(value, dict) else value
            if isinstance(text, str):
                names[key] = text
    return names


def _json(texts: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        found = json.loads(texts.get(name, "{}"))
    except ValueError:
        raise BadModel(f"its {name} is not JSON") from None
    return found if isinstance(found, dict) else {}


def _tojson(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)
