"""Greetings and thanks: said to any chat page, and no questions. Nothing is searched for them, nothing logged as unanswered.

Only a message that is nothing else counts: "hello, what does it cost?" is a question. A curated entry goes first.
"""

from __future__ import annotations

import re

from kb.answer.words import fold

_GREETING = (
    r"hi|hiya|hello|hey|howdy|greetings|good (?:morning|afternoon|evening|day)|hallo|guten (?:morgen|tag|abend)"
    r"|bonjour|hola|ciao|你好|您好|大家好|早上好|上午好|下午好|晚上好|早安|嗨|哈[喽啰]"
)
_THANKS = (
    r"thanks|thank you|thx|ty|cheers|many thanks|thanks a lot|thank you (?:so|very) much|much appreciated|great|perfect|nice"
    r"|bye|goodbye|good bye|see you|danke|merci|gracias|谢谢[你您]?|多谢|感谢|辛苦了|再见|拜拜"
)
_GREETS = re.compile(rf"(?<!\w)(?:{_GREETING})(?!\w)", re.I)
_ONLY = re.compile(
    rf"(?:(?:{_GREETING}|{_THANKS})(?:\s+(?:there|again|all|everyone|kb))?[\s,.!~。，！～、👋🙂😊🙏👍]*)+",
    re.I,
)


def only(text: str) -> bool:
    """Whether a message is courtesy and nothing else."""
    return len(text) <= 80 and _ONLY.fullmatch(fold(text).strip()) is not None


def greets(text: str) -> bool:
    """Whether a courtesy begins a talk, rather than thanking for one or ending it."""
    return _GREETS.search(fold(text)) is not None
