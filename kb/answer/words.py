"""Words as the answering room compares them: English stems, CJK bigrams, numbers as written.

The retrieval index has its own analyser; this one serves a question and a handful of sentences.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from functools import lru_cache

import Stemmer

from kb.index.languages import function_words

CJK = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af"
_TOKEN = re.compile(rf"[{CJK}]+|\d+(?:[.,:/-]\d+)*(?:[a-z]+)?|[^\W\d_{CJK}][^\W_{CJK}]*(?:['’][a-z]+)?", re.I)
_CJK_CHARACTER = re.compile(rf"[{CJK}]")
_CJK_RUN = re.compile(rf"[{CJK}]+")
_LATIN_WORD = re.compile(rf"[^\W\d_{CJK}]+")
_HAN = re.compile(r"[\u3400-\u9fff]")
_KANA = re.compile(r"[\u3040-\u30ff]")

STOP = frozenset(
    """a about above after again all also am an and any are as at be because been before being below between both
    but by can could did do does doing don down during each few for from further get give given had has have having
    he her here hers him his how i if in into is it its just know let like may me might more most much many must my no nor not
    now of off on once only or other our out over own please same shall she should so some such tell than that the
    their them then there these they this those through to too under until up us very was we were what when where
    which while who whom whose why will with would you your yes s t m re ve ll d""".split()
)
# Ways of asking that name nothing: taken out of a question before its bigrams are formed.
ASKING_ZH = re.compile(
    r"什么时候|什麼時候|为什么|為什麼|怎么样|怎麼樣|怎么办|怎麼辦|是不是|有没有|有沒有|能不能|可不可以|请问|請問|多少|什么|什麼|甚麼|哪一|哪里"
    r"|哪裡|哪些|哪个|哪個|哪|何时|何時|何处|何處|何人|如何|为何|為何|怎么|怎麼|怎样|怎樣|谁|誰|几|幾|吗|嗎|呢|吧|的|了|是|在|和|与|與|及|其|被|把|于|於|由"
)
# The same in English: "how long" asks for a length of time, and a "too long" elsewhere is no part of it.
ASKING_EN = re.compile(
    r"\bhow (?:long|often|many|much|far|old|tall|high|big|large|deep|fast|late|early|soon|wide|heavy|quickly|hot|cold|warm)\b"
    r"|\b(?:what|which) (?:time|year|date|day|month|kind|type|sort)s?\b(?: of (?:the )?(?:day|week|year)\b)?"
)
_local = threading.local()  # a stemmer may not be shared between threads


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """English Snowball stem of a lower-case word."""
    stemmer = getattr(_local, "stemmer", None)
    if stemmer is None:
        stemmer = _local.stemmer = Stemmer.Stemmer("english")
    stemmed: str = stemmer.stemWord(word)
    return stemmed


def fold(text: str) -> str:
    """NFKC and lower case."""
    return unicodedata.normalize("NFKC", text).lower()


def terms(text: str) -> list[str]:
    """Stems without stop words, CJK bigrams (a run of one character is itself), in order, repeats kept."""
    found: list[str] = []
    for token in _TOKEN.findall(fold(text)):
        if _CJK_RUN.match(token):
            found += [token] if len(token) == 1 else [token[at : at + 2] for at in range(len(token) - 1)]
        elif token not in STOP:
            found.append(stem(token.replace("’", "'").removesuffix("'s")))
    return found


def bag(text: str) -> frozenset[str]:
    """The terms a text says, and each of its CJK characters, for questions whose word is a single one."""
    return frozenset(terms(text)).union(_CJK_CHARACTER.findall(text))


def question_terms(question: str) -> list[str]:
    """The terms a question asks with, each once; when asking words are all there is, those."""
    bare = ASKING_EN.sub(" ", ASKING_ZH.sub(" ", fold(question)))
    if idle := function_words(question):
        bare = _LATIN_WORD.sub(lambda word: " " if word[0] in idle else word[0], bare)
    return list(dict.fromkeys(terms(bare))) or list(dict.fromkeys(terms(question)))


def has_cjk(text: str) -> bool:
    """Whether any of it is compared by pairs of characters."""
    return _CJK_CHARACTER.search(text) is not None


def chinese(text: str) -> bool:
    """Whether people who wrote this read Chinese: Han makes up three tenths of the letters, without kana."""
    letters = sum(character.isalpha() for character in text)
    return bool(letters) and len(_HAN.findall(text)) >= 0.3 * letters and not _KANA.search(text)
