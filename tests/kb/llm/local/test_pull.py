"""Downloads: resumed, checked, refused when wrong. The hub is a real HTTP server on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kb.errors import DiskFull
from kb.llm.local.errors import BadModel, SourceError
from kb.llm.local.pack import Progress
from kb.llm.local.pull import pull

from . import folders
from .hub import Hub

WEIGHTS = "model-00001-of-00002.safetensors"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    folder = folders.write(tmp_path / "hub", mxfp4=True, hidden_size=128)
    (folder / "original").mkdir()
    (folder / "original" / "model.safetensors").write_bytes(b"the same weights once more")
    (folder / "README.md").write_text("# Tiny")
    with Hub(folder) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        yield served


def _same(got: Path, hub: Hub) -> bool:
    wanted = [path for path in hub.folder.iterdir() if path.suffix in (".json", ".safetensors", ".jinja")]
    return sorted(path.name for path in got.iterdir()) == sorted(path.name for path in wanted) and all(
        (got / path.name).read_bytes() == path.read_bytes() for path in wanted
    )


def test_a_repository_becomes_a_folder(hub: Hub, tmp_path: Path) -> None:
    told: list[Progress] = []
    got = pull("acme/tiny", tmp_path / "models", tell=told.append)
    assert got == tmp_path / "models" / "acme--tiny" and _same(got, hub)
    assert told[-1].done_bytes == told[-1].total_bytes == sum(path.stat().st_size for path in got.iterdir())
    assert (
        hub.requests[0][0] == "config.json"
    )  # what this engine cannot run is refused before its weights come
    assert {name for name, _ in hub.requests} == {path.name for path in got.iterdir()}


def test_what_is_there_is_checked_and_not_fetched_again(hub: Hub, tmp_path: Path) -> None:
    got = pull("acme/tiny", tmp_path)
    hub.requests.clear()
    pull("acme/tiny", tmp_path)
    assert hub.requests == []
    data = bytearray((got / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (got / WEIGHTS).write_bytes(data)
    pull("acme/tiny", tmp_path)
    assert [name for name, _ in hub.requests] == [WEIGHTS] and _same(got, hub)


def test_a_broken_connection_is_taken_up_where_it_broke(hub: Hub, tmp_path: Path) -> None:
    hub.cut[WEIGHTS] = [10_000, 5_000]
    hub.busy[WEIGHTS] = 1
    assert _same(pull("acme/tiny", tmp_path, pause_s=0.001), hub)
    assert hub.asked(WEIGHTS) == [None, None, "bytes=10000-", "bytes=15000-"]


def test_another_run_goes_on_where_the_last_one_stopped(hub: Hub, tmp_path: Path) -> None:
    hub.cut[WEIGHTS] = [20_000, 0, 0, 0, 0, 0]
    with pytest.raises(SourceError, match=rf"{WEIGHTS}.*goes on where this stopped"):
        pull("acme/tiny", tmp_path, pause_s=0.001)
    hub.requests.clear()
    assert _same(pull("acme/tiny", tmp_path), hub)
    assert hub.asked(WEIGHTS) == ["bytes=20000-"]


def test_a_server_without_ranges_starts_over(hub: Hub, tmp_path: Path) -> None:
    hub.ranges = False
    hub.cut[WEIGHTS] = [10_000]
    assert _same(pull("acme/tiny", tmp_path, pause_s=0.001), hub)


@pytest.mark.parametrize("name", [WEIGHTS, "tokenizer.json"])
def test_a_file_that_arrives_damaged_is_refused(hub: Hub, tmp_path: Path, name: str) -> None:
    hub.wrong.add(name)
    with pytest.raises(SourceError, match=rf"{name}.*hash"):
        pull("acme/tiny", tmp_path)
    folder = tmp_path / "acme--tiny"
    assert not (folder / name).exists() and not list(folder.glob(f"{name}*.part"))
    hub.wrong.clear()
    assert _same(pull("acme/tiny", tmp_path), hub)


def test_another_architecture_is_refused_before_its_weights_come(hub: Hub, tmp_path: Path) -> None:
    (hub.folder / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(BadModel, match="llama"):
        pull("acme/tiny", tmp_path)
    assert hub.asked(WEIGHTS) == []


def test_a_repository_without_safetensors_is_refused(hub: Hub, tmp_path: Path) -> None:
    for path in hub.folder.glob("*.safetensors"):
        path.unlink()
    with pytest.raises(BadModel, match="llama-server"):
        pull("acme/tiny", tmp_path)


def test_no_such_repository_and_no_hub(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match="no repository acme/other"):
        pull("acme/other", tmp_path)
    hub.status = 500
    with pytest.raises(SourceError, match="cannot be reached"):
        pull("acme/tiny", tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(SourceError, match=r"cannot be reached.*kb model pack DIR"):
        pull("acme/tiny", tmp_path)


def test_a_full_disk_is_said_before_the_download(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        f_bavail, f_frsize = 10, 4096

    monkeypatch.setattr("os.statvfs", lambda _: Full)
    with pytest.raises(DiskFull, match="GB more"):
        pull("acme/tiny", tmp_path)
    assert hub.requests == []


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = folders.write(tmp_path / "mine")
    assert pull(str(folder), tmp_path / "models") == folder
    (folder / WEIGHTS).unlink()
    with pytest.raises(SourceError, match=WEIGHTS):
        pull(str(folder), tmp_path / "models")


@pytest.mark.parametrize("what", ["no-such-folder", "/no/such/folder", "../x", "a/b/c"])
def test_what_is_neither_folder_nor_repository(what: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="neither a folder nor a repository"):
        pull(what, tmp_path)
