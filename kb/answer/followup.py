"""Follow-up questions keep their subject, without a model.

"And for part-time staff?" finds nothing by itself. When a question leans on what was said before (a pronoun,
a beginning like "what about", too few words of its own), the words of the turns before it are put in front of it
for retrieval; the question that people see, and that the model answers, stays as it was asked.
`bench/ask.py followup` measures it on conversations with gold passages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kb.answer.words import ASKING_ZH, CJK, fold, question_terms, terms
from kb.types import Turn

LOOK_BACK = 3
LONGEST = 400
_CJK = re.compile(f"[{CJK}]")

_BEGINS = re.compile(
    r"^(?:and|but|so|or|then|also|ok(?:ay)?|what about|how about|what else|anything else|why not|why is that|why|how so|how come"
    r"|in that case|any other|are there (?:any )?(?:other|more)|more|for|with|without|if so|if not|what if|can you (?:explain|elaborate)|tell me more|go on|explain"
    r"|what do you mean|yes|no|yeah|the (?:first|second|third|last|other|same))\b"
    r"|^(?:那|还有|還有|另外|如果是|换成|換成|除此之外|其他|再|然后|然後|具体|為什麼呢|为什么呢|这|這|它|他|她)"
)
_POINTS = re.compile(
    r"\b(?:it|its|they|them|their|theirs|this|these|those|he|she|him|her|his|hers|there|one|ones|the same|such|both|either"
    r"|former|latter|above|previous|mentioned)\b|\bthat\b(?!\s+(?:is|are|was|were|the|a|an|has|have|can|will|does|do)\b\s+\w+)"
    r"|它|他们|他們|她|该|該|此|这个|這個|这些|這些|那个|那個|那些|这种|這種|那种|那種|其中|上述|前者|后者|後者|同样|同樣"
)
_ENDS = re.compile(r"呢[?？。]?$|\b(?:too|instead|as well|then|though)[?.!]*$")


def leans(question: str) -> bool:
    """Whether a question cannot be understood by itself, as far as its form tells."""
    folded = fold(question).strip()
    own = question_terms(question)
    if _BEGINS.search(folded) or _ENDS.search(folded):
        return True
    if _POINTS.search(folded):
        return True
    cjk = len(_CJK.findall(ASKING_ZH.sub("", folded)))
    return cjk <= 4 if cjk else len(own) <= 2


def standalone(question: str, history: Sequence[Turn]) -> str:
    """The question with its subject, for retrieval: itself when it needs none or there is no history."""
    asked = [turn.text for turn in history if turn.role == "user"]
    if not asked or not leans(question):
        return question
    own = set(terms(question))
    carried: list[str] = []
    for text in reversed(asked[-LOOK_BACK:]):
        carried.insert(0, text)
        own |= set(terms(text))
        if not leans(text):  # it names its subject itself: nothing older is needed
            break
    before = " ".join(" ".join(carried).split())
    return f"{before[-LONGEST:]} {question}"
