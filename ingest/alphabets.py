"""Which single-byte encoding a text is in: the one that spells it in one language's letters.

Byte frequencies tell short texts apart badly: Polish in windows-1250 is valid windows-1252 too, only that every ł is
a ³. So each encoding is tried with the alphabets written in it, and what counts is how many of the letters beyond
ASCII belong to one of them. None where no pair fits: then somebody else may guess.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

TYPOGRAPHY = frozenset("–—‘’“”„‚…«»‹›•·°©®™§€£¥¢ªº²³½¼¾×÷±µ№¿¡¶†‡‰\u00a0")
# Languages in the order in which a tie is decided, by what offices write most.
LATIN = {
    "de": "äöüß", "fr": "àâæçéèêëîïôœùûüÿ", "es": "áéíñóúü¿¡", "pt": "ãõáâàéêíóôúüç", "it": "àèéìíòóùú",
    "nordic": "åäöæøé", "nl": "éëïöüèêáóä", "ca": "àçèéíïòóúü·", "is": "áðéíóúýþæö",
    "pl": "ąćęłńóśźż", "cs": "áčďéěíňóřšťúůýž", "sk": "áäčďéíĺľňóôŕšťúýž", "hu": "áéíóöőúüű", "ro": "ăâîșțşţ",
    "hr": "čćđšž", "tr": "çğıöşüâîİ", "et": "äõöüšž", "lt": "ąčęėįšųūž", "lv": "āčēģīķļņšūž",
}  # fmt: skip
OTHERS = {
    "el": "αβγδεζηθικλμνξοπρστυφχψωςάέήίόύώϊϋΐΰ",
    "ru": "абвгдежзийклмнопрстуфхцчшщъыьэюяё",
    "uk": "абвгґдеєжзиіїйклмнопрстуфхцчшщьюяъыэё",
    "sr": "абвгдђежзијклљмнњопрстћуфхцчџшѓѕќў",
}
# A wrong reading turns letters into rarer ones: these are half of what is written in each.
COMMON = {"el": "αοιετσνρ", "ru": "оеаинтср", "uk": "оаиніетр", "sr": "аоиенрст"}
ENCODINGS: tuple[tuple[str, str], ...] = (
    ("cp1252", "de fr es pt it nordic nl ca is"),
    ("cp1250", "pl cs sk hu ro hr"),
    ("iso8859_2", "pl cs sk hu ro hr"),
    ("cp1254", "tr"),
    ("cp1257", "lt lv et"),
    ("iso8859_16", "ro"),
    ("cp1251", "ru uk sr"),
    ("koi8_r", "ru"),
    ("koi8_u", "uk"),
    ("cp866", "ru"),
    ("iso8859_5", "ru uk sr"),
    ("mac_cyrillic", "ru uk"),
    ("cp1253", "el"),
    ("iso8859_7", "el"),
    ("mac_roman", "de fr es pt it nordic nl"),
    ("cp850", "de fr es pt it nordic nl"),
    ("cp852", "pl cs sk hu ro hr"),
    ("cp857", "tr"),
)
ENOUGH = 0.97  # of the letters beyond ASCII
LIKELY = 0.8
WORD = re.compile(r"[^\W\d_]+")
RUN = re.compile(rb"[\x80-\xff]{4,}")
BEFORE = re.compile(rb"[\x80-\xff](?=[A-Za-z\xc0-\xff])")
INNER = re.compile(rb"(?<=[A-Za-z])[\x80-\xff](?=[A-Za-z])")
OPENING = frozenset("–—‘“”„‚«»‹›•·©§€£¥¢№¿¡±†‡°\u00a0’…")  # signs that stand before a word
INSIDE = frozenset("’·\u00a0—")  # and inside one


def detect(sample: bytes) -> str | None:
    """Name of the Python codec, or None where no alphabet explains the bytes."""
    high = Counter(byte for byte in sample if byte > 0x7F)
    total = sum(high.values())
    if not total:
        return None
    before = Counter(found[0] for found in BEFORE.findall(sample))
    inner = Counter(found[0] for found in INNER.findall(sample))
    # Latin letters beyond ASCII stand alone or in twos; other scripts, and East Asian ones, in whole words.
    latin = sum(len(run) for run in RUN.findall(sample)) < 0.1 * total
    best, best_score = None, 0.0
    for name, languages in ENCODINGS:
        for language in languages.split():
            if (language in LATIN) != latin:
                continue
            score = _share(high, before, inner, name, language)
            if score < ENOUGH:
                continue
            if not latin:
                score *= _like(sample, name, language)
            if score >= LIKELY and score > best_score + 1e-9:
                best, best_score = name, score
    return best


def _share(high: Counter[int], before: Counter[int], inner: Counter[int], name: str, language: str) -> float:
    """Of the bytes beyond ASCII, the share that are letters of the language or common signs; 0 without letters.

    before, inner: those of them before a Latin letter, or between two, where most signs are out of place.
    """
    alphabet, signs = _letters(name, language)
    good = sum(count for byte, count in high.items() if byte in alphabet)
    if not good:
        return 0.0
    for byte, said in signs.items():
        good += high[byte]
        good -= before[byte] if said not in OPENING else inner[byte] if said not in INSIDE else 0
    return good / high.total()


@cache
def _letters(name: str, language: str) -> tuple[frozenset[int], dict[int, str]]:
    """The bytes of the alphabet, and those of common signs with what they say."""
    alphabet = LATIN.get(language) or OTHERS[language]
    wanted = {*alphabet, *alphabet.upper()} - {"S"}
    read = {byte: bytes([byte]).decode(name, "replace") for byte in range(0x80, 0x100)}
    letters = frozenset(byte for byte, said in read.items() if said in wanted)
    return letters, {byte: said for byte, said in read.items() if said in TYPOGRAPHY and byte not in letters}


def _like(sample: bytes, name: str, language: str) -> float:
    """How much it reads like the language, 0 to 1: words in sensible case, its commonest letters about half of all.

    Bytes of another script come out as capitals and small letters at random; a text in capitals alone is left to others.
    """
    words = [w for w in WORD.findall(sample.decode(name, "ignore")) if len(w) > 1 and not w.isascii()]
    cased = sum(len(word) for word in words if word[1:].islower())
    count = Counter("".join(words).lower())
    foreign = {letter: n for letter, n in count.items() if letter > "\x7f"}
    common = sum(foreign.get(letter, 0) for letter in COMMON[language])
    whole = sum(foreign.values()) or 1
    return cased / max(1, sum(map(len, words))) * min(1.0, common / whole / 0.45)
