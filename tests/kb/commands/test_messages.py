"""What the command line says when something is wrong: the thing and the way out, never a traceback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from kb.app import build
from kb.commands.people import user
from kb.commands.show import table
from kb.settings import Settings
from tests.zygote import Zygote


@pytest.fixture
def kb(tmp_path: Path, zygote: Zygote) -> Any:
    def run(*arguments: str, **env: str) -> Any:
        return zygote.run(*arguments, env={**os.environ, "KB_DATA": str(tmp_path / "state"), **env})

    return run


def test_a_wrong_setting_is_named_and_the_list_of_all_is_still_printed(kb: Any, tmp_path: Path) -> None:
    done = kb("list", KB_PORT="abc")
    assert done.returncode == 1 and "KB_PORT: must be a valid integer, not 'abc'" in done.stderr
    assert "kb config --help-table" in done.stderr
    assert "| `KB_PORT` |" in kb("config", "--help-table", KB_PORT="abc").stdout
    (tmp_path / "kb.toml").write_text("prot = 1\n")
    assert "KB_PROT: is not a setting" in kb("list", KB_CONFIG=str(tmp_path / "kb.toml")).stderr


@pytest.mark.parametrize(
    "given", ["kb.example", "ftp://kb.example", "https://kb.example/kb", "https://", "http://[::1"]
)
def test_an_address_of_which_no_links_can_be_made(given: str) -> None:
    with pytest.raises(ValidationError):
        Settings(public_url=given)


def test_such_an_address_is_said_in_words(kb: Any) -> None:
    done = kb("list", KB_PUBLIC_URL="kb.example")
    assert done.returncode == 1 and "KB_PUBLIC_URL: must be like https://kb.example or" in done.stderr


@pytest.mark.parametrize("name", ["tika_url", "llm_url"])
@pytest.mark.parametrize(
    "given",
    [
        "127.0.0.1:8000",
        "ftp://x/v1",
        "file:///etc/passwd",
        "http://",
        "http://a,b",
        "http://:8000/v1",
        "http://x:port",
        "http://x:99999",
        "http://a b",
        "http://bücher.example",
        "http://[::1",
    ],
)
def test_a_server_of_no_address_is_refused_at_the_start(name: str, given: str) -> None:
    with pytest.raises(ValidationError, match=r"must be an address such as http://127\.0\.0\.1:8000"):
        Settings(**{name: given})  # type: ignore[arg-type]


def test_without_a_terminal_a_password_comes_on_standard_input(kb: Any) -> None:
    done = kb("user", "create", "ada@example.org")
    assert done.returncode == 2 and "standard input" in done.stderr
    assert "Warning" not in done.stderr


def test_a_password_sent_on_standard_input_signs_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KB_DATA", str(tmp_path / "state"))
    done = CliRunner().invoke(user, ["create", "ada@example.org"], input="a lovely engine 1843\r\n")
    assert done.exit_code == 0, done.output
    with closing(build()) as made:
        assert made.users.verify("ada@example.org", "a lovely engine 1843").role == "reader"


def test_only_tika_has_several_addresses() -> None:
    several = Settings(tika_url=" http://a:1 , http://b:2,")
    assert several.tika_url == "http://a:1,http://b:2"
    assert Settings(tika_url=" , ").tika_url == ""  # none: our own is started
    with pytest.raises(ValidationError, match="must be an address"):
        Settings(llm_url="http://a:1/v1,http://b:2/v1")


def test_an_address_is_kept_in_one_form() -> None:
    assert Settings(public_url="HTTPS://kb.example:8443/").public_url == "https://kb.example:8443"


def test_a_misspelt_setting_in_the_environment_is_pointed_out(kb: Any) -> None:
    done = kb("config", KB_PROT="1", KB_DEBUG="")
    assert done.returncode == 0 and "KB_PROT is in the environment, but is not a setting" in done.stderr
    assert "KB_DEBUG" not in done.stderr


def test_serve_says_that_its_port_is_taken(kb: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = kb("serve", "--host", "127.0.0.1", "--port", str(port), KB_HOST="127.0.0.1")
    assert done.returncode == 1
    assert f"Port {port} of 127.0.0.1 is taken" in done.stderr and "KB_PORT" in done.stderr
    assert "ERROR" not in done.stderr + done.stdout


def test_what_faq_list_prints_can_be_imported(kb: Any, tmp_path: Path) -> None:
    rows = [{"question": "When?", "answer": "Now.", "variants": "at what time|how soon", "id": "faq_x"}, 5]
    (tmp_path / "in.json").write_text(json.dumps({"data": rows, "next": None}))
    kb("collection", "create", "default")
    done = kb("faq", "import", str(tmp_path / "in.json"))
    assert done.stdout == "1 of 2 entries imported.\n" and "row 2: It is no object" in done.stderr
    (entry,) = json.loads(kb("faq", "list", "--json").stdout)["data"]
    assert entry["variants"] == ["at what time", "how soon"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04rest", "Save it as CSV (UTF-8)"),
        ("question,answer\nü?,ä".encode("latin-1"), "not UTF-8"),
        (b"Frage;Antwort\na;b\n", "lacks answer and question"),
        (b'question,answer\n"a,b', "CSV cannot be read"),
    ],
)
def test_an_faq_file_that_cannot_be_read_is_named(kb: Any, tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "faq.csv").write_bytes(content)
    done = kb("faq", "import", str(tmp_path / "faq.csv"))
    assert done.returncode == 1 and "faq.csv: " in done.stderr and said in done.stderr


def test_times_in_tables_are_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    table(("name", "last used"), [("crm", datetime(2026, 1, 2, 3, 4, 5, 678, UTC)), ("new", None)])
    said = capsys.readouterr().out
    assert "2026-01-02 03:04 UTC" in said and "None" not in said


@pytest.mark.parametrize("chunked", [False, True])
def test_an_answer_that_breaks_off_is_a_failure(kb: Any, tmp_path: Path, chunked: bool) -> None:
    """The server dies in the middle of a stream: half an answer must not look like one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        (tmp_path / "state").mkdir()
        door = {"url": f"http://127.0.0.1:{server.getsockname()[1]}", "token": "t"}
        (tmp_path / "state" / "local.json").write_text(json.dumps(door))

        def break_off() -> None:
            client, _ = server.accept()
            client.recv(65536)
            event = b'event: token\ndata: {"text": "Half an"}\n\n'
            way = b"Transfer-Encoding: chunked" if chunked else b"Connection: close"
            body = b"%x\r\n%s\r\n" % (len(event), event) if chunked else event
            client.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n%s\r\n\r\n%s" % (way, body)
            )
            client.close()

        thread = threading.Thread(target=break_off)
        thread.start()
        done = kb("ask", "How long?")
        thread.join()
    assert done.returncode == 1 and done.stdout == "Half an\n"
    assert "broke off before the answer was complete" in done.stderr


def test_a_reader_who_has_seen_enough_is_no_failure(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-m", "kb.cli", "config"]
        env = {**os.environ, "KB_DATA": str(tmp_path)}
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, env=env, timeout=60)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_that_cannot_be_written_is_a_failure_in_words(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kb.cli", "config"]
    with open("/dev/full", "wb") as full:
        env = {**os.environ, "KB_DATA": str(tmp_path)}
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=env, timeout=60)
    assert done.returncode == 1 and b"no space left" in done.stderr and b"Errno" not in done.stderr


def test_a_question_in_another_encoding_is_asked_as_far_as_it_can_be_read(kb: Any) -> None:
    kb("collection", "create", "default")
    for command in ("search", "ask"):
        done = kb(command, os.fsdecode(b"caf\xe9 opening hours"))
        assert done.returncode == 0 and done.stderr == "", done.stderr
