"""A loaded model with everything around it that answering needs."""

from __future__ import annotations

import json
from collections.abc import Mapping

from kb.errors import FieldError, Invalid
from kb.llm.local.config import ModelConfig
from kb.llm.local.errors import BadModel
from kb.llm.local.harmony import Harmony
from kb.llm.local.scheduler import Scheduler
from kb.llm.local.template import ChatTemplate
from kb.llm.local.tokenizer import Tokenizer

_MOST_CHARACTERS = 64  # in one token, on average over a prompt


class Service:
    """What the HTTP side sees of a model. texts: config.json, tokenizer.json … as packed."""

    def __init__(
        self,
        name: str,
        texts: Mapping[str, str],
        scheduler: Scheduler,
        vocab_size: int,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        self.name = name
        self.tokenizer = tokenizer or tokenizer_of(texts, name)
        self.template = ChatTemplate(texts, self.tokenizer)
        self.harmony = Harmony(self.tokenizer)
        self.scheduler = scheduler
        if self.tokenizer.size > vocab_size:
            raise BadModel(
                f"{name}: its tokenizer knows {self.tokenizer.size} tokens, its weights {vocab_size}"
            )
        self.stop_ids = frozenset({*_stop_ids(texts), *self.harmony.ends})
        self._vocab_size = vocab_size

    @property
    def context(self) -> int:
        """Longest prompt and answer together, tokens."""
        return self.scheduler.context

    def check_length(self, characters: int, messages: int = 1) -> None:
        """Invalid for texts that no tokenizer can bring down to the context: not worth a tokenizer's time."""
        if characters > _MOST_CHARACTERS * self.context or messages > self.context:
            raise Invalid(
                f"{characters} characters in {messages} messages cannot fit into {self.context} tokens."
                " Shorten the prompt.",
                slug="context_length_exceeded",
            )

    def prompt_tokens(self, prompt: str | list[int]) -> list[int]:
        """Tokens of a plain prompt. Control tokens in a text count here: whoever writes raw prompts means them."""
        if isinstance(prompt, str):
            self.check_length(len(prompt))
        tokens = self.tokenizer.encode_template(prompt) if isinstance(prompt, str) else prompt
        wrong = (FieldError("/prompt", "not usable"),)
        if not tokens:
            raise Invalid("The prompt is empty.", errors=wrong)
        if max(tokens) >= self._vocab_size:
            raise Invalid(
                f"Token {max(tokens)} is outside the vocabulary of {self._vocab_size}.", errors=wrong
            )
        return tokens

    def common(self, prompt: list[int], system: list[int]) -> int:
        """How many leading tokens of a prompt are its system prompt's."""
        return next(
            (place for place, (a, b) in enumerate(zip(prompt, system, strict=False)) if a != b),
            min(len(prompt), len(system)),
        )


def tokenizer_of(texts: Mapping[str, str], name: str) -> Tokenizer:
    """The tokenizer packed with a model."""
    if "tokenizer.json" not in texts:
        raise BadModel(f"{name} was packed without tokenizer.json. Pack it again: kb model pack DIR")
    return Tokenizer(texts["tokenizer.json"])


def _stop_ids(texts: Mapping[str, str]) -> set[int]:
    """End-of-text ids of config.json and generation_config.json."""
    found: set[int] = set(ModelConfig.from_json(json.loads(texts["config.json"])).eos_token_ids)
    try:
        eos = json.loads(texts.get("generation_config.json", "{}")).get("eos_token_id")
    except (ValueError, AttributeError):
        raise BadModel("its generation_config.json cannot be read") from None
    return found | set(eos if isinstance(eos, list) else [] if eos is None else [int(eos)])
