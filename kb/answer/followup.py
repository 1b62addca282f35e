"""Follow-up questions keep their subject, without a model.

"And for part-time staff?" finds nothing by itself. When a question leans on what was said before (a pronoun,
a beginning like "what about", too few words of its own), the words of the turns before it are put in front of it
for retrieval; the question that people see, and that the model answers, stays as it was asked. A question that only
begins like a follow-up, and then says all that is asked for ("what about the cafeteria opening hours?"), takes
along no more than the names; a code ("E14") brings its own subject, and takes the place of another of its kind.
`bench/ask.py followup` measures it on conversations with gold passages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kb.answer.words import ASKING_ZH, CJK, bag, fold, question_terms, terms
from kb.index.languages import language
from kb.types import Turn

LOOK_BACK = 3
LONGEST = 400
ENOUGH = 3  # terms of its own that make a question with a subject
_CJK = re.compile(f"[{CJK}]")

_BEGINS = re.compile(
    r"^(?:and|but|so|or|then|also|ok(?:ay)?|what about|how about|what else|anything else|why not|why is that|why|how so|how come"
    r"|in that case|any other|are there (?:any )?(?:other|more)|more|(?:for|with|without)(?! (?:what|which|whose|whom|how)\b)|if so|if not|what if|can you (?:explain|elaborate)|tell me more|go on|explain"
    r"|what do you mean|yes|no|yeah|the (?:first|second|third|last|other|same))\b"
    r"|^(?:那|还有|還有|另外|如果是|换成|換成|除此之外|其他|再|然后|然後|具体|為什麼呢|为什么呢|这|這|它|他|她)"
)
# in other languages the joining word alone tells, and shortness
_JOINS = {
    "de": ("und", "aber", "oder"),
    "fr": ("et", "mais", "ou"),
    "es": ("y", "pero", "o"),
    "it": ("e", "ma", "o"),
    "pt": ("e", "mas", "ou"),
    "nl": ("en", "maar", "of"),
    "pl": ("a", "ale", "albo"),
    "sv": ("och", "men", "eller"),
    "da": ("og", "men", "eller"),
}
_POINTS = re.compile(
    r"\b(?:it|its|they|them|their|theirs|this|these|those|he|she|him|her|his|hers|one|ones|the same"
    r"|(?:what|which|any|some) other|(?<!is )(?<!are )(?<!was )(?<!were )(?<!be )(?<!been )there(?! (?:is|are|was|were|be|been|will|would|has|have)\b)|such|both|either"
    r"|former|latter|above|previous|mentioned)\b|\bthat\b(?!\s+(?:is|are|was|were|the|a|an|has|have|can|will|does|do)\b\s+\w+)"
    r"|它|他们|他們|她|该|該|此|这个|這個|这些|這些|那个|那個|那些|这种|這種|那种|那種|其中|上述|前者|后者|後者|同样|同樣"
)
_ENDS = re.compile(r"呢[?？。]?$|\b(?:too|instead|as well|then|though)[?.!]*$")
# "And how do I reset my VPN password?": a question of its own after a word that only joins
_JOINED = re.compile(r"^(?:and|but|also)\b,?\s+(?:what|when|where|which|who|whom|whose|how)\b(?! about)")
# what a thing may be asked for: "what about the cafeteria opening hours", not "… employees in the Shenzhen office"
_ASPECT = re.compile(
    r"^(?:what|how) about\b.*(?<![\w-])(?:hours?|times?|prices?|costs?|fees?|charges?|rates?|polic(?:y|ies)|rules?|procedures?"
    r"|process|deadlines?|address(?:es)?|numbers?|limits?|requirements?|implications?|conditions?|menus?|schedules?)"
    r"(?=\s*(?:$|[?.!,]|(?:for|of|in|on|at|to|from|with|during|if|when)\b))"
    rf"|^那?么?[{CJK}]{{2,}}的(?:开放|营业|工作)?(?:时间|時間|价格|價格|费用|費用|政策|规定|規定|流程|地址|电话|電話|期限|条件|條件)呢"
)
# letters, then digits, as makers number things; the letters are its kind
_CODE = re.compile(r"(?<![A-Za-z0-9-])([A-Za-z]{1,6})-?\d{1,6}[A-Za-z]?(?![A-Za-z0-9-])")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][\w'’]+(?: (?:[A-Z][\w'’]+|\d{1,4}\b))*")


# a pronoun for a name of the same question: "Who stands in for Moira Kelso when she is away?"
_PERSON = re.compile(r"(?<=[a-z,] )[A-Z][\w'’]+ [A-Z][\w'’]+")
_OF_A_PERSON = re.compile(r"\b(?:she|he|her|him|his|hers)\b")
_LATIN = re.compile(r"[A-Za-z][\w-]{2}")
_OF_A_NAME = re.compile("[它他她]")
_PRONOUN = re.compile(
    r"\b(?:it|its|they|them|their|theirs|he|she|him|her|his|hers)\b|它们?|他们?|她们?", re.IGNORECASE
)
_ASKED_WITH = frozenset(terms("tell explain else long often much exactly really mean happen"))


def leans(question: str) -> bool:
    """Whether a question cannot be understood by itself, as far as its form tells."""
    return _formed(question) or _short(question)


def standalone(question: str, history: Sequence[Turn]) -> str:
    """The question with its subject, for retrieval: itself when it needs none or there is no history."""
    asked = [turn.text for turn in history if turn.role == "user"][-LOOK_BACK:]
    if not asked or not leans(question):
        return question
    if _complete(question):
        names = [name for name in _NAME.findall(asked[-1]) if name not in question]
        return " ".join([*dict.fromkeys(names), question])
    kinds = _kinds(question)
    if kinds and not _formed(question) and not any(kinds & _kinds(text) for text in asked):
        return question  # "E14" after a question about the warranty
    carried: list[str] = []
    for text in reversed(asked):
        carried.insert(0, text)
        if not leans(text):  # it names its subject itself: nothing older is needed
            break
    before = " ".join(carried)
    if kinds and not _POINTS.search(fold(question)):  # "and E14?" after E07: not both
        before = _CODE.sub(lambda code: "" if code[1].lower() in kinds else code[0], before)
    return f"{' '.join(before.split())[-LONGEST:]} {question}"


def may_stand(question: str) -> bool:
    """Whether a question may be meant by itself all the same: few words, or a pronoun that can stand for some of them.

    "Can I mail my machine back after using it?" may; "how much does it cost?" and "and in that case?" may not.
    """
    first = _PRONOUN.search(question)
    if first and len(terms(question[: first.start()])) < ENOUGH - 1:
        return False
    return not _formed(_PRONOUN.sub("", question))


def keeps_to(question: str, text: str) -> bool:
    """Whether a text speaks of all that a follow-up adds: "what about the Molino?" is not answered by the Brio's entry."""
    added = ASKING_ZH.sub(" ", _POINTS.sub(" ", _BEGINS.sub(" ", fold(question).strip())))
    return bag(text).issuperset(term for term in terms(added) if term not in _ASKED_WITH)


