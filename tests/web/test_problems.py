"""Errors: one shape, every one explained, nothing of the inside shown."""

from __future__ import annotations

import gc
import json
import re
from pathlib import Path
from typing import Any

import pytest

from kb import errors
from kb.store.failures import disk_full
from tests.web.conftest import World
from web.problems import KINDS

ROOT = Path(__file__).resolve().parents[2]


def is_problem(response: Any, status: int, slug: str) -> dict[str, Any]:
    assert response.status_code == status, response.get_data(as_text=True)
    assert response.mimetype == "application/problem+json"
    body: dict[str, Any] = response.get_json()
    assert set(body) <= {"type", "title", "status", "detail", "request_id", "errors"}
    assert body["type"] == f"/problems/{slug}" and body["status"] == status
    assert body["title"] and body["detail"] and body["request_id"] == response.headers["X-Request-Id"]
    return body


def test_wrong_fields_are_named(world: World) -> None:
    body = is_problem(
        world.rest().post(
            "/ask", json={"question": 3, "filters": {"date_from": "soon", "colour": 1}, "surprise": True}
        ),
        422,
        "invalid-request",
    )
    assert {e["pointer"] for e in body["errors"]} == {
        "/question",
        "/filters/date_from",
        "/filters/colour",
        "/surprise",
    }
    assert "is not a field" in str(body["errors"])


@pytest.mark.parametrize(
    "question",
    ["", "   ", "x" * 8001, "nul\x00", "half \ud800"],
    ids=["empty", "blank", "long", "nul", "surrogate"],
)
def test_questions_that_are_none(world: World, question: str) -> None:
    is_problem(
        world.rest().post("/ask", data=json.dumps({"question": question}), content_type="application/json"),
        422,
        "invalid-request",
    )


def test_limits_at_and_beyond(world: World) -> None:
    assert world.rest().ask("x" * 8000).status_code == 200
    search = world.rest()
    assert search.post("/search", json={"question": "x", "limit": 50}).status_code == 200
    is_problem(search.post("/search", json={"question": "x", "limit": 51}), 422, "invalid-request")
    is_problem(search.post("/search", json={"question": "x", "limit": "5"}), 422, "invalid-request")


@pytest.mark.parametrize(
    ("method", "path", "given", "status", "slug"),
    [
        ("GET", "/nothing", {}, 404, "not-found"),
        ("GET", "/documents/nothing", {}, 404, "not-found"),
        ("GET", "/documents/%00", {}, 404, "not-found"),
        ("PUT", "/documents", {}, 405, "method-not-allowed"),
        ("OPTIONS", "/documents", {}, 405, "method-not-allowed"),
        ("TRACE", "/documents", {}, 405, "method-not-allowed"),
        ("POST", "/ask", {"data": b"{", "content_type": "application/json"}, 422, "invalid-request"),
        ("POST", "/ask", {"data": b"\xff", "content_type": "application/json"}, 422, "invalid-request"),
        ("POST", "/ask", {"data": b"[" * 100_000, "content_type": "application/json"}, 422, "invalid-request"),
        ("POST", "/ask", {"data": b"question=x"}, 415, "unsupported-media-type"),
        ("POST", "/ask", {"data": b" " * (2**20 + 1), "content_type": "application/json"}, 413, "too-large"),
        ("POST", "/documents", {"json": {}}, 415, "unsupported-media-type"),
        ("POST", "/documents", {"data": {"collection": "docs"}, "content_type": "multipart/form-data"}, 422, "invalid-request"),
        ("POST", "/documents", {"data": b"broken", "content_type": "multipart/form-data; boundary=x"}, 422, "invalid-request"),
        ("GET", "/documents?limit=0", {}, 422, "invalid-request"),
        ("GET", "/documents?limit=x", {}, 422, "invalid-request"),
        ("GET", "/documents?colour=red", {}, 422, "invalid-request"),
        ("GET", "/documents?cursor=%21", {}, 422, "invalid-request"),
        ("GET", "/collections?x=1", {}, 422, "invalid-request"),
        ("POST", "/collections", {"json": {"name": "No Spaces"}}, 422, "invalid-request"),
        ("POST", "/answers/none/feedback", {"json": {"rating": "up"}}, 404, "not-found"),
        ("POST", "/answers/none/feedback", {"json": {"rating": "maybe"}}, 422, "invalid-request"),
    ],
)  # fmt: skip
def test_problems(
    world: World, method: str, path: str, given: dict[str, Any], status: int, slug: str
) -> None:
    response = world.rest()(method, path, **given)
    is_problem(response, status, slug)
    if status == 405:
        assert response.headers["Allow"]


