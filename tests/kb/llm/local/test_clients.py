"""The official clients, and kb's own, against `kb model serve` in a process of its own."""

from __future__ import annotations

import openai

from . import speaking


def test_openai_chat(answering_server: str) -> None:
    with openai.OpenAI(base_url=answering_server, api_key="none") as client:
        model = client.models.list().data[0].id
        assert model == "tiny-harmony"
        answer = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Capital of France?"}], temperature=0
        )
    assert answer.choices[0].message.content == speaking.ANSWER
    assert answer.choices[0].finish_reason == "stop"
