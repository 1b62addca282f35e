"""What a question costs while the model server is in each bad mood: tier, seconds, within its budget.

    python bench/moods.py [--budget 3]

Runs the fake server of the tests as a process of its own; nothing else is needed.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kb.answer import Asker
from kb.llm.breaker import Breaker
from kb.llm.openai import OpenAIChat
from kb.settings import Settings
from kb.types import Question
from tests.fakes_answer import ALICE, FakeConversations, FakeRetriever
from tests.fakes_llm import MOODS, FakeLLM


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--budget", type=float, default=3.0, help="seconds a question may take")
    budget = parser.parse_args().budget
    logging.disable()
    print(f"{'mood':22}{'tier':12}{'support':10}{'seconds':>8}  in {budget:g} s  notice")
    late = 0
    with FakeLLM() as llm:
        for mood in [*MOODS, "refuses"]:
            url = "http://127.0.0.1:9/v1" if mood == "refuses" else llm.url(mood)
            settings = Settings(llm_url=url, llm_first_token_s=1.5, llm_stall_s=1.5, llm_total_s=budget)
            chat = OpenAIChat(settings, Breaker())
            asker = Asker(settings, FakeConversations(), FakeRetriever(), None, chat)
            began = time.monotonic()
            event = list(asker.ask(ALICE, Question("How many days of paid leave do employees get?")))[-1]
            took = time.monotonic() - began
            late += took > budget
            answer = event.data
            print(
                f"{mood:22}{answer.tier:12}{answer.support:10}{took:8.2f}  {'yes' if took <= budget else 'NO':7}  "
                f"{answer.notice or ''}"
            )
    print(f"{len(MOODS) + 1} moods, {late} over budget")


if __name__ == "__main__":
    main()
