"""OpenAI's response objects, from events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kb.errors import KbError
from kb.llm.local.errors import OutOfPages
from kb.llm.local.sampling import Chosen
from kb.llm.local.sequences import Finished
from kb.llm.local.tokenizer import Tokenizer

Json = dict[str, Any]


def error_body(error: KbError) -> Json:
    """The error shape of OpenAI's clients."""
    kinds = {400: "invalid_request_error", 404: "not_found_error", 503: "overloaded_error"}
    status = status_of(error)
    param = error.errors[0].pointer.lstrip("/") if error.errors else None
    kind = kinds.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": error.detail, "type": kind, "param": param, "code": error.slug}}


def status_of(error: KbError) -> int:
    """OpenAI says 400 where kb says 422; a full cache is a reason to come back, not a failure."""
    if isinstance(error, OutOfPages):
        return 503
    return 400 if error.status == 422 else error.status


def usage(ends: Sequence[Finished], n: int) -> Json:
    """Tokens of all texts of one request; a prompt that `n` in a row share counts once."""
    prompt = sum(end.prompt_tokens for end in ends[::n])
    completion = sum(end.completion_tokens for end in ends)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": sum(end.reused_tokens for end in ends[::n])},
        "completion_tokens_details": {"reasoning_tokens": sum(end.reasoning_tokens for end in ends)},
    }


def chat_logprobs(tokens: Sequence[Chosen], tokenizer: Tokenizer) -> Json:
    """`logprobs` of a chat choice."""
    return {
        "content": [
            {
                **_token(chosen.token, chosen.logprob, tokenizer),
                "top_logprobs": [_token(token, value, tokenizer) for token, value in chosen.top],
            }
            for chosen in tokens
        ]
    }


def text_logprobs(tokens: Sequence[Chosen], tokenizer: Tokenizer, offset: int) -> Json:
    """`logprobs` of a completion choice; offset: characters of text before these tokens."""
    words = [_word(chosen.token, tokenizer) for chosen in tokens]
    offsets = []
    for word in words:
        offsets.append(offset)
        offset += len(word)
    return {
        "tokens": words,
        "token_logprobs": [chosen.logprob for chosen in tokens],
        "top_logprobs": [{_word(t, tokenizer): value for t, value in chosen.top} for chosen in tokens],
        "text_offset": offsets,
    }


def _token(token: int, logprob: float | None, tokenizer: Tokenizer) -> Json:
    return {
        "token": _word(token, tokenizer),
        "logprob": logprob,
        "bytes": list(tokenizer.token_bytes(token)),
    }


def _word(token: int, tokenizer: Tokenizer) -> str:
    return tokenizer.token_bytes(token).decode(errors="replace")
