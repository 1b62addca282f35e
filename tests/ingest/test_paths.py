"""What `kb add PATH…` means."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

import pytest

from ingest.add import _items
from ingest.paths import expand, safe_name
from kb.errors import Invalid, NotFound

FILES = Path(__file__).resolve().parents[1] / "files"


def listed(*paths: Path | str) -> dict[str, bytes]:
    found = {}
    for item in expand([str(path) for path in paths]):
        with item.open() as stream:
            found[item.external_id] = stream.read()
    return found


def test_directories_in_order_without_hidden_files(tmp_path: Path) -> None:
    top = tmp_path / "docs"
    for name in ("b.txt", "a/z.txt", "a/.hidden", ".git/config", "Thumbs.db"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(name)
    assert list(listed(top)) == ["docs/b.txt", "docs/a/z.txt"]
    assert list(listed(top)) == list(listed(top))
    assert list(listed(top / "b.txt")) == ["b.txt"]


def test_links_out_of_a_directory_are_left_out_and_told(tmp_path: Path) -> None:
    top = tmp_path / "docs"
    top.mkdir()
    (tmp_path / "secret.txt").write_text("not for everybody")
    (top / "a.txt").write_text("a")
    (top / "inside").symlink_to(top / "a.txt")
    (top / "outside.txt").symlink_to(tmp_path / "secret.txt")
    (top / "folder").symlink_to(tmp_path)
    (top / "nowhere").symlink_to(tmp_path / "missing")
    told: list[str] = []
    found = [item.external_id for item in expand([top], left_out=told.append)]
    assert found == ["docs/a.txt", "docs/inside"]
    assert len(told) == 1 and "outside.txt" in told[0]
    (tmp_path / "alias").symlink_to(top)  # the directory itself may be a link
    assert [item.external_id for item in expand([tmp_path / "alias"])] == found


def test_a_file_is_not_named_as_if_it_were_in_a_directory_it_is_not_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a/x.txt", "b/x.txt", "c/a/x.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    given = ["a", "b/x.txt", "c/a/x.txt"]
    found = [item.external_id for item in expand(given)]
    assert found == [f"{tmp_path.name}/a/x.txt", "b/x.txt", "c/a/x.txt"]
    assert [item.external_id for item in expand(["a/", "./b/x.txt", "b/../c/a/x.txt"])] == found
    assert list(listed("a", "a/x.txt", "b/x.txt")) == [
        "a/x.txt",
        "b/x.txt",
    ]  # where it is in it, it is the same


def test_a_path_that_cannot_be_looked_at_does_not_keep_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    told: list[tuple[str, str]] = []
    given = (str(tmp_path / ("n" * 300)), str(loop / "b.txt"), str(tmp_path / "a.txt"))
    assert [item.external_id for item in _items(given, None, told.append)] == ["a.txt"]
    assert [path for path, _ in told] == list(given[:2])


def test_a_zip_cut_short_does_not_pass_for_one_inside_it(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("inner.txt", "inside")
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("in.zip", inner.getvalue())
        archive.writestr("top.txt", "top" * 50)
    path = tmp_path / "a.zip"
    path.write_bytes(whole.getvalue()[: len(inner.getvalue()) + 60])
    assert zipfile.is_zipfile(path)  # the standard library is content with the inner one
    with pytest.raises(Invalid, match="damaged"):
        listed(path)


def test_a_damaged_zip_does_not_end_its_directory(tmp_path: Path) -> None:
    """It is added itself, and reading it says what is wrong; the files after it are added too."""
    top = tmp_path / "docs"
    top.mkdir()
    (top / "a.txt").write_text("first")
    (top / "b.zip").write_bytes(cut := _cut_zip())
    (top / "c.txt").write_text("last")
    assert listed(top) == {"docs/a.txt": b"first", "docs/b.zip": cut, "docs/c.txt": b"last"}


def _cut_zip() -> bytes:
    inner, outer = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("inner.txt", "inside")
    with zipfile.ZipFile(outer, "w") as archive:
        archive.writestr("first.zip", inner.getvalue())
        archive.writestr("second.txt", "x" * 100)
    return outer.getvalue()[: outer.getvalue().index(b"second.txt") - 30]


def test_zips_file_by_file_and_never_outside(tmp_path: Path) -> None:
    found = listed(FILES / "traversal.zip")
    assert list(found) == ["traversal.zip/good.txt", "traversal.zip/evil.txt"]
    inner = tmp_path / "in"
    inner.mkdir()
    with zipfile.ZipFile(inner / "a.zip", "w") as archive:
        archive.writestr("x/y.txt", "why")
        archive.writestr("x/.hidden", "")
        archive.writestr("__MACOSX/x", "")
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    assert listed(inner) == {"in/a.zip/x/y.txt": b"why"}


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "etc/passwd"),
        ("/abs", "abs"),
        ("C:\\x\\..\\y.txt", "x/y.txt"),
        ("a\0b\nc", "abc"),
        ("..", ""),
    ],
)
def test_names_in_zips_are_only_names(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_namesakes_are_told_apart_and_not_taken_for_revisions_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/x.txt", "b/x.txt", "a/docs/y.txt", "b/docs/y.txt", "z.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    for top in (Path(), tmp_path):
        given = [top / name for name in ("a/x.txt", "b/x.txt", "a/docs", "b/docs", "z.txt", "a/../z.txt")]
        assert listed(*given) == {
            "a/x.txt": b"a/x.txt",
            "b/x.txt": b"b/x.txt",
            "a/docs/y.txt": b"a/docs/y.txt",
            "b/docs/y.txt": b"b/docs/y.txt",
            "z.txt": b"z.txt",
        }
    assert list(listed("a/x.txt")) == ["x.txt"]


def test_an_empty_path_is_not_this_directory() -> None:
    with pytest.raises(NotFound, match="empty path"):
        list(expand([""]))


def test_what_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"nowhere\.txt is not there"):
        list(expand([tmp_path / "nowhere.txt"]))
    (locked,) = list(expand([FILES / "encrypted.zip"]))
    with pytest.raises(Invalid, match="password"):
        locked.open()


def test_a_damaged_entry_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "The same words again. " * 100)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"words", b"wards", 1))
    (item,) = list(expand([path]))
    with item.open() as stream, pytest.raises(Invalid, match=r"a\.zip"):
        stream.read()


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    class Standard:
        buffer = io.BytesIO(b"typed")

    monkeypatch.setattr(sys, "stdin", Standard)
    (item,) = list(expand(["-"], stdin_name="notes.md"))
    assert (item.name, item.external_id) == ("notes.md", "notes.md")
    with item.open() as stream:
        assert stream.read() == b"typed"


def test_a_zip_is_opened_once_not_for_every_file_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(40):
            archive.writestr(f"{number}.txt", str(number))
    opened = []
    real = zipfile.ZipFile.__init__

    def counted(self: zipfile.ZipFile, *args: object, **more: object) -> None:
        opened.append(args[0])
        real(self, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(zipfile.ZipFile, "__init__", counted)
    assert len(listed(tmp_path / "a.zip")) == 40
    assert len(opened) == 1  # its list of files is as long as the zip has files


def test_standard_input_is_read_as_it_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.RawIOBase):
        asked = 0

        def read(self, size: int = -1) -> bytes:
            self.asked += 1
            assert self.asked < 3, "all of it is read before anybody can say that it is too much"
            return bytes(max(size, 1))

    class Standard:
        buffer = Endless()

    monkeypatch.setattr(sys, "stdin", Standard)
    (item,) = expand(["-"])
    with item.open() as stream:
        assert stream.read(10) == bytes(10)
