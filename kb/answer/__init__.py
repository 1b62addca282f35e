"""Saying: a question in, events out, every answer labelled with where it comes from."""

from kb.answer.ask import Asker, answer_text

__all__ = ["Asker", "answer_text"]
