"""Answers as HTML: a small, safe part of Markdown.

No raw HTML, no images, no links of the text's own: whatever a document or a model wrote cannot make
the browser fetch or open anything. The only links are citation marks `[n]`, made here from the
citations the server found, and nh3 checks the result once more.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token

from kb.index.languages import language
from kb.types import Answer, Citation
from web.wide_rows import upright

TAGS = {
    "p", "br", "strong", "em", "s", "code", "pre", "ul", "ol", "li", "blockquote", "hr",
    "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td", "a", "sup",
}  # fmt: skip
ATTRIBUTES = {"a": {"href", "class", "data-n", "title"}, "ol": {"start"}, "sup": set[str]()}
_HEADING_SIGNS = re.compile(r"(^|\s)#{1,6} +", re.MULTILINE)
_MARK = re.compile(r"\[(\d{1,3})\]")
_OURS = re.compile(r"#|/(?:documents|faq)(?:/|[?#])[A-Za-z0-9_.%?&=#-]+")

_markdown = MarkdownIt("commonmark", {"html": False, "linkify": False, "breaks": True}).enable(
    ["table", "strikethrough"]
)
_markdown.disable(["link", "image", "autolink", "reference", "html_block", "html_inline", "entity"])


# Quoted sentences are a document's words, not a writer's Markdown: a "#" in them makes no heading.
_quoted = MarkdownIt("zero", {"html": False, "breaks": True}).enable(
    ["list", "blockquote", "newline", "table"]
)


def answer_html(answer: Answer) -> str:
    """The answer's text as HTML with its citation marks as links."""
    quoted = answer.tier == "extractive"
    # stored text marks its headings with "#"; the quotation itself keeps them
    text = _HEADING_SIGNS.sub(r"\1", answer.text) if quoted else answer.text
    return to_html(text, answer.citations, quoted=quoted)


def languages(answer: Answer) -> dict[str, str]:
    """ISO 639 codes of question and answer, '' where unclear: a screen reader reads each with its own voice."""
    return {"question": language(answer.question), "text": language(answer.text)}


def to_html(text: str, citations: Sequence[Citation] = (), *, quoted: bool = False) -> str:
    """Markdown to safe HTML; `[n]` of a citation becomes a link to its passage, other marks stay text."""
    markdown = _quoted if quoted else _markdown
    known = {citation.n: citation for citation in citations}
    tokens = markdown.parse(text)
    if quoted:
        tokens = upright(tokens)
    headings = [token for token in tokens if token.type in ("heading_open", "heading_close")]
    highest = min((int(token.tag[1]) for token in headings), default=1)
    for token in headings:
        token.tag = f"h{min(6, int(token.tag[1]) - highest + 3)}"  # h1 is the page's, h2 the question's
    for token in tokens:
        if token.type == "inline" and token.children:
            token.children = [made for child in token.children for made in _marked(child, known)]
    rendered: str = markdown.renderer.render(tokens, markdown.options, {})
    return nh3.clean(
        rendered,
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes=set(),
        link_rel=None,
        attribute_filter=_attribute,
    )


def _marked(token: Token, known: dict[int, Citation]) -> list[Token]:
    if token.type != "text":
        return [token]
    made, at = [], 0
    for found in _MARK.finditer(token.content):
        citation = known.get(int(found.group(1)))
        if citation is None:
            continue
        made.append(_text(token.content[at : found.start()]))
        link = Token("html_inline", "", 0)
        link.content = _link(citation)
        made.append(link)
        at = found.end()
    return [*made, _text(token.content[at:])]


def _text(content: str) -> Token:
    token = Token("text", "", 0)
    token.content = content
    return token


def _link(citation: Citation) -> str:
    url = citation.url or (f"/faq#{citation.document_id}" if citation.document_id.startswith("faq_") else "#")
    where = citation.title + (f", page {citation.page}" if citation.page else "")
    return (
        f'<sup><a class="cite" href="{html.escape(url)}" data-n="{citation.n}" '
        f'title="{html.escape(where)}">{citation.n}</a></sup>'
    )


def _attribute(tag: str, name: str, value: str) -> str | None:
    if name == "href" and not _OURS.fullmatch(value):
        return None
    return value