def _short(question: str) -> bool:
    cjk = len(_CJK.findall(ASKING_ZH.sub("", fold(question))))
    return cjk <= 4 if cjk else len(set(terms(question))) < ENOUGH


def _formed(question: str) -> bool:
    """Whether it has the form of a follow-up, not only its length. "He" and "no" are other words in Spanish."""
    if joins := _JOINS.get(language(question)):
        first = fold(question).lstrip("¿¡ ").split(maxsplit=1)[0].strip(",")
        return first in joins and len(question_terms(question)) <= ENOUGH
    folded = fold(_without(_without(question, _PERSON, _OF_A_PERSON), _LATIN, _OF_A_NAME)).strip()
    return bool(_BEGINS.search(folded) or _ENDS.search(folded) or _POINTS.search(folded))


def _without(question: str, name: re.Pattern[str], pronouns: re.Pattern[str]) -> str:
    """The question without the pronouns behind its first name: they stand for it."""
    named = name.search(question)
    return question[: named.end()] + pronouns.sub("", question[named.end() :]) if named else question


def _complete(question: str) -> bool:
    """Whether it only begins like a follow-up, and then says all that is asked for."""
    folded = fold(question).strip()
    if _POINTS.search(folded) or _short(question):
        return False
    return bool(_ASPECT.search(folded) or (_JOINED.search(folded) and not _ENDS.search(folded)))


def _kinds(text: str) -> set[str]:
    return {letters.lower() for letters in _CODE.findall(text)}
