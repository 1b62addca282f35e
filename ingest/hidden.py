"""What a web page does not show: by attribute, by its own style, or by a plain rule of a style sheet in the page.

Hidden text is how instructions to a language model get into a document that looks harmless.
"""

from __future__ import annotations

import re

from lxml import etree

SKIPPED = frozenset(
    "head script style template noscript iframe object canvas math svg select datalist audio video".split()
)
STYLE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|(?:^|[;{\s])opacity\s*:\s*0(?:\.0*)?\s*(?:;|$|!)"
    r"|font-size\s*:\s*(?:0(?:\.\d*)?(?:px|pt|em|rem|%)?|1(?:\.0*)?(?:px|pt))\s*(?:;|$|!)"
    r"|(?:left|top|right|text-indent|margin-left)\s*:\s*-\d{3,}|(?:^|[;{\s])color\s*:\s*transparent",
    re.IGNORECASE,
)
AT_RULE = re.compile(r"@[^{};]*(?:;|\{(?:[^{}]|\{[^{}]*\})*\})")  # @media print and its like hide for others
RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
SIMPLE = re.compile(r"(?:[a-z][a-z0-9]*)?([.#][\w-]+)", re.IGNORECASE)


def selectors(root: etree._Element) -> frozenset[str]:
    """'.class' and '#id' that a style sheet in the page hides by a rule of their own."""
    found: set[str] = set()
    for style in root.iter("style"):
        for names, body in RULE.findall(AT_RULE.sub("", (style.text or "")[:200_000])):
            if STYLE.search(body):
                found.update(m[1] for name in names.split(",") if (m := SIMPLE.fullmatch(name.strip())))
    return frozenset(found)


def is_hidden(element: etree._Element, tag: str, by_sheet: frozenset[str]) -> bool:
    """Whether readers of the page do not see this element."""
    if tag in SKIPPED or element.get("hidden") is not None or STYLE.search(element.get("style") or ""):
        return True
    if not by_sheet:
        return False
    names = {f".{name}" for name in (element.get("class") or "").split()} | {f"#{element.get('id')}"}
    return not by_sheet.isdisjoint(names)
