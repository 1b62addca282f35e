"""The fixed sentences of answers, in the question's language."""

from __future__ import annotations

from typing import Literal

Language = Literal["zh", "en"]

_TEXTS: dict[str, dict[Language, str]] = {
    "none": {
        "en": "I found nothing in the documents that answers this. The closest passages are shown; they may not answer it.",
        "zh": "文档中没有找到这个问题的答案。下面列出最接近的段落，它们不一定能回答这个问题。",
    },
    "nothing": {
        "en": "I found nothing in the documents about this.",
        "zh": "文档中没有找到与此有关的内容。",
    },
    "courtesy": {
        "en": "Hello. Ask me anything that the documents may answer, in a sentence or a few words.",
        "zh": "您好。请用一句话或几个词提问，我会从文档中查找答案。",
    },
    "quoted-no-model": {
        "en": "Quoted from the documents; no language model is configured.",
        "zh": "以下内容摘自文档原文；未配置语言模型。",
    },
    "quoted-down": {
        "en": "Quoted from the documents; the language model is not available right now.",
        "zh": "以下内容摘自文档原文；语言模型暂时不可用。",
    },
    "quoted-late": {
        "en": "Quoted from the documents; the language model did not answer in time.",
        "zh": "以下内容摘自文档原文；语言模型未能及时回答。",
    },
    "quoted-busy": {
        "en": "Quoted from the documents; too many questions are waiting for the language model.",
        "zh": "以下内容摘自文档原文；等待语言模型的问题过多。",
    },
    "quoted-broken": {
        "en": "Quoted from the documents; the language model broke off, so its text was discarded.",
        "zh": "以下内容摘自文档原文；语言模型的回答中断，其内容已被丢弃。",
    },
    "unsure": {
        "en": "This is the closest the documents come; it may not be what you asked.",
        "zh": "以下是文档中最接近的内容，不一定正好回答您的问题。",
    },
    "unsupported": {
        "en": "Not confirmed by the passages: {claims}",
        "zh": "未能在所引段落中核实：{claims}",
    },
    "uncited": {
        "en": "The answer names no passage; please check it against the sources.",
        "zh": "该回答没有注明出处，请对照来源核实。",
    },
    "read-as": {
        "en": "Read as: {words}.",
        "zh": "已按以下拼写理解：{words}。",
    },
    "unsaved": {
        "en": "This answer could not be saved.",
        "zh": "此回答未能保存。",
    },
    "waiting": {
        "en": "Waiting for the language model, number {position} in line.",
        "zh": "正在等待语言模型，排在第 {position} 位。",
    },
    "writing": {"en": "Writing the answer.", "zh": "正在撰写回答。"},
    "searching": {"en": "Searching the documents.", "zh": "正在检索文档。"},
}
NAMES: dict[Language, str] = {"en": "the language of the question", "zh": "Chinese, as the question is"}


def say(key: str, language: Language, **values: object) -> str:
    """The sentence, filled in."""
    return _TEXTS[key][language].format(**values)