def test_upload_fields(world: World) -> None:
    rest = world.rest()
    is_problem(rest.upload(b"x", colour="red"), 422, "invalid-request")
    is_problem(rest.upload(b"x", metadata="[1]"), 422, "invalid-request")
    is_problem(rest.upload(b"x", collection="nowhere"), 404, "not-found")
    is_problem(rest.upload(b"x", name=""), 422, "invalid-request")


def test_a_form_of_too_many_parts_is_not_called_too_large_a_file(world: World) -> None:
    parts = {f"field{n}": "x" for n in range(60)}
    assert "50 parts" in is_problem(world.rest().upload(b"x", **parts), 413, "too-large")["detail"]


def test_names_that_nobody_sees(world: World) -> None:
    rest = world.rest()
    titled = rest.upload(b"one", "a.txt", title=" \u200b")
    assert (titled.status_code, titled.get_json()["title"]) == (202, "a.txt")
    for given in ({"external_id": "\u200b"}, {"external_id": " "}):
        refused = is_problem(rest.upload(b"one", "b.txt", **given), 422, "invalid-request")
        assert refused["errors"][0]["pointer"] == "/external_id"
    refused = is_problem(rest.upload(b"one", "x" * 2000), 422, "invalid-request")
    assert refused["errors"][0]["pointer"] == "/file"
    entry = {"question": "Q?", "answer": "A.", "collection": "docs"}
    for path, body, pointer in (
        ("/search", {"question": "\u200b\ufeff"}, "/question"),
        ("/faq", {**entry, "question": "\u202e"}, "/question"),
        ("/faq", {**entry, "answer": "\u00ad \u200b"}, "/answer"),
        ("/faq", {**entry, "variants": ["\u200b"]}, "/variants/0"),
        ("/collections", {"name": "new", "title": "\u2060"}, "/title"),
    ):
        refused = is_problem(rest.post(path, json=body), 422, "invalid-request")
        assert refused["errors"] == [{"pointer": pointer, "detail": "must not be empty"}]


@pytest.mark.parametrize("given", ["2026", "20260101", "1764460800", "-1", "1e9", "٢٠٢٦-٠١-٠١", "", 20260101])
def test_a_number_is_no_date(world: World, given: object) -> None:
    """Digits alone would be read as seconds since 1970: a filter that quietly lets everything through."""
    found = world.rest().post("/search", json={"question": "holiday", "filters": {"date_from": given}})
    assert is_problem(found, 422, "invalid-request")["errors"] == [
        {"pointer": "/filters/date_from", "detail": "must be a time or a date, ISO 8601"}
    ]


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # the test client's own spool file
def test_a_file_beyond_the_limit(world: World) -> None:
    from kb.app import build
    from kb.settings import Settings
    from web import create_app

    small = Settings(data=world.kb.settings.data, max_file_mb=1)
    app = create_app(build(small, db=world.kb.db, index=world.kb.index))
    rest = World(world.kb, app, world.keys).rest()
    assert rest.upload(b"x" * 2**20, "fits.txt").status_code == 202
    is_problem(rest.upload(b"x" * (2**20 + 1), "over.txt"), 413, "document-too-large")
    is_problem(rest.upload(b"x" * (3 * 2**20), "far-over.txt"), 413, "document-too-large")
    assert not list((small.data / "incoming").iterdir())
    gc.collect()


def test_credentials(world: World) -> None:
    client = world.app.test_client()
    for header in (
        {},
        {"Authorization": "Basic eDp5"},
        {"Authorization": "Bearer kb_x_y"},
        {"Authorization": "Bearer "},
    ):
        response = client.get("/api/v1/documents", headers=header)
        is_problem(response, 401, "unauthenticated")
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
    is_problem(world.rest("ingest").ask("x"), 403, "forbidden")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.Busy("locked", retry_after=3), 503),
        (errors.DiskFull("full"), 507),
        (errors.Unavailable("down"), 503),
        (errors.Broken("bad"), 500),
        (errors.TooLarge("big"), 413),
    ],
)
def test_kb_errors(world: World, error: errors.KbError, status: int) -> None:
    def refuse(*given: Any, **named: Any) -> Any:
        raise error

    world.kb.retriever.retrieve = refuse  # type: ignore[method-assign]
    response = world.rest().post("/search", json={"question": "x"})
    is_problem(response, status, error.slug)
    assert (response.headers.get("Retry-After") is not None) == (status == 503)


