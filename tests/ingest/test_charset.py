"""Text files in the encodings that real offices have."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ingest import charset, sniff

FILES = Path(__file__).resolve().parents[1] / "files"
CHINESE = "水箱编号为WT-205，保修期三年。请使用DC-1除垢剂，不要使用白醋。"
TRADITIONAL = "水箱編號為WT-205，保固期兩年。請使用DC-1除垢劑，不要使用白醋。"
JAPANESE = "水タンクの番号はWT-205です。保証期間は三年です。酢は使わないでください。"
KOREAN = "역사적 예수 연구자들은 복음서나 사도들의 서신서 속의 이야기를 연구한다."
POLISH = "Pracownik, który przepracował jeden rok, ma prawo do dziesięciu dni płatnego urlopu."
CZECH = (
    "Zaměstnanec, který odpracoval jeden rok, má nárok na deset dní placené dovolené. Žádost podejte předem."
)
GERMAN = "Beschäftigte haben für das Büro zwei Schlüssel; Rückfragen an die Führungskraft. Größe: 30 m²."
SPANISH = "El empleado con un año de antigüedad tiene derecho a diez días. ¿Cómo solicitarlo?"
RUSSIAN = "Отпуск десять дней."
GREEK = "Ο εργαζόμενος που συμπλήρωσε ένα έτος δικαιούται δέκα ημέρες άδεια."
TURKISH = "Bir yılını dolduran çalışan on gün ücretli izin hakkına sahiptir. Şirket açıktır."


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (CHINESE, "gbk"),
        (CHINESE, "gb18030"),
        (CHINESE, "utf-16-le"),
        (CHINESE, "utf-16"),
        (TRADITIONAL, "big5"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc_jp"),
        (JAPANESE, "iso2022_jp"),
        (KOREAN, "euc_kr"),
        ("naïve café costs £32 – “quoted”", "cp1252"),
        ("naïve café", "utf-8-sig"),
        ("The tank is WT-205.", "utf-16-be"),
        ("plain", "ascii"),
        # short ones: read as Windows-1252 with ³ for ł, or as Chinese, Korean or Japanese
        (POLISH, "cp1250"),
        (POLISH, "iso8859_2"),
        (CZECH, "cp1250"),
        (CZECH, "iso8859_2"),
        (GERMAN, "cp1252"),
        (GERMAN, "cp850"),
        (SPANISH, "mac_roman"),
        (SPANISH, "cp850"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8_r"),
        (RUSSIAN, "cp866"),
        (RUSSIAN, "utf-16-le"),
        (GREEK, "cp1253"),
        (TURKISH, "cp1254"),
    ],
)
def test_reads_what_was_written(text: str, encoding: str) -> None:
    assert charset.decode(text.encode(encoding))[0] == text


def test_utf16_without_a_mark_in_russian_is_a_text_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes((RUSSIAN * 3).encode("utf-16-le"))
    assert sniff.kind_of(path, "a.txt") == "txt"


@pytest.mark.parametrize(
    ("name", "word"),
    [("gbk.txt", "除垢剂"), ("big5.txt", "保固期"), ("shift-jis.txt", "水タンク"), ("utf-16.txt", "café")],
)
def test_reads_the_files_of_old_systems(name: str, word: str) -> None:
    assert word in charset.decode((FILES / name).read_bytes())[0]


PURE = "本店出售咖啡机，附送除垢剂。\n编号为四七一一，请来电询问。\n"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "text", [PURE, PURE * 500, PURE.replace("\n", ""), "水タンクの番号は四です。酢は、使わない。"]
)
def test_utf16_without_a_mark_or_a_single_latin_letter(text: str, encoding: str, tmp_path: Path) -> None:
    data = text.encode(encoding)
    assert charset.decode(data)[0] == text
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    assert sniff.kind_of(path, "a.txt") == "txt"


def test_other_bytes_are_no_utf16() -> None:
    noise = random.Random(7).randbytes
    assert [charset.unmarked_wide(noise(4096)) for _ in range(200)] == [None] * 200
    for name, text in (
        ("gbk", PURE),
        ("big5", TRADITIONAL * 9),
        ("shift_jis", JAPANESE * 9),
        ("cp949", KOREAN * 9),
    ):
        assert charset.unmarked_wide(text.encode(name)) is None, name
    assert charset.unmarked_wide(b"Bush hid the facts" * 9) is None


def test_a_wrong_declaration_does_not_win_over_utf8() -> None:
    page = '<meta charset="windows-1252"><p>水箱</p>'.encode()
    assert "水箱" in charset.decode(page, markup=True)[0]


def test_a_declaration_tells_what_bytes_do_not() -> None:
    page = b'<meta charset="windows-1251"><p>' + "Привет".encode("cp1251") + b"</p>"
    assert "Привет" in charset.decode(page, markup=True)[0]


def test_never_fails() -> None:
    assert charset.decode(bytes(range(256)) * 4)[0]
    assert charset.decode(b"")[0] == ""


def test_a_binary_full_of_small_numbers_is_no_utf16(tmp_path: Path) -> None:
    path = tmp_path / "a.bin2"
    path.write_bytes(b"\x78\x9f\x3e\x22" + b"".join(n.to_bytes(2, "little") for n in range(1, 200)) * 9)
    assert sniff.kind_of(path, path.name) == "bin2"


def test_one_wrong_line_does_not_change_how_all_the_others_are_read() -> None:
    data = "Größe der Tür\n".encode() * 50 + "größer\n".encode("latin-1") + "Ende: schön\n".encode()
    text, name = charset.decode(data)
    assert name == "utf-8"
    assert text.count("Größe der Tür") == 50 and "größer" in text and "schön" in text
