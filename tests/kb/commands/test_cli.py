"""The command line as a person types it: exit statuses, words, JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kb.commands.config import markdown
from kb.settings import Settings

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def kb(tmp_path: Path):
    def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "kb.cli", *arguments],
            env={**os.environ, "KB_DATA": str(tmp_path / "state"), **env},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def test_collections_keys_and_people(kb) -> None:
    assert kb("collection", "create", "support", "--title", "Support", "--everyone").returncode == 0
    again = kb("collection", "create", "support")
    assert again.returncode == 1 and "support" in again.stderr and "Traceback" not in again.stderr
    made = json.loads(
        kb("key", "create", "crm", "--scopes", "ask,search", "--collection", "support", "--json").stdout
    )
    assert made["key"].startswith(f"kb_{made['id']}_")
    listed = json.loads(kb("key", "list", "--json").stdout)["data"]
    assert [(k["name"], k["scopes"], k["collections"]) for k in listed] == [
        ("crm", ["ask", "search"], ["support"])
    ]
    assert made["key"] not in kb("key", "list", "--json").stdout
    assert (
        kb(
            "user", "create", "ada@example.org", "--password", "a long enough one", "--role", "editor"
        ).returncode
        == 0
    )
    assert json.loads(kb("user", "list", "--json").stdout)["data"][0]["role"] == "editor"
    assert "Everything agrees" in kb("doctor").stdout


def test_wrong_usage_and_missing_things(kb) -> None:
    assert kb("nonsense").returncode == 2
    assert kb("show", "doc_missing").returncode == 1
    assert "doc_missing" in kb("show", "doc_missing").stderr
    wrong = kb("config", KB_PORT="eighty")
    assert wrong.returncode == 1 and "KB_PORT" in wrong.stderr and "Traceback" not in wrong.stderr
    assert "Traceback" in kb("config", KB_PORT="eighty", KB_DEBUG="1").stderr


def test_add_is_recognised_the_second_time_and_reads_standard_input(kb, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("# A\n\nThe gate opens at seven.\n")
    (tmp_path / "notes" / "b.txt").write_text("The canteen closes at two.\n")
    assert "2 added, 0 already there" in kb("add", str(tmp_path / "notes")).stdout
    assert "0 added, 2 already there" in kb("add", str(tmp_path / "notes")).stdout
    missing = kb("add", str(tmp_path / "nowhere"))
    assert missing.returncode == 1 and "nowhere" in missing.stderr
    states = {d["state"] for d in json.loads(kb("list", "--json").stdout)["data"]}
    assert states == {"queued"}
    assert kb("worker", "--until-idle", KB_TIKA_URL="http://127.0.0.1:9").returncode == 0
    assert {d["state"] for d in json.loads(kb("list", "--json").stdout)["data"]} == {"ready"}
    answer = json.loads(kb("ask", "When does the canteen close?", "--json").stdout)
    assert "two" in answer["text"] and answer["tier"] == "extractive"


def test_config_prints_values_with_their_origin_and_hides_secrets(kb) -> None:
    rows = {
        r["name"]: r for r in json.loads(kb("config", "--json", KB_LLM_KEY="secret", KB_PORT="8123").stdout)
    }
    assert rows["KB_PORT"] == {"name": "KB_PORT", "value": 8123, "origin": "environment"}
    assert rows["KB_LLM_KEY"]["value"] == "***"
    assert set(rows) == {f"KB_{name.upper()}" for name in Settings.model_fields}


def test_the_documented_settings_are_the_settings() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == markdown()
    assert all(field.description for field in Settings.model_fields.values())