def test_a_defect_says_nothing_of_the_inside(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*given: Any, **named: Any) -> Any:
        raise RuntimeError("password=hunter2 in /secret/path.py")

    world.kb.retriever.retrieve = fail  # type: ignore[method-assign]
    body = is_problem(world.rest().post("/search", json={"question": "x"}), 500, "internal")
    assert "hunter2" not in str(body) and "path.py" not in str(body)
    assert body["request_id"] in capsys.readouterr().out


def test_a_full_disk_is_said_with_the_way_out_and_without_the_servers_folders(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*given: Any, **named: Any) -> Any:
        raise disk_full(Path("/secret/kb.sqlite3"))

    world.kb.retriever.retrieve = refuse  # type: ignore[method-assign]
    body = is_problem(world.rest().post("/search", json={"question": "x"}), 507, "disk-full")
    assert "/secret" not in str(body) and "free space" in body["detail"]
    assert "/secret/kb.sqlite3" in capsys.readouterr().out  # the operator is told where


def test_request_ids(world: World) -> None:
    rest = world.rest()
    assert (
        rest.get("/collections", headers={"X-Request-Id": "crm-42.a_B"}).headers["X-Request-Id"]
        == "crm-42.a_B"
    )
    for bad in ("", "a b", "x" * 65, "ü", "<script>"):
        given = rest.get("/collections", headers={"X-Request-Id": bad}).headers["X-Request-Id"]
        assert re.fullmatch(r"[0-9a-f]{32}", given)


def test_pages_for_people_problems_for_programs(world: World) -> None:
    browser = world.browser("reader")
    page = browser.get("/nowhere", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (
        page.status_code == 404
        and page.mimetype == "text/html"
        and "There is no such thing here" in page.get_data(as_text=True)
    )
    is_problem(browser.get("/nowhere"), 404, "not-found")
    is_problem(browser.get("/app/nowhere", headers={"Accept": "text/html"}), 404, "not-found")


def test_every_kind_has_its_page(world: World) -> None:
    client = world.app.test_client()
    for slug in KINDS:
        assert KINDS[slug].title in client.get(f"/problems/{slug}").get_data(as_text=True).replace(
            "&#39;", "'"
        )
    assert client.get("/problems/unheard-of").status_code == 404


def test_every_slug_of_the_program_has_a_kind() -> None:
    used = {kind.slug for kind in errors.KbError.__subclasses__()} | {errors.KbError.slug}
    for folder in ("kb", "web"):
        for path in (ROOT / folder).rglob("*.py"):
            if "llm" in path.parts:
                continue  # a model that fails is never a failed request
            used |= set(re.findall(r'\bslug="([a-z-]+)"', path.read_text()))
    assert used <= set(KINDS), used - set(KINDS)


@pytest.mark.parametrize(
    ("body", "pointer", "said"),
    [
        ({"question": ""}, "/question", "must not be empty"),
        ({"question": "x" * 8001}, "/question", "must have at most 8000 characters, not 8001"),
        ({"question": 5}, "/question", "must be a valid string"),
        ({"question": "a", "language": "Klingon!"}, "/language", "must be a language code such as en"),
        ({"question": "a", "audience": "me"}, "/audience", "must be 'internal' or 'public'"),
        ({"question": "a", "collections": ["x"] * 101}, "/collections", "must have at most 100 items, not 101"),
        ({"question": "a", "filters": {"date_from": "2026-02-02", "date_to": "2026-02-01"}}, "/filters", "date_from must not be later"),
        ([], "", "must be an object"),
    ],
)  # fmt: skip
def test_fields_are_explained_in_words(world: World, body: object, pointer: str, said: str) -> None:
    answer = world.rest().post("/ask", json=body)
    assert answer.status_code == 422
    (error,) = answer.get_json()["errors"]
    assert error["pointer"] == pointer and error["detail"].startswith(said)


def test_names_and_rows_are_explained_in_words(world: World) -> None:
    answer = world.rest().post("/collections", json={"name": "Bad Name"}).get_json()
    assert "a-z, 0-9, dot" in answer["errors"][0]["detail"]
    report = world.rest().post("/faq/import", json=[5]).get_json()
    assert report["rows"][0]["detail"] == "must be an object"
    answer = world.rest().post("/ask", data="{bad", headers={"Content-Type": "application/json"}).get_json()
    assert answer["errors"][0]["detail"].startswith("is not JSON: key must be a string")
