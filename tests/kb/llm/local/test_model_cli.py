"""`kb model` as people call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from kb.errors import KbError
from kb.llm.local.cli import model
from kb.llm.local.probe import Machine
from kb.llm.local.store import Store

from . import folders
from .test_plan import MACHINE


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The models folder of a state directory of its own."""
    monkeypatch.setenv("KB_DATA", str(tmp_path / "state"))
    monkeypatch.setenv("KB_MODEL_RAM", "3GB")
    return tmp_path / "state" / "models"


def _run(*args: str) -> str:
    return CliRunner().invoke(model, args, catch_exceptions=False).output


def test_pack_list_verify(models: Path, tmp_path: Path) -> None:
    assert "kb model plan" in _run("list")
    folder = folders.write(tmp_path / "acme--tiny")
    said = _run("pack", str(folder))
    packed = models / "tiny.int8.kbm"
    assert packed.is_file() and "experts (int8)" in said and "embeddings" in said
    assert "Kept exactly: norms and sinks" in said.replace("\n", " ")
    assert "all right" in _run("verify", str(packed))
    (row,) = json.loads(_run("list", "--json"))["data"]
    assert row["file"] == str(packed) and row["layout"] == "int8" and row["experts"] == 8
    assert "tiny.int8.kbm" in _run("list").replace("\n", "").replace(" ", "").replace("│", "")


def test_the_layout_and_the_place_can_be_chosen(models: Path, tmp_path: Path) -> None:
    folder = folders.write(tmp_path / "src", mxfp4=True)
    said = _run("pack", str(folder), "--layout", "int8", "--dense", "bf16", "--out", str(tmp_path / "x.kbm"))
    assert "experts (int8)" in said and "Relative error" not in said  # 4-bit blocks and bf16 lose nothing
    with Store(tmp_path / "x.kbm") as store:
        assert store.layout == "int8" and store.meta["dense"] == "bf16"


def test_verify_fails_on_a_damaged_file(models: Path, tmp_path: Path) -> None:
    _run("pack", str(folders.write(tmp_path / "src")), "--out", str(tmp_path / "x.kbm"))
    with Store(tmp_path / "x.kbm", writable=True) as store:
        shard = store.shards()[-1]
        store.overwrite(shard, memoryview(bytes(shard.nbytes)))
    with pytest.raises(KbError, match="1 of 75 shards") as caught:
        _run("verify", str(tmp_path / "x.kbm"))
    assert "layer 2, expert 7" in caught.value.detail


def test_a_failure_is_one_line_and_status_1(tmp_path: Path) -> None:
    env = {**os.environ, "KB_DATA": str(tmp_path)}
    for arguments, says in (
        (["verify", "none.kbm"], "none.kbm does not exist"),
        (["serve"], "No packed model"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "kb.cli", "model", *arguments],
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 1 and says in done.stderr and "Traceback" not in done.stderr
    done = subprocess.run(
        [sys.executable, "-m", "kb.cli", "model", "pack", ".", "--layout", "fp3"],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2 and "fp3" in done.stderr


def test_pull_takes_a_folder(models: Path, tmp_path: Path) -> None:
    folder = folders.write(tmp_path / "src")
    assert f"kb model pack {folder}" in _run("pull", str(folder))


def test_plan_prints_what_to_type(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(folder: Path, threads: int, tell: object) -> Machine:
        assert folder == models
        return MACHINE

    monkeypatch.setattr("kb.llm.local.probe.probe", measured)
    said = _run("plan")
    for part in (
        "3.0 GB (KB_MODEL_RAM)",
        "mxfp4",
        "int8",
        "Recommended: kb",
        "kb model pull openai/gpt-oss-20b",
    ):
        assert part in said
    found = json.loads(_run("plan", "--json"))
    assert found["engine"] == "kb" and found["budget"] == 3_000_000_000
    assert [option["layout"] for option in found["options"]] == ["mxfp4", "int8"]
