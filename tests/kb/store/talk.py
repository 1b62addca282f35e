"""Who talks to kb in these tests, and answers for them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from kb.access import person
from kb.store import Conversations
from kb.types import Answer, Citation, Passage, Principal, Tier

ANN, BOB = person("usr_ann", "Ann", "reader"), person("usr_bob", "Bob", "reader")
CURATOR = person("usr_cur", "Cur", "curator")
T0 = datetime(2026, 1, 1, tzinfo=UTC)


def passage(document_id: str, n: int = 1) -> Passage:
    return Passage(
        n,
        document_id,
        "e",
        "t",
        "docs",
        1,
        2,
        "h",
        "Keys are at the desk.",
        "/u",
        (1, 2),
        why={"dense": {"score": np.float32(0.5)}},
    )


def citation(document_id: str, n: int = 1) -> Citation:
    return Citation(n, document_id, "e", "t", 1, 2, "h", "Keys are at the desk.", "/u")


def answer(
    conversation_id: str, *sources: str, id_: str = "ans_1", tier: Tier = "extractive", **rest: object
) -> Answer:
    values = {
        "id": id_,
        "conversation_id": conversation_id,
        "question": "Where are the keys?",
        "text": "Keys are at the desk. [1]",
        "tier": tier,
        "answerable": tier != "none",
        "support": "full",
        "citations": tuple(citation(s, n) for n, s in enumerate(sources, 1)),
        "passages": tuple(passage(s, n) for n, s in enumerate(sources, 1)),
        "model": None,
        "timings_ms": {"retrieve": 1.5},
        "created_at": T0,
    }
    return Answer(**{**values, **rest})  # type: ignore[arg-type]


def ask(conversations: Conversations, who: Principal, *sources: str, **rest: object) -> Answer:
    found = answer("", *sources, **rest)  # type: ignore[arg-type]
    return replace(found, conversation_id=conversations.save(who, found, "Where are the keys?"))
