"""Long runs of blanks and signs cost no more than their length: a quadratic pattern held the worker for ever.

A pattern keeps the interpreter, so not even the heartbeat could say that the worker lived.
"""

from __future__ import annotations

import pytest

from ingest import markdown
from ingest.blocks import Block, Extract
from ingest.clean import clean

MANY = 400_000  # quadratic: minutes


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    [
        " " * MANY + "end",
        "a" + " \t" * MANY + "end",
        "." * MANY + "end",
        ". " * MANY + "end",
        "-" * MANY + "end",
        "# " + " " * MANY + "end",
        "# a" + " " * MANY + "b # {#",
        "a|b\n" + " " * MANY + "|x",
        "|" + " " * MANY + "|-" + "-" * MANY + "x",
        "*" * MANY + "end",
        "`" * MANY + "end",
        "<!--" * MANY + "end",
        "\n \t" * MANY + "end",
    ],
)
def test_no_run_is_quadratic(text: str) -> None:
    for blocks in (list(markdown.markdown(text)), list(markdown.plain(text)), [Block(text, page=1)]):
        assert clean(Extract(blocks, "txt", paged=blocks[0].page == 1)).blocks
