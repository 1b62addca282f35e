"""Slides of a PPTX are read in the order in which they are shown."""

from __future__ import annotations

import zipfile
from pathlib import Path

from lxml import etree

from ingest import slideorder

RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def deck(path: Path, names: list[str]) -> Path:
    slides = "".join(f'<p:sldId id="{256 + n}" r:id="{name}"/>' for n, name in enumerate(names))
    links = "".join(f'<Relationship Id="{name}" Target="slides/{name}.xml"/>' for name in names)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            slideorder.DECK,
            f'<p:presentation xmlns:p="p" xmlns:r="{RELATIONS}"><p:sldIdLst>{slides}</p:sldIdLst></p:presentation>',
        )
        archive.writestr(
            slideorder.LINKS, f'<R>{links}<Relationship Id="rId1" Target="slideMasters/m.xml"/></R>'
        )
        archive.writestr("ppt/media/a.png", b"picture")
    return path


def order(path: Path) -> list[str]:
    """Targets of the slides as a reader sees them that sorts relationships by name."""
    with slideorder.as_shown(path, "pptx") as shown, zipfile.ZipFile(shown) as archive:
        found = etree.fromstring(archive.read(slideorder.LINKS))
        pairs = sorted((link.get("Id"), link.get("Target")) for link in found)
        listed = [
            s.get(slideorder.RELATION)
            for s in etree.fromstring(archive.read(slideorder.DECK)).iter("{*}sldId")
        ]
        assert listed == sorted(listed) and set(listed) <= {name for name, _ in pairs}
    return [target for _, target in pairs if "slides/" in str(target)]


def test_names_sort_as_the_slides_are_shown(tmp_path: Path) -> None:
    names = ["rId7", "rId8", "rId10", "rId2", "rId11"]
    assert order(deck(tmp_path / "a.pptx", names)) == [f"slides/{name}.xml" for name in names]


def test_a_deck_in_order_is_not_copied(tmp_path: Path) -> None:
    path = deck(tmp_path / "a.pptx", ["rId2", "rId3"])
    with slideorder.as_shown(path, "pptx") as same:
        assert same == path


def test_a_damaged_picture_is_left_out_and_a_damaged_deck_left_alone(tmp_path: Path) -> None:
    path = deck(tmp_path / "a.pptx", ["rId7", "rId10"])
    path.write_bytes(path.read_bytes().replace(b"picture", b"PICTURE"))
    with slideorder.as_shown(path, "pptx") as shown, zipfile.ZipFile(shown) as archive:
        assert archive.namelist() == [slideorder.DECK, slideorder.LINKS]
    path.write_bytes(b"PK\x03\x04 no deck")
    with slideorder.as_shown(path, "pptx") as same:
        assert same == path
