"""Bytes of a text file to a string: byte-order marks, declarations, then what the bytes look like.

Guessers trained on frequencies alone often take short Chinese for Korean or Cyrillic. So legacy East Asian
encodings are tried strictly first and judged by how much of the text lies in each one's everyday rows
(GB 2312 level 1, Big5 level 1, kana of Shift-JIS and EUC-JP, common Hangul of KS X 1001).
"""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

from ingest import alphabets

SAMPLE = 64 * 1024
FEW_WRONG = 8  # right characters for each wrong byte
WESTERN_BYTES = "kb-western-bytes"  # how Python calls our way with them
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
DECLARED = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_.:\-]{2,40})""", re.IGNORECASE)
# Names that pages use for what is really a superset; as browsers read them.
SUPERSET = {"gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "big5": "big5hkscs", "iso8859-1": "cp1252",
            "euc_kr": "cp949", "ascii": "cp1252"}  # fmt: skip
# What Western European text has beyond ASCII; the same bytes are other letters in Polish or Czech.
WESTERN = frozenset("äöüÄÖÜßéèêëáàâãåíìîïóòôõúùûñçÉÈÀÁÇÑÅÓæøœÆØ£€¢§°©®™–—‘’“”„•…«»¿¡\u00a0´·×½¼²³µ")
# Encoding, and the lead bytes of what everyday text is written with.
EAST_ASIAN: tuple[tuple[str, range], ...] = (
    ("cp949", range(0xB0, 0xC9)),
    ("gb18030", range(0xB0, 0xD8)),
    ("big5hkscs", range(0xA4, 0xC7)),
)


def decode(data: bytes, *, markup: bool = False) -> tuple[str, str]:
    """The text and the encoding it was read with. Never fails: what cannot be read becomes U+FFFD.

    Bytes that are wrong in UTF-8 are read as what they nearly always are, pasted from an old Western file.
    """
    name = detect(data, markup=markup)
    text = data.decode(name, errors=WESTERN_BYTES if name == "utf-8" else "replace")
    return text.removeprefix("\ufeff"), name


def detect(data: bytes, *, markup: bool = False) -> str:
    """Name of a Python codec for `data`."""
    for mark, name in BOMS:
        if data.startswith(mark):
            return name
    sample = data[:SAMPLE]
    wide = wide_by_zeros(sample)
    if wide:
        return wide
    if _reads(data if len(data) < 4 * 2**20 else sample, "utf-8", cut=len(data) > len(sample)):
        return "iso2022_jp" if b"\x1b$" in sample and _reads(sample, "iso2022_jp", cut=True) else "utf-8"
    if _mostly_utf8(sample):
        return "utf-8"
    declared = _declared(sample) if markup else None
    if declared and declared != "utf-8" and _reads(sample, declared, cut=True):
        return declared
    return unmarked_wide(sample) or alphabets.detect(sample) or _east_asian(sample) or _guessed(sample)


def _as_western(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("cp1252", errors="replace"), error.end


codecs.register_error(WESTERN_BYTES, _as_western)


def _mostly_utf8(sample: bytes) -> bool:
    """Whether some wrong bytes stand among many characters that only UTF-8 writes so: a log, a merged export."""
    text = sample.decode("utf-8", errors="replace")
    wrong = text.count("\ufffd")
    right = len(text) - wrong - sum(map(str.isascii, text))
    return right >= FEW_WRONG and right >= FEW_WRONG * wrong


def is_wide(sample: bytes) -> bool:
    """Whether bytes with zeros among them are UTF-16 of some script without a mark."""
    name = wide_by_zeros(sample)
    return unmarked_wide(sample) is not None or (
        name is not None and _reads(sample, name, cut=True) and _plausible(sample.decode(name, "ignore"))
    )


def unmarked_wide(sample: bytes) -> str | None:
    """UTF-16 of Chinese or Japanese without a mark, by its everyday characters and punctuation; None for all else.

    ASCII in pairs looks Chinese too, so only bytes that are no UTF-8 are asked about.
    """
    if len(sample) < 16 or _reads(sample, "utf-8", cut=True):
        return None
    for name in ("utf-16-le", "utf-16-be"):
        if _reads(sample, name, cut=True):
            text = sample.decode(name, "ignore")
            if _plausible(text) and any(mark in text for mark in "，。、：；\n"):
                return name
    return None


def wide_by_zeros(sample: bytes) -> str | None:
    """UTF-16 without a mark: nearly every other byte of Latin text is zero; of Chinese text, few are."""
    if len(sample) < 4 or (len(sample) % 2 and len(sample) < SAMPLE) or b"\0" not in sample:
        return None
    even, odd = sample[0::2], sample[1::2]
    if odd.count(0) > 0.3 * len(odd) and odd.count(0) > 4 * even.count(0):
        return "utf-16-le"
    if even.count(0) > 0.3 * len(even) and even.count(0) > 4 * odd.count(0):
        return "utf-16-be"
    for name, zeros in (("utf-16-le", odd), ("utf-16-be", even)):
        if zeros.count(0) and _reads(sample, name, cut=True) and _plausible(sample.decode(name, "ignore")):
            return name
    return None


def _plausible(text: str) -> bool:
    """Mostly common characters of the scripts that offices write, hardly any controls."""
    good = sum(
        " " <= c < "\u0250"
        or c in "\n\r\t"
        or "\u3000" <= c <= "\u30ff"
        or "\u0386" <= c <= "\u064a"
        or "\u4e00" <= c <= "\u9fff"
        or "\uac00" <= c <= "\ud7a3"
        or "\uff01" <= c <= "\uff5e"
        for c in text
    )
    return good > 0.9 * len(text)


def _reads(sample: bytes, name: str, *, cut: bool) -> bool:
    """Whether the bytes are valid; `cut`: the last character may be incomplete."""
    try:
        codecs.getincrementaldecoder(name)().decode(sample, final=not cut)
    except (UnicodeDecodeError, LookupError):
        return False
    return True


def _declared(sample: bytes) -> str | None:
    found = DECLARED.search(sample[:4096])
    if not found:
        return None
    try:
        name = codecs.lookup(found[1].decode("ascii")).name
    except LookupError:
        return None
    return SUPERSET.get(name, name)


def _east_asian(sample: bytes) -> str | None:
    """The East Asian encoding in whose everyday characters most of the text is written, or None."""
    best, best_score = None, 0.6
    for name, everyday in EAST_ASIAN:
        if not _reads(sample, name, cut=True):
            continue
        leads = _leads(sample, name)
        if leads:
            score = sum(lead in everyday for lead in leads) / len(leads)
            if name == "cp949" and score > 0.9:
                return name  # hardly any Chinese stays within the rows of Hangul
            if score > best_score:
                best, best_score = name, score
    for name in ("cp932", "euc_jp"):
        if _reads(sample, name, cut=True):
            text = sample.decode(name, errors="ignore")
            wide = [c for c in text if c > "\u2fff" and not "\uff61" <= c <= "\uff9f"]
            kana = sum("\u3041" <= c <= "\u30ff" for c in wide)
            if kana > 0.25 * max(1, sum(c > "\x7f" for c in text)):
                return name
    return best


def _leads(sample: bytes, name: str) -> list[int]:
    """Lead bytes of the two-byte letters (punctuation rows left out)."""
    found = []
    i = 0
    while i < len(sample) - 1:
        if sample[i] < 0x80:
            i += 1
            continue
        if sample[i] not in (0xA1, 0xA2, 0xA3):
            found.append(sample[i])
        i += 2
    return found if len(found) > 3 or len(sample) < 64 else []


def _guessed(sample: bytes) -> str:
    high = [c for c in sample.decode("cp1252", errors="replace") if c > "\x7f"]
    if sum(c in WESTERN for c in high) > 0.95 * len(high):
        return "cp1252"
    best = from_bytes(sample[:20_000], threshold=0.3).best()
    name = best.encoding if best else "cp1252"
    return SUPERSET.get(codecs.lookup(name).name, name) if _reads(sample, name, cut=True) else "cp1252"
