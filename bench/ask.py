"""Two measurements of asking.

python bench/ask.py followup      retrieval for questions in conversations: as asked, with the subject carried
                                  (kb.answer.followup), with the surer of the two (kb.answer.find: what kb does),
                                  with the last turn always, with all turns always
python bench/ask.py speed [SET]   where the milliseconds of a question without a model go, p50 and p99
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import lab
import numpy as np

from kb.answer import answer_text
from kb.answer.find import READ_PASSAGES, Finder
from kb.answer.followup import leans, standalone
from kb.app import Kb
from kb.ops.evaluate import words
from kb.store import SYSTEM
from kb.types import Question, Turn

CONVERSATIONS = ("rag_mtrag_human_en", "rag_mtrag_un_en")


def _last(text: str, turns: tuple[Turn, ...]) -> str:
    asked = [turn.text for turn in turns if turn.role == "user"]
    return f"{asked[-1]} {text}" if asked else text


def _all(text: str, turns: tuple[Turn, ...]) -> str:
    return " ".join([*(turn.text for turn in turns if turn.role == "user"), text])


def _surer(kb: Kb, query: dict[str, Any]) -> str:
    return words(Finder(kb.retriever, kb.encoder, READ_PASSAGES), query)


WAYS: dict[str, Callable[[Kb, dict[str, Any]], str]] = {
    "as asked": lambda kb, query: query["text"],
    "carried": lambda kb, query: standalone(query["text"], lab.history(query)),
    "surer": _surer,
    "last turn": lambda kb, query: _last(query["text"], lab.history(query)),
    "all turns": lambda kb, query: _all(query["text"], lab.history(query)),
}


def followup() -> None:
    """R@5 over questions with history, those that lean on it and those that do not."""
    print(f"{'set':22}{'questions':24}{'n':>5}" + "".join(f"{way:>12}" for way in WAYS))
    for name in CONVERSATIONS:
        kb = lab.open_set(name)
        asked = [query for query in lab.queries(name) if query["doc_ids"]]
        groups = {
            "first turns": [q for q in asked if not lab.history(q)],
            "later, lean": [q for q in asked if lab.history(q) and leans(q["text"])],
            "later, stand alone": [q for q in asked if lab.history(q) and not leans(q["text"])],
        }
        for title, members in groups.items():
            shares = []
            for way in WAYS.values():
                hits = 0
                for query in members:
                    found = lab.retrieve(kb, query, way(kb, query)[-2000:], 20)
                    ids = list(dict.fromkeys(passage.external_id for passage in found.passages))[:5]
                    hits += bool(set(ids) & set(query["doc_ids"]))
                shares.append(hits / max(1, len(members)))
            print(
                f"{name:22}{title:24}{len(members):5}" + "".join(f"{share:12.3f}" for share in shares),
                flush=True,
            )
        kb.close()


def speed(name: str, questions: int = 200) -> None:
    """Milliseconds of each step over a set's questions, one after the other, no model."""
    kb = lab.open_set(name)
    asked = lab.queries(name)[: questions + 10]
    times: dict[str, list[float]] = {}
    for at, query in enumerate(asked):
        began = time.perf_counter()
        answer = answer_text(kb.asker.ask(SYSTEM, Question(query["text"])))
        if at < 10:  # the first ones load the index and warm the encoder
            continue
        for step, value in {**answer.timings_ms, "whole": (time.perf_counter() - began) * 1000}.items():
            times.setdefault(step, []).append(value)
    kb.close()
    print(f"{name}, {len(asked) - 10} questions\n{'step':24}{'p50 ms':>9}{'p99 ms':>9}")
    for step, values in times.items():
        print(f"{step:24}{np.percentile(values, 50):9.1f}{np.percentile(values, 99):9.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("followup", "speed"))
    parser.add_argument("set", nargs="?", default="squad2_en")
    options = parser.parse_args()
    lab.need_sets()
    if options.what == "followup":
        followup()
    else:
        speed(options.set)


if __name__ == "__main__":
    main()
