"""Scripts and terms: what a text is written in, and the words by which the lexical index knows it.

Terms are lower-case NFKC. Words are stemmed by the Snowball algorithm of their script, English stop
words dropped; runs of scripts written without spaces become character pairs. Identifiers ('E-42',
'ERR_1234', '3.3.2', 'max_file_mb') are kept whole, so that they can be found as such, beside their parts.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache
from threading import local

import Stemmer

from kb.index.languages import function_words

STOP_WORDS = frozenset(
    """a about above after again against all also am an and any are as at be because been before being below
    between both but by can could did do does doing done during each either else for from further had has have
    having he her here hers him his how i if in into is it its itself just let like may me might more most
    much must my no nor not of off on once one only or other our ours out over own please s same shall she
    should so some such t than that the their theirs them then there these they this those through to too
    under until up upon us very was we were what when where which while who whom whose why will with within
    without would yes you your yours""".split()
)
STEMMERS = {"LATIN": "english", "CYRILLIC": "russian", "GREEK": "greek", "ARABIC": "arabic"}

# scripts written without spaces between words: Thai to Myanmar, Khmer, Hangul, kana, bopomofo, Han
_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"
)
_JOINTS = "-_./@:#+"
_RUN = re.compile(f"[{_SPACELESS}]")
_TOKEN = re.compile(
    rf"[{_SPACELESS}]+"
    rf"|[a-z0-9]+(?:[{re.escape(_JOINTS)}]+[a-z0-9]+)+"
    rf"|[a-z0-9]+(?![^\W_])|(?:(?![{_SPACELESS}])[^\W_])+"
)
_PARTS = re.compile(f"[{re.escape(_JOINTS)}]+")
_MAX_TERM = 64  # characters; longer runs are base64 and the like, which nobody asks for
_stemmers = local()


@lru_cache(maxsize=65536)
def script(character: str) -> str:
    """The script of a letter, as Unicode names it ('LATIN', 'CJK', 'CYRILLIC' …); '' for anything else."""
    if not character.isalpha():
        return ""
    first = unicodedata.name(character, "").split(" ")[0]
    return {"IDEOGRAPHIC": "CJK", "KATAKANA-HIRAGANA": "KATAKANA"}.get(first, first)


def scripts(text: str) -> Counter[str]:
    """How many letters of each script a text holds."""
    found: Counter[str] = Counter()
    for character, count in Counter(unicodedata.normalize("NFKC", text)).items():
        if name := script(character):
            found[name] += count
    return found


def terms(text: str) -> list[str]:
    """The text's terms in order, repeats kept. Only stop words: they are kept, for want of better."""
    tokens = _TOKEN.findall(unicodedata.normalize("NFKC", text).lower())
    kept = [term for token in tokens for term in _kept(token)]
    return kept or [_stem(term) for token in tokens for term in _expand(token)]


def distinct_terms(text: str) -> set[str]:
    """The set of `terms`, in a third of the time for a page of prose."""
    tokens = set(_TOKEN.findall(unicodedata.normalize("NFKC", text).lower()))
    kept = {term for token in tokens for term in _kept(token)}
    return kept or {_stem(term) for token in tokens for term in _expand(token)}


def question_terms(text: str) -> list[str]:
    """The terms a question asks with: those of the text, without the function words of its language."""
    idle = function_words(text)
    if not idle:
        return terms(text)
    tokens = _TOKEN.findall(unicodedata.normalize("NFKC", text).lower())
    kept = [_stem(term) for token in tokens for term in _expand(token) if term not in idle]
    return kept or terms(text)


@lru_cache(maxsize=30_000)
def _kept(token: str) -> tuple[str, ...]:
    return tuple(_stem(term) for term in _expand(token) if term not in STOP_WORDS)


@lru_cache(maxsize=30_000)
def _expand(token: str) -> tuple[str, ...]:
    if _RUN.match(token):
        return tuple(token[i : i + 2] for i in range(len(token) - 1)) or (token,)
    if len(token) > _MAX_TERM:
        return ()
    parts = _PARTS.split(token)
    if len(parts) == 1:
        return (token,)
    if not (set(token) & set("_./@:") or any(character.isdigit() for character in token)):
        return tuple(parts)  # a hyphenated word
    # one spelling for E-42, E_42 and E42; parts of one letter or digit would only be noise
    return (token.replace("-", "").replace("_", ""), *(part for part in parts if len(part) > 1))


@lru_cache(maxsize=30_000)
def _stem(term: str) -> str:
    language = STEMMERS.get(script(term[0]))
    if language is None or not term.isalpha():
        return term
    # a Stemmer keeps state and is not safe to share between threads
    stemmer = getattr(_stemmers, language, None)
    if stemmer is None:
        stemmer = Stemmer.Stemmer(language, 0)
        setattr(_stemmers, language, stemmer)
    return str(stemmer.stemWord(term))
