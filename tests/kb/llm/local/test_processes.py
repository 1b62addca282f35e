"""What `kb up` runs of the local model, and what is said where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from kb.llm.local.processes import FIRST_TOKEN_S, model
from kb.settings import Settings
from web.status import _model

from . import inhouse


def test_without_a_model_the_way_to_one_is_named(tmp_path: Path) -> None:
    process = model(Settings(data=tmp_path))
    assert process is not None and "kb model plan" in process.missing
    assert model(Settings(data=tmp_path, llm_url="http://127.0.0.1:1/v1")) is None
    process = model(Settings(data=tmp_path, model_file=str(tmp_path / "gone.kbm")))
    assert process is not None and "KB_MODEL_FILE" in process.missing and "gone.kbm" in process.missing


def test_what_is_no_complete_model_is_not_started_for_ever(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    file = inhouse.packed(tmp_path / "models/whole.kbm", writing=False)
    broken = tmp_path / "models/broken.kbm"
    broken.write_bytes(b"SQLite format 3\\0 and no more")
    os.utime(broken, (file.stat().st_mtime + 60,) * 2)
    process = model(Settings(data=tmp_path))
    assert process is not None and not process.missing and str(file) in process.argv
    file.unlink()
    process = model(Settings(data=tmp_path))
    assert process is not None and "broken.kbm" in process.missing and "kb model pack" in process.missing


@pytest.mark.parametrize(("given", "exported"), [(None, str(FIRST_TOKEN_S)), (7.0, None)])
def test_a_model_on_this_machine_is_given_time_to_read(
    tmp_path: Path, given: float | None, exported: str | None
) -> None:
    (tmp_path / "models").mkdir()
    inhouse.packed(tmp_path / "models/tiny.kbm", writing=False)
    more = {} if given is None else {"llm_first_token_s": given}
    process = model(Settings(data=tmp_path, **more))  # type: ignore[arg-type]
    assert process is not None and process.exports["KB_LLM_URL"].startswith("http://127.0.0.1:")
    assert process.exports.get("KB_LLM_FIRST_TOKEN_S") == exported


def test_doctor_and_the_status_page_say_what_there_is(tmp_path: Path) -> None:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("KB_")}
    argv = [sys.executable, "-m", "kb.cli", "doctor"]
    env = clean | {"KB_DATA": str(tmp_path / "state")}
    said = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=True).stdout
    assert "note: no language model" in said and "kb model plan" in said

    kb = SimpleNamespace(chat=None)
    assert "kb model plan" in _model(kb)["note"]  # type: ignore[arg-type]
    kb.chat = SimpleNamespace(name="m", available=lambda: True, look=lambda: "The model is still loading.")
    found = _model(kb)  # type: ignore[arg-type]
    assert found["available"] is False and found["note"].startswith("The model is still loading.")
    kb.chat = SimpleNamespace(name="m", available=lambda: True, look=lambda: "")
    assert _model(kb) == {"configured": True, "name": "m", "available": True, "note": ""}  # type: ignore[arg-type]


def test_the_model_server_imports_no_http_client() -> None:
    program = "import sys, kb.llm.local.server; assert not {'httpcore', 'httpx'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", program], check=True)
