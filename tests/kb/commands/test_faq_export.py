"""`kb faq export` of more entries than one import takes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from kb.commands import faq
from kb.store.faqfile import MOST_ROWS
from kb.types import FaqEntry

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ENTRY = FaqEntry("faq_1", "When?", (), "Now.", "default", "en", NOW, NOW)


@pytest.mark.parametrize("over", [0, 1])
def test_an_export_that_no_import_takes_whole_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, over: int
) -> None:
    monkeypatch.setattr(faq, "_all", lambda: [ENTRY] * (MOST_ROWS + over))
    done = CliRunner().invoke(faq.export, [str(tmp_path / "out.csv")])
    assert done.exit_code == 0 and ("split the file" in done.output) == bool(over)
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 1 + MOST_ROWS + over
