"""The language of a text, by its script and, for Latin letters, its commonest words. '' where that does not tell."""

from __future__ import annotations

import re
from collections import Counter

from kb.index.languages import FUNCTION_WORDS

SAMPLE = 20_000
# Everyday characters written differently in mainland China and in Taiwan and Hong Kong.
SIMPLIFIED = frozenset(
    "们这国说为来时会对经过还发现样开关问题员设备请网络线电话务动业应该点击选择启连输显软储读写义册级确认进间长门见车书东风体"
)
TRADITIONAL = (
    frozenset(
        "們這國說為來時會對經過還發現樣開關問題員設備請網絡線電話務動業應該點擊選擇啟連輸顯軟儲讀寫義冊級確認進間長門見車書東風體"
    )
    - SIMPLIFIED
)
SCRIPTS = (
    ("ja", re.compile("[\u3041-\u30ff]")),
    ("ko", re.compile("[\uac00-\ud7af\u1100-\u11ff]")),
    ("zh", re.compile("[\u3400-\u9fff\U00020000-\U0002ffff]")),
    ("ru", re.compile("[\u0400-\u04ff]")),
    ("el", re.compile("[\u0370-\u03ff]")),
    ("ar", re.compile("[\u0600-\u06ff]")),
    ("he", re.compile("[\u0590-\u05ff]")),
    ("th", re.compile("[\u0e00-\u0e7f]")),
    ("hi", re.compile("[\u0900-\u097f]")),
    ("latin", re.compile("[A-Za-z\u00c0-\u024f]")),
)
WORD = re.compile(r"[^\W\d_]{2,}")
LEAST = 0.08  # share of function words; running text has four times that, lists and tables less


def detect(text: str) -> str:
    """ISO 639 code; zh-Hant for traditional Chinese."""
    middle = max(0, len(text) // 2 - SAMPLE // 2)
    sample = text[: SAMPLE // 2] + " " + text[middle : middle + SAMPLE // 2] if len(text) > SAMPLE else text
    counts = {name: len(pattern.findall(sample)) for name, pattern in SCRIPTS}
    # A kana or a Chinese character says as much as a few Latin letters.
    east = 3 * (counts["ja"] + counts["zh"])
    if east > counts["latin"] and east > 3 * counts["ko"]:
        if counts["ja"] > 0.1 * (counts["ja"] + counts["zh"]):
            return "ja"
        simplified = sum(character in SIMPLIFIED for character in sample)
        traditional = sum(character in TRADITIONAL for character in sample)
        return "zh-Hant" if traditional > simplified else "zh"
    name = max(counts, key=lambda script: counts[script] * (2 if script == "ko" else 1))
    if not counts[name]:
        return ""
    return _latin(sample) if name in ("latin", "ja", "zh") else name


def _latin(sample: str) -> str:
    words = Counter(word for word in WORD.findall(sample.lower()))
    total = sum(words.values())
    if not total:
        return ""
    scores = {
        language: sum(words[word] for word in common) / total for language, common in FUNCTION_WORDS.items()
    }
    best = max(scores, key=lambda language: scores[language])
    return best if scores[best] >= LEAST else ""
