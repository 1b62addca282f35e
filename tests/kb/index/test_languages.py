"""The language of a question or text in Latin letters."""

from __future__ import annotations

import pytest

from kb.index.languages import FUNCTION_WORDS, function_words, language
from kb.index.text import question_terms


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("en", "How many days of leave do I have?"),
        ("en", "Don't they say which of the managers' notes it's in?"),
        ("de", "Wie viele Urlaubstage habe ich?"),
        ("fr", "Combien de jours de congé ai-je ?"),
        ("es", "¿Cuántos días de vacaciones tengo?"),
        ("it", "Quanti giorni di ferie ho?"),
        ("pt", "Quanto tempo tenho para devolver um produto?"),
        ("nl", "Hoeveel vakantiedagen heb ik?"),
        ("pl", "Ile dni mogę pracować zdalnie?"),
        ("sv", "Hur många semesterdagar har jag?"),
        ("da", "Hvor mange feriedage har jeg?"),
        ("", "VPN reset"),
        ("", "E-42"),
        ("", "多少钱？"),
    ],
)
def test_language(code: str, text: str) -> None:
    assert language(text) == code


def test_a_question_asks_with_its_words_of_content() -> None:
    assert question_terms("Wie lange ist die Garantie?") == ["lang", "garanti"]
    assert question_terms("Combien coûte l'envoi ?") == ["coût", "envoi"]
    assert question_terms("¿Qué es esto?"), "all are function words: they are kept, for want of better"


def test_english_stop_words_are_left_to_the_index() -> None:
    assert not function_words("How many days of leave do I have?")
    assert all(word == word.lower() for words in FUNCTION_WORDS.values() for word in words)
