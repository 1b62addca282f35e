"""One item of Tika's answer: the document itself, or a file inside it. Its keys, and what they say about it.

Knows the keys of 3.x (`X-TIKA:…`) and of 4.x (`tk:…`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Item = Mapping[str, Any]

CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
EXTENSIONS = {
    "image/jpeg": "jpg", "image/png": "png", "image/tiff": "tif", "image/emf": "emf", "image/wmf": "wmf",
    "application/pdf": "pdf", "text/plain": "txt", "text/html": "html", "message/rfc822": "eml",
}  # fmt: skip


def value(item: Item, name: str) -> Any:
    """A Tika key under its 3.x or its 4.x name."""
    return item.get(f"X-TIKA:{name}", item.get(f"tk:{name}"))


def text_of(item: Item, *names: str) -> str:
    """What the first of these keys that is set says, on one line; '' where none is."""
    for name in names:
        said = item.get(name)
        if isinstance(said, list):
            said = ", ".join(str(one) for one in said)
        if said:
            return " ".join(str(said).split())
    return ""


def problem_of(item: Item) -> str:
    """Text of the exception that ended parsing, '' if it came to its end."""
    for name in ("EXCEPTION:container_exception", "EXCEPTION:runtime", "EXCEPTION:embedded_exception"):
        said = value(item, name)
        if said:
            return str(said)
    return ""


def is_locked(item: Item) -> bool:
    """Whether it, or a file of an archive that it is, is protected by a password."""
    return "Encrypted" in problem_of(item) or "Encrypted" in str(
        value(item, "EXCEPTION:embedded_stream_exception") or ""
    )


def is_empty(item: Item) -> bool:
    """A file inside without a single byte: nothing was lost with it."""
    return "ZeroByteFile" in problem_of(item)


def kind_of(item: Item) -> str:
    """Its type by what Tika took it for, else by its name."""
    mime = str(item.get("Content-Type", "")).split(";")[0]
    if "spreadsheet" in mime or "excel" in mime:
        return "xlsx"
    name = str(item.get("resourceName", ""))
    extension = name.rpartition(".")[2].lower() if "." in name else ""
    return EXTENSIONS.get(mime) or (extension if 0 < len(extension) < 6 else mime.rpartition("/")[2])


def name_of(item: Item) -> str:
    """Its own name only; Tika's path of it is made of names chosen by whoever made the file."""
    name = text_of(item, "resourceName", "dc:title") or "embedded file"
    name = name.replace("\\", "/").rstrip("/").rpartition("/")[2].strip() or "embedded file"
    return CONTROLS.sub("", name)[:200]


def is_mail(item: Item) -> bool:
    """A message of any program."""
    return str(item.get("Content-Type", "")).startswith("message/") or is_outlook(item)


def is_outlook(item: Item) -> bool:
    """A message as Outlook keeps it."""
    return "outlook" in str(item.get("Content-Type", ""))


def children(items: Sequence[Item]) -> Iterator[dict[str, Any]]:
    """The files inside, as `Extract.children` lists them."""
    for item in items[1:]:
        if item.get("embeddedResourceType") in ("THUMBNAIL", "INLINE", "MACRO"):
            continue
        content = re.sub(r"<[^>]*>", " ", str(value(item, "content") or ""))
        child: dict[str, Any] = {
            "name": name_of(item),
            "type": kind_of(item),
            "characters": len("".join(content.split())),
        }
        if is_locked(item):
            child["note"] = "protected by a password"
        elif is_empty(item):
            child["note"] = "empty"
        elif problem_of(item):
            child["note"] = "could not be read"
        yield child
