"""A busy database makes loading wait, not stop half way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kb.app import build
from kb.commands import sample
from kb.errors import Busy
from kb.ops import retry
from kb.settings import Settings
from kb.store import SYSTEM
from tests.fakes import FakeEncoder


def test_waits_while_it_is_busy_and_gives_up_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    left = [Busy("busy"), Busy("busy")]

    def call() -> str:
        if left:
            raise left.pop()
        return "done"

    assert retry.patiently(call, pause_s=0) == "done"
    left.extend(Busy("busy") for _ in range(3))
    with pytest.raises(Busy):
        retry.patiently(call, tries=3, pause_s=0)


def test_the_sample_is_loaded_whole_though_the_database_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen on a first start on a busy machine: 13 of 51 documents, and 'kb is ready'."""
    if not sample.SAMPLE.is_dir():
        pytest.skip("data/sample is not here")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    kb = build(Settings(data=tmp_path))
    real, calls = kb.documents.add, [0]

    def add(*args: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] % 5 == 0:
            raise Busy("The database has been busy with other changes for 5 s.")
        return real(*args, **named)

    monkeypatch.setattr(kb.documents, "add", add)
    count = sample.load(kb)
    kb.close()
    assert count == sum(path.is_file() for path in (sample.SAMPLE / "documents").glob("*/**/*"))
    assert calls[0] > count


def test_a_sample_cut_short_is_finished_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C in the first seconds of the first start left a kb without FAQ entries for good."""
    if not sample.SAMPLE.is_dir():
        pytest.skip("data/sample is not here")
    kb = build(Settings(data=tmp_path), encoder=FakeEncoder())
    real = kb.faqs.put

    def put(*args: Any, **named: Any) -> Any:
        if len(kb.faqs.list(SYSTEM)[0]) == 3:
            raise KeyboardInterrupt
        return real(*args, **named)

    assert not sample.unfinished(kb)
    with monkeypatch.context() as interrupted, pytest.raises(KeyboardInterrupt):
        interrupted.setattr(kb.faqs, "put", put)
        sample.load(kb)
    assert sample.unfinished(kb)
    sample.load(kb)
    assert not sample.unfinished(kb) and len(kb.faqs.list(SYSTEM, limit=500)[0]) >= 60
    assert capsys.readouterr().err == ""
    kb.close()
