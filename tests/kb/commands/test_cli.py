"""The command line as a person types it: exit statuses, words, JSON."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kb.commands.config import markdown
from kb.settings import Settings
from kb.store import Database, private_directory
from tests.zygote import Zygote

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def kb(tmp_path: Path, zygote: Zygote):
    def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return zygote.run(*arguments, env={**os.environ, "KB_DATA": str(tmp_path / "state"), **env})

    return run


@pytest.fixture
def started(tmp_path: Path):
    """The same, started as a person's shell does: the whole of Python anew."""

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
    assert kb("collection", "rename", "support", "Help desk").stdout == "support is now called Help desk\n"
    assert "Help desk" in kb("collection", "list").stdout
    assert kb("collection", "rename", "nothing", "Help desk").returncode == 1
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


def test_wrong_usage_and_missing_things(started) -> None:
    assert started("nonsense").returncode == 2
    assert started("show", "doc_missing").returncode == 1
    assert "doc_missing" in started("show", "doc_missing").stderr
    wrong = started("config", KB_PORT="eighty")
    assert wrong.returncode == 1 and "KB_PORT" in wrong.stderr and "Traceback" not in wrong.stderr
    assert "Traceback" in started("config", KB_PORT="eighty", KB_DEBUG="1").stderr


def test_add_is_recognised_the_second_time_and_reads_standard_input(kb, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("# A\n\nThe gate opens at seven.\n")
    (tmp_path / "notes" / "b.txt").write_text("The canteen closes at two.\n")
    assert "2 added, 0 already there" in kb("add", str(tmp_path / "notes")).stdout
    assert "0 added, 2 already there" in kb("add", str(tmp_path / "notes")).stdout
    missing = kb("add", str(tmp_path / "nowhere"), "--collection", "typo")
    assert "typo" not in kb("collection", "list").stdout, "nothing to put there"
    assert missing.returncode == 1 and "nowhere" in missing.stderr
    states = {d["state"] for d in json.loads(kb("list", "--json").stdout)["data"]}
    assert states == {"queued"}
    assert kb("worker", "--until-idle", KB_TIKA_URL="http://127.0.0.1:9").returncode == 0
    assert {d["state"] for d in json.loads(kb("list", "--json").stdout)["data"]} == {"ready"}
    answer = json.loads(kb("ask", "When does the canteen close?", "--json").stdout)
    assert "two" in answer["text"] and answer["tier"] == "extractive"
    assert answer["sure"] == (answer["confidence"] >= 0.5)  # as the server says it


def test_names_of_files_cannot_drive_the_terminal(kb, tmp_path: Path) -> None:
    (tmp_path / "\x1b]0;owned\x07\x1b[31m\u202efdp.txt").write_text("hello")
    assert kb("add", str(tmp_path)).returncode == 0
    shown = kb("list").stdout + kb("show", json.loads(kb("list", "--json").stdout)["data"][0]["id"]).stdout
    assert "fdp.txt" in shown and not {"\x1b", "\x07", "\u202e"} & set(shown)


def test_config_prints_values_with_their_origin_and_hides_secrets(started) -> None:
    rows = {
        r["name"]: r
        for r in json.loads(started("config", "--json", KB_LLM_KEY="secret", KB_PORT="8123").stdout)
    }
    assert rows["KB_PORT"] == {"name": "KB_PORT", "value": 8123, "origin": "environment"}
    assert rows["KB_LLM_KEY"]["value"] == "***"
    assert set(rows) == {f"KB_{name.upper()}" for name in Settings.model_fields}


def test_the_documented_settings_are_the_settings() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == markdown()
    assert all(field.description for field in Settings.model_fields.values())


def test_state_is_its_owners_alone(kb, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        (tmp_path / "a.txt").write_text("The vault code is 5512.")
        assert kb("add", str(tmp_path / "a.txt")).returncode == 0
        assert kb("faq", "export", str(tmp_path / "out.csv")).returncode == 0
    finally:
        os.umask(before)
    state = tmp_path / "state"
    open_to_others = [str(p) for p in (state, *state.rglob("*")) if p.stat().st_mode & 0o077]
    assert not open_to_others and len(list(state.rglob("*"))) > 3
    assert (tmp_path / "out.csv").stat().st_mode & 0o777 == 0o644  # the caller's own file


def test_a_state_that_was_open_is_closed_and_other_folders_are_left_alone(tmp_path: Path) -> None:
    state, shared = tmp_path / "state", tmp_path / "shared"
    for folder, mode in ((state, 0o755), (shared, 0o1777)):
        folder.mkdir()
        folder.chmod(mode)
        (folder / "kb.sqlite3").touch()
        private_directory(folder)
    (tmp_path / "plain").mkdir(mode=0o755)
    private_directory(tmp_path / "plain")
    assert state.stat().st_mode & 0o777 == 0o700
    assert shared.stat().st_mode & 0o7777 == 0o1777
    assert (tmp_path / "plain").stat().st_mode & 0o777 == 0o755
    db = Database(f"sqlite:///{state / 'kb.sqlite3'}")
    db.migrate()
    db.close()
    assert (state / "kb.sqlite3").stat().st_mode & 0o777 == 0o600


def test_groups_and_grants(kb) -> None:
    assert kb("collection", "create", "handbook").returncode == 0
    assert kb("user", "create", "ann@x.example", "--password", "a long enough one").returncode == 0
    assert kb("group", "create", "staff").returncode == 0
    assert kb("group", "create", "staff").returncode == 1
    assert kb("group", "add", "staff", "ann@x.example").returncode == 0
    listed = json.loads(kb("group", "list", "--json").stdout)["data"]
    assert [(g["name"], g["members"]) for g in listed] == [("staff", ["ann@x.example"])]
    done = kb(
        "collection", "grant", "handbook", "--to", "group:staff", "--to", "user:ann@x.example", "--write"
    )
    assert done.returncode == 0, done.stderr
    grants = json.loads(kb("collection", "grants", "handbook", "--json").stdout)["data"]
    assert [(g["to"], g["may"]) for g in grants] == [
        ("group:staff", "write"),
        ("user:ann@x.example", "write"),
    ]
    assert kb("collection", "revoke", "handbook", "--from", "group:staff").returncode == 0
    again = kb("collection", "revoke", "handbook", "--from", "group:staff")
    assert again.returncode == 1 and "group:staff has no grant" in again.stderr
    for wrong in ("nobody", "user:", "group"):
        assert kb("collection", "grant", "handbook", wrong).returncode == 2
    assert kb("collection", "grant", "handbook").returncode == 2
    assert kb("collection", "grant", "handbook", "group:none").returncode == 1
    assert kb("group", "remove", "staff", "ann@x.example").returncode == 0
    assert kb("group", "remove", "staff", "ann@x.example").returncode == 1
    assert kb("group", "rm", "staff").returncode == 0
    asked = kb("collection", "rm", "handbook")
    assert asked.returncode == 2 and "add --yes" in asked.stderr  # no terminal to ask at
    assert kb("collection", "grants", "handbook").returncode == 0  # it is still there
    assert kb("collection", "rm", "handbook", "--yes").returncode == 0
    assert kb("collection", "grants", "handbook").returncode == 1


def test_a_key_stands_alone_on_standard_output(kb) -> None:
    made = kb("key", "create", "crm", "--scopes", "ask")
    assert made.returncode == 0 and re.fullmatch(r"kb_\S+\n", made.stdout), made.stdout
    assert "Keep it now" in made.stderr


def test_a_file_that_takes_the_place_of_another_is_named(kb, tmp_path: Path) -> None:
    for place, text in (("march", "one"), ("april", "two")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "invoice.txt").write_text(text)
        done = kb("add", str(tmp_path / place / "invoice.txt"))
        said = "In place of an older file of the same name: invoice.txt (revision 2)." in done.stdout
        assert done.returncode == 0 and said == (place == "april"), done.stdout


def test_wrong_usage_and_wrong_settings_are_said(kb, tmp_path: Path) -> None:
    assert kb("list", "--state", "bogus").returncode == 2
    assert kb("search", "x", "-k", "0").returncode == 2
    assert kb("list", "--state", "failed").stdout.splitlines()[-1] == "No such documents."
    for url in ("nonsense", "mysql://u@x/y", "nodb://x"):
        done = kb("list", KB_DATABASE_URL=url)
        assert done.returncode == 1 and "KB_DATABASE_URL" in done.stderr
    (tmp_path / "bad.toml").write_text('port = "x')
    done = kb("list", KB_CONFIG=str(tmp_path / "bad.toml"))
    assert done.returncode == 1 and "bad.toml is not valid TOML" in done.stderr


def test_faq_files_with_semicolons(kb, tmp_path: Path) -> None:
    assert kb("collection", "create", "default").returncode == 0
    (tmp_path / "faq.csv").write_text("question;answer\nWhat, and when?;Now, here\n", encoding="utf-8-sig")
    done = kb("faq", "import", str(tmp_path / "faq.csv"))
    assert done.returncode == 0, done.stderr
    assert json.loads(kb("faq", "list", "--json").stdout)["data"][0]["answer"] == "Now, here"
    assert kb("faq", "export", str(tmp_path / "out.csv")).returncode == 0
    same = kb("faq", "import", str(tmp_path / "out.csv"))
    assert same.stdout == "1 of 1 entries imported (1 unchanged).\n", same.stderr
    edited = (tmp_path / "out.csv").read_text().replace("Now, here", "Later, there")
    (tmp_path / "out.csv").write_text(edited)
    again = kb("faq", "import", str(tmp_path / "out.csv"))
    assert again.stdout == "1 of 1 entries imported (1 changed).\n", again.stderr
    assert [e["answer"] for e in json.loads(kb("faq", "list", "--json").stdout)["data"]] == ["Later, there"]


def test_a_faq_file_is_read_for_what_it_says(kb, tmp_path: Path) -> None:
    good = {"question": "When?", "answer": "Now.", "variants": ["At what time?"], "language": "en"}
    wrong = (
        {"question": 5},
        {"answer": ["x"]},
        {"variants": 5},
        {"variants": [None]},
        {"language": "not one"},
    )
    (tmp_path / "faq.json").write_text(json.dumps([*({**good, **each} for each in wrong), [], good]))
    assert kb("collection", "create", "default").returncode == 0
    done = kb("faq", "import", str(tmp_path / "faq.json"))
    assert done.returncode == 1 and done.stdout == "1 of 7 entries imported.\n"
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == [f"row {n}" for n in range(1, 7)]
    listed = json.loads(kb("faq", "list", "--json").stdout)["data"]
    assert [(e["question"], e["variants"]) for e in listed] == [("When?", ["At what time?"])]


def test_doctor_notes_servers_that_are_named_and_do_not_answer(kb) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and nobody listens
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        done = kb("doctor", KB_TIKA_URL=f"{url},{url}/second", KB_LLM_URL=f"{url}/v1")
    assert done.returncode == 0 and "Everything agrees." in done.stdout, done.stderr
    notes = [line for line in done.stdout.splitlines() if line.startswith("note: ")]
    assert ["KB_TIKA_URL" in note for note in notes] == [True, True, False]
    assert "KB_LLM_URL" in notes[2] and "does not answer" in notes[2]


def test_up_refuses_a_port_that_is_taken(started) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = started("up", KB_PORT=str(taken.getsockname()[1]))
    assert done.returncode == 1 and "KB_PORT" in done.stderr and "ready" not in done.stdout
