"""What stands on the wire beside the JSON: headers, ranges, packed bodies, and values that some programs cannot read."""

from __future__ import annotations

import gzip
import json
import os
from typing import Any

import pytest
from sqlalchemy import update

from kb.store import SYSTEM
from kb.store.tables import DocumentRow
from tests.web.conftest import World
from tests.web.test_problems import is_problem


def test_nothing_has_no_type(world: World) -> None:
    rest = world.rest("admin")
    answer = rest.ask("holiday").get_json()["id"]
    for headers in ({}, {"Idempotency-Key": "a"}, {"Idempotency-Key": "a"}):
        done = rest.post(f"/answers/{answer}/feedback", json={"rating": "up"}, headers=headers)
        assert done.status_code == 204 and "Content-Type" not in done.headers


@pytest.mark.parametrize("path", ["/ask", "/documents", "/faq/import"])
def test_packed_bodies_are_refused_as_such(world: World, path: str) -> None:
    kinds = {"/documents": "multipart/form-data; boundary=b", "/faq/import": "text/csv"}
    refused = world.rest("admin").post(
        path,
        data=gzip.compress(b'{"question": "holiday"}'),
        content_type=kinds.get(path, "application/json"),
        headers={"Content-Encoding": "gzip"},
    )
    assert "Content-Encoding" in is_problem(refused, 415, "unsupported-media-type")["detail"]


def test_a_byte_order_mark_before_json_is_no_error(world: World) -> None:
    body = b"\xef\xbb\xbf" + json.dumps({"question": "holiday"}).encode()
    assert world.rest().post("/ask", data=body, content_type="application/json").status_code == 200


@pytest.mark.parametrize(
    ("asked", "status", "body"),
    [
        ("bytes=0-8", 206, b"Everybody"),
        ("bytes=-9", 206, b" holiday."),
        ("bytes=0-1,4-5", 200, None),
        ("pages=1-2", 200, None),
        ("nonsense", 200, None),
    ],
)
def test_ranges_of_originals(world: World, asked: str, status: int, body: bytes | None) -> None:
    path = f"/documents/{world.documents['holiday']}/content"
    got = world.rest().get(path, headers={"Range": asked})
    whole = b"Everybody has 27 days of holiday."
    assert (got.status_code, got.data) == (status, body or whole)
    assert got.headers["Accept-Ranges"] == "bytes" and got.headers["Cache-Control"] == "no-store"


def test_a_range_beyond_the_end_says_how_long_it_is(world: World) -> None:
    got = world.rest().get(f"/documents/{world.documents['holiday']}/content", headers={"Range": "bytes=99-"})
    assert "33 bytes" in is_problem(got, 416, "bad-request")["detail"]
    assert got.headers["Content-Range"] == "bytes */33"


def test_an_original_changed_back_is_told_as_changed(world: World) -> None:
    rest = world.rest()
    first = rest.upload(b"one", "a.txt").get_json()["id"]
    path = f"/documents/{first}/content"
    old = rest.get(path)
    os.utime(world.kb.blobs.path(old.headers["ETag"].strip('"')), (1, 1))
    rest.upload(b"two", "a.txt")
    changed = rest.get(path)
    rest.upload(b"one", "a.txt")
    since: dict[str, Any] = {"If-None-Match": changed.headers["ETag"]}
    if "Last-Modified" in changed.headers:  # by the bytes' own age, which is older than that of those before
        since = {"If-Modified-Since": changed.headers["Last-Modified"]}
    assert (rest.get(path, headers=since).status_code, old.data) == (200, b"one")
    assert rest.get(path, headers={"If-None-Match": old.headers["ETag"]}).status_code == 304


@pytest.mark.parametrize(
    "given", ['{"a":' * 300 + "1" + "}" * 300, '{"a": 1e400}', '{"a": [NaN]}', '{"a": -Infinity}']
)
def test_metadata_that_would_break_every_list(world: World, given: str) -> None:
    refused = world.rest().upload(b"x", "x.txt", metadata=given)
    assert is_problem(refused, 422, "invalid-request")["errors"][0]["pointer"] == "/metadata"


def test_such_metadata_from_before_breaks_no_list(world: World) -> None:
    deep: Any = 1
    for _ in range(300):
        deep = {"a": deep}
    for name, meta in (("holiday", deep), ("salary", {"c": float("inf"), "d": [float("nan")]})):
        with world.kb.db.write() as session:
            session.execute(
                update(DocumentRow).where(DocumentRow.id == world.documents[name]).values(meta=meta)
            )
    listed = world.rest("admin").get("/documents")

    def never(name: str) -> None:
        raise AssertionError(name)

    rows = json.loads(listed.data, parse_constant=never)["data"]
    assert {"c": None, "d": [None]} in [row["metadata"] for row in rows]
    assert len(world.kb.documents.list(SYSTEM)[0]) == 2


def test_errors_are_logged_without_the_values_of_variables(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(principal: Any, *given: Any) -> Any:
        secret_of_a_document = "zyzzy" + "va"
        raise ValueError(len(secret_of_a_document))

    monkeypatch.setattr(world.kb.documents, "get", broken)
    assert world.rest().get("/documents/x").status_code == 500
    said = capsys.readouterr().out
    assert "ValueError: 7" in said and "request failed" in said
    assert "zyzzyva" not in said and len(said) < 10_000
