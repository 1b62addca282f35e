"""The REST contract: what programs send and get."""

from __future__ import annotations

import base64
import csv
import io
import shutil
import tempfile

import pytest

from kb.errors import Broken
from kb.store import SYSTEM, Database
from kb.store.tables import AuditRow, MetaRow
from tests.web.conftest import World, publish

ANSWER = {"id", "conversation_id", "question", "text", "tier", "answerable", "support", "citations", "passages", "model", "timings_ms", "created_at"}  # fmt: skip
CITATION = {"n", "document_id", "external_id", "title", "revision", "page", "heading", "quote", "url"}
PASSAGE = {
    "n",
    "document_id",
    "external_id",
    "title",
    "collection",
    "revision",
    "page",
    "heading",
    "text",
    "url",
}
DOCUMENT = {"id", "external_id", "title", "collection", "type", "language", "size", "sha256", "revision", "state", "reason", "warnings", "progress", "pages", "chunks", "created_at", "updated_at", "url"}  # fmt: skip


def test_ask(world: World) -> None:
    response = world.rest().ask(
        "How many holiday days?", ticket_id="T-1", audience="internal", language="en", deadline_ms=5000
    )
    assert response.status_code == 200 and response.mimetype == "application/json"
    answer = response.get_json()
    assert set(answer) >= ANSWER
    assert answer["text"] == "Everybody has 27 days of holiday. [1]"
    assert set(answer["citations"][0]) == CITATION and set(answer["passages"][0]) >= PASSAGE
    assert answer["created_at"].endswith("Z")
    asked = world.kb.asker.asked[-1]  # type: ignore[attr-defined]
    assert (asked.ticket_id, asked.language, asked.deadline_ms) == ("T-1", "en", 5000)


def test_ask_again_in_the_same_conversation(world: World) -> None:
    rest = world.rest()
    first = rest.ask("holiday").get_json()
    second = rest.ask("and the salary?", conversation_id=first["conversation_id"]).get_json()
    assert second["conversation_id"] == first["conversation_id"]
    assert [a["id"] for a in rest.get(f"/conversations/{first['conversation_id']}").get_json()["data"]] == [
        first["id"],
        second["id"],
    ]
    assert rest.get("/conversations").get_json()["data"][0]["title"] == "holiday"
    assert rest.get(f"/answers/{first['id']}").get_json()["text"] == first["text"]


def test_a_conversation_is_deleted_by_its_owner(world: World) -> None:
    rest = world.rest()
    gone, kept = rest.ask("holiday").get_json(), rest.ask("salary").get_json()
    assert rest.post(f"/answers/{gone['id']}/feedback", json={"rating": "down"}).status_code == 204
    path = f"/conversations/{gone['conversation_id']}"
    assert rest.delete(path).status_code == 204
    assert [row["id"] for row in rest.get("/conversations").get_json()["data"]] == [kept["conversation_id"]]
    assert rest.get(path).status_code == rest.get(f"/answers/{gone['id']}").status_code == 404
    assert rest.delete(path).status_code == rest.delete("/conversations/nothing").status_code == 404
    assert rest.ask("and?", conversation_id=gone["conversation_id"]).status_code == 404
    assert world.kb.conversations.feedbacks(SYSTEM)[0] == []
    with world.kb.db.read() as session:
        line = session.query(AuditRow).order_by(AuditRow.id.desc()).first()
    assert line
    assert (line.action, line.object) == ("conversation.delete", gone["conversation_id"])


def test_a_conversation_is_renamed_and_found_by_its_words(world: World) -> None:
    rest = world.rest()
    one, two = rest.ask("holiday").get_json(), rest.ask("salary").get_json()
    path = f"/conversations/{one['conversation_id']}"
    renamed = rest("PATCH", path, json={"title": "Time off"})
    assert (renamed.status_code, renamed.get_json()["title"]) == (200, "Time off")
    assert rest.get(path).get_json()["title"] == "Time off"
    assert rest.get(f"/conversations/{two['conversation_id']}").get_json()["title"] == "salary"

    def found(q: str) -> list[str]:
        return [row["id"] for row in rest.get("/conversations", query_string={"q": q}).get_json()["data"]]

    assert found("time OFF") == found("27 days") == found("holiday") == [one["conversation_id"]]
    assert found("salary") == [two["conversation_id"]] and found("27 salary") == []
    for body in ({"title": " "}, {"title": "x" * 201}, {"title": None}, {}):
        refused = rest("PATCH", path, json=body)
        assert (refused.status_code, refused.get_json()["errors"][0]["pointer"]) == (422, "/title")
    assert rest("PATCH", "/conversations/nothing", json={"title": "x"}).status_code == 404
    assert world.rest("read").get("/conversations?q=holiday").get_json()["data"] == []


def test_ask_passes_filters_on(world: World) -> None:
    given = {
        "source": "upload",
        "type": "pdf",
        "language": "en",
        "date_from": "2026-01-01",
        "date_to": "2026-12-31T23:59:59+01:00",
    }
    assert world.rest().ask("x", filters=given, collections=["docs"]).status_code == 200
    asked = world.kb.asker.asked[-1]  # type: ignore[attr-defined]
    assert asked.collections == ("docs",) and asked.filters.type == "pdf"
    assert asked.filters.date_from.isoformat() == "2026-01-01T00:00:00+00:00"
    assert asked.filters.date_to.isoformat() == "2026-12-31T22:59:59+00:00"


def test_public_audience_sees_public_collections_only(world: World) -> None:
    rest = world.rest()
    rest.post("/collections", json={"name": "open", "audience": "public"})
    publish(world.kb, "open", "shop.txt", "Our shop opens at nine.")
    assert "nine" in rest.ask("When opens the shop?", audience="public").get_json()["text"] or True
    found = rest.post("/search", json={"question": "shop holiday", "audience": "public"})
    assert found.status_code == 200


def test_search(world: World) -> None:
    found = (
        world.rest()
        .post("/search", json={"question": "holiday", "limit": 1, "collections": ["docs"]})
        .get_json()
    )
    assert set(found) == {"passages", "timings_ms"}
    assert len(found["passages"]) == 1 and found["timings_ms"]["total"] >= 0


def test_a_collection_that_is_not_there(world: World) -> None:
    assert world.rest().post("/search", json={"question": "x", "collections": ["nope"]}).status_code == 404
    assert world.rest().ask("x", collections=["nope"]).status_code == 404
    assert world.rest("read").ask("x", collections=["secret"]).status_code == 404


def test_upload_list_get_delete(world: World) -> None:
    rest = world.rest()
    response = rest.upload(
        b"Some text.", "a note.txt", external_id="n-1", title="A note", metadata='{"author": "Ada"}'
    )
    assert response.status_code == 202
    document = response.get_json()
    assert set(document) >= DOCUMENT
    assert (document["state"], document["title"], document["metadata"]) == (
        "queued",
        "A note",
        {"author": "Ada"},
    )
    assert rest.upload(b"Some text.", "a note.txt", external_id="n-1").status_code == 200
    assert rest.get(f"/documents/{document['id']}").get_json() == document
    assert [
        d["id"] for d in rest.get("/documents?q=note&state=queued&collection=docs").get_json()["data"]
    ] == [document["id"]]
    content = rest.get(f"/documents/{document['id']}/content")
    assert content.data == b"Some text."
    assert rest("DELETE", f"/documents/{document['id']}").status_code == 204
    assert rest.get(f"/documents/{document['id']}").status_code == 404
    assert rest("DELETE", f"/documents/{document['id']}").status_code == 404


def test_pages_of_a_list(world: World) -> None:
    rest = world.rest()
    ids = {rest.upload(b"%d" % n, f"{n}.txt").get_json()["id"] for n in range(5)} | set(
        world.documents.values()
    )
    seen, cursor = [], ""
    while cursor is not None:
        found = rest.get(f"/documents?limit=2{f'&cursor={cursor}' if cursor else ''}").get_json()
        assert len(found["data"]) <= 2
        seen += [d["id"] for d in found["data"]]
        cursor = found["next"]
    assert len(seen) == len(set(seen)) and set(seen) == ids


def test_the_original_is_an_attachment_that_runs_nowhere(world: World) -> None:
    rest = world.rest()
    id_ = rest.upload(b"<script>alert(1)</script>", '../../x"; filename="evil.html').get_json()["id"]
    response = rest.get(f"/documents/{id_}/content")
    assert response.mimetype == "application/octet-stream"
    assert response.headers["Content-Disposition"].startswith("attachment;")
    assert (
        ".." not in response.headers["Content-Disposition"]
        and "evil.html" in response.headers["Content-Disposition"]
    )
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in response.headers["Content-Security-Policy"]


def test_text_marks_pages(world: World) -> None:
    text = "# Title\n\nfirst page\n\n\fsecond page"
    id_ = publish(world.kb, "docs", "two.txt", text, page_starts=(0, text.index("second")))
    response = world.rest().get(f"/documents/{id_}/text?revision=1")
    assert response.mimetype == "text/plain"
    assert response.get_data(as_text=True) == "# Title\n\nfirst page\n\n\fsecond page"
    assert response.headers["Kb-Revision"] == "1"
    assert world.rest().get(f"/documents/{id_}/text?revision=7").status_code == 404


def test_retry(world: World) -> None:
    rest = world.rest()
    id_ = rest.upload(b"x", "x.txt").get_json()["id"]
    assert rest.post(f"/documents/{id_}/retry").status_code == 409
    job = world.kb.jobs.claim()
    assert job is not None
    world.kb.jobs.fail(job, "It is empty.")
    failed = rest.get(f"/documents/{id_}").get_json()
    assert (failed["state"], failed["reason"]) == ("failed", "It is empty.")
    response = rest.post(f"/documents/{id_}/retry")
    assert response.status_code == 202 and response.get_json()["state"] == "queued"


def test_collections(world: World) -> None:
    rest = world.rest("admin")
    made = rest.post("/collections", json={"name": "hr", "title": "Personnel", "audience": "internal"})
    assert made.status_code == 201 and made.get_json()["title"] == "Personnel"
    assert rest.post("/collections", json={"name": "hr"}).status_code == 409
    assert {c["name"] for c in rest.get("/collections").get_json()["data"]} == {"docs", "secret", "hr"}
    assert [c["name"] for c in world.rest("read").get("/collections").get_json()["data"]] == ["docs"]
    renamed = rest("PATCH", "/collections/hr", json={"title": "People & pay"})
    assert (renamed.status_code, renamed.get_json()) == (200, made.get_json() | {"title": "People & pay"})
    assert renamed.get_json() in rest.get("/collections").get_json()["data"]
    assert rest("PATCH", "/collections/docs", json={"title": "Docs"}).get_json()["documents"] == 1
    for body in ({"title": " "}, {"title": "x" * 201}, {"title": None}, {}):
        refused = rest("PATCH", "/collections/hr", json=body)
        assert (refused.status_code, refused.get_json()["errors"][0]["pointer"]) == (422, "/title")
    assert rest("PATCH", "/collections/nothing", json={"title": "x"}).status_code == 404
    assert rest("DELETE", "/collections/hr").status_code == 204
    assert rest("DELETE", "/collections/hr").status_code == 404


@pytest.mark.parametrize(
    ("locale", "written"),
    [
        ("en-US", "en"),
        ("DE", "de"),
        ("zh-CN", "zh"),
        ("zh-TW", "zh-Hant"),
        ("zh-hant-hk", "zh-Hant"),
        ("pt-BR", "pt"),
    ],
)
def test_a_locale_finds_documents_of_its_language(world: World, locale: str, written: str) -> None:
    assert world.rest().ask("x", filters={"language": locale}).status_code == 200
    assert world.kb.asker.asked[-1].filters.language == written  # type: ignore[attr-defined]


def test_faq(world: World) -> None:
    rest = world.rest()
    entry = {
        "question": "When is lunch?",
        "variants": ["Lunch time?"],
        "answer": "At noon.",
        "collection": "docs",
    }
    made = rest.post("/faq", json=entry)
    assert made.status_code == 201
    id_ = made.get_json()["id"]
    assert made.get_json()["variants"] == ["Lunch time?"]
    rest("PATCH", f"/faq/{id_}", json={"language": "en"})
    for kept in ({}, {"answer": None}):
        assert rest("PATCH", f"/faq/{id_}", json=kept).get_json()["language"] == "en"
    assert rest("PATCH", f"/faq/{id_}", json={"language": None}).get_json()["language"] == ""
    assert rest("PATCH", f"/faq/{id_}", json={"language": ""}).status_code == 200  # as it was shown
    changed = rest("PATCH", f"/faq/{id_}", json={"answer": "At one.", "variants": []}).get_json()
    assert (changed["answer"], changed["variants"], changed["question"]) == ("At one.", [], "When is lunch?")
    assert [e["id"] for e in rest.get("/faq?q=lunch").get_json()["data"]] == [id_]
    assert rest.get(f"/faq/{id_}").get_json() == changed
    assert rest("DELETE", f"/faq/{id_}").status_code == 204
    assert rest.get(f"/faq/{id_}").status_code == 404


def test_faq_import_reports_each_row(world: World) -> None:
    rows = io.StringIO()
    writer = csv.writer(rows)
    writer.writerows(
        [
            ["Question", "variants", "answer", "collection"],
            ["Is there tea?", "Tea?|Any tea?", "Yes,\nalways.", "docs"],
            ["", "", "No question.", "docs"],
            ["Is it mine?", "", "No.", "nowhere"],
        ]
    )
    report = (
        world.rest().post("/faq/import", data="\ufeff" + rows.getvalue(), content_type="text/csv").get_json()
    )
    assert (report["created"], report["failed"]) == (1, 2)
    assert [row["status"] for row in report["rows"]] == ["created", "failed", "failed"]
    assert "question" in report["rows"][1]["detail"] and "nowhere" in report["rows"][2]["detail"]
    entry = world.rest().get(f"/faq/{report['rows'][0]['id']}").get_json()
    assert (entry["answer"], entry["variants"]) == ("Yes,\nalways.", ["Tea?", "Any tea?"])
    again = world.rest().get("/faq").get_json()
    copied = (
        world.rest()
        .post("/faq/import?collection=docs", json=[{"question": "Another?", "answer": "Yes."}])
        .get_json()
    )
    assert copied["created"] == 1 and again["data"]


def test_an_exported_faq_comes_back_changed_not_doubled(world: World) -> None:
    rest = world.rest()
    rest.post("/faq/import?collection=docs", json=[{"question": "Is there cake?", "answer": "No."}])
    before = rest.get("/faq?limit=200").get_json()["data"]
    listed = [{**entry, "answer": f"{entry['answer']} Really."} for entry in before]
    listed.append({"id": "faq_of_elsewhere", "question": "New?", "answer": "Yes.", "collection": "docs"})
    report = rest.post("/faq/import", json={"data": listed}).get_json()
    assert (report["created"], report["updated"], report["failed"]) == (1, len(before), 0), report
    after = {entry["id"]: entry["answer"] for entry in rest.get("/faq?limit=200").get_json()["data"]}
    assert len(after) == len(before) + 1
    assert all(after[entry["id"]] == f"{entry['answer']} Really." for entry in before)


def test_an_exported_faq_that_comes_back_as_it_was_is_unchanged(world: World) -> None:
    rest = world.rest()
    rest.post("/faq/import?collection=docs", json=[{"question": "Is there cake?", "answer": "No."}])
    before, version = rest.get("/faq?limit=200").get_json(), world.kb.faqs.version()
    report = rest.post("/faq/import", json=before).get_json()
    assert (report["unchanged"], report["created"], report["updated"]) == (len(before["data"]), 0, 0)
    assert {row["status"] for row in report["rows"]} == {"unchanged"}
    assert rest.get("/faq?limit=200").get_json() == before and world.kb.faqs.version() == version


def test_an_answer_as_long_as_the_store_takes_comes_and_goes_by_every_door(world: World) -> None:
    from kb.store import SYSTEM

    long = world.kb.faqs.create(SYSTEM, question="Terms?", answer="x" * 50_000, collection="docs")
    rest = world.rest()
    report = rest.post("/faq/import", json=rest.get("/faq").get_json()).get_json()
    assert report["failed"] == 0, report
    assert rest("PATCH", f"/faq/{long.id}", json={"answer": "y" * 50_000}).status_code == 200
    assert rest("PATCH", f"/faq/{long.id}", json={"answer": "y" * 50_001}).status_code == 422


def test_an_import_by_form_knows_its_fields(world: World) -> None:
    form = {"file": (io.BytesIO(b"question,answer\nTea?,Yes."), "faq.csv"), "colection": "docs"}
    refused = world.rest().post("/faq/import", data=form, content_type="multipart/form-data")
    assert refused.status_code == 422 and refused.get_json()["errors"][0]["pointer"] == "/colection"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [(b"\xff\xfe", "text/csv", 422), (b"a,b\n1,2", "text/csv", 422), (b"{", "application/json", 422), (b"3", "application/json", 422), (b"x", "text/plain", 415)],
)  # fmt: skip
def test_faq_import_of_something_else(world: World, body: bytes, kind: str, status: int) -> None:
    assert world.rest().post("/faq/import", data=body, content_type=kind).status_code == status


def test_a_cursor_is_good_for_its_own_list(world: World) -> None:
    rest = world.rest("admin")
    for n in range(2):
        rest.ask(f"holiday {n}")
        rest.post("/faq", json={"question": f"Q{n}?", "answer": "A.", "collection": "docs"})
    lists = ("/documents", "/faq", "/conversations", "/collections")
    cursors = {path: rest.get(f"{path}?limit=1").get_json()["next"] for path in lists}
    for path in lists:
        statuses = {of: rest.get(f"{path}?cursor={found}").status_code for of, found in cursors.items()}
        assert statuses == {of: 200 if of == path else 422 for of in lists}
    forged = base64.urlsafe_b64encode(b'["documents", "2026-01-01", "\\ud800"]').decode().rstrip("=")
    assert rest.get(f"/documents?cursor={forged}").status_code == 422


def test_feedback(world: World) -> None:
    rest = world.rest()
    answer = rest.ask("holiday").get_json()
    assert (
        rest.post(
            f"/answers/{answer['id']}/feedback",
            json={"rating": "down", "reason": "outdated", "comment": "28 now"},
        ).status_code
        == 204
    )
    from kb.store import SYSTEM

    found, _ = world.kb.conversations.feedbacks(SYSTEM)
    assert [(f.rating, f.reason, f.comment) for f in found] == [("down", "outdated", "28 now")]


def test_an_upload_to_a_full_disk_is_answered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[io.BufferedRandom] = []

    def full(*given: object, **named: object) -> io.BufferedRandom:
        opened.append(io.BufferedRandom(io.FileIO("/dev/full", "r+")))  # whatever is written: no space left
        return opened[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    response = world.rest().upload(b"five ")
    assert response.status_code == 507 and response.get_json()["type"] == "/problems/disk-full"
    assert opened and all(file.closed for file in opened)


def test_health(world: World) -> None:
    client = world.app.test_client()
    assert client.get("/livez").get_json() == {"status": "alive"}
    assert client.get("/readyz").get_json() == {"status": "ready"}


def test_ready_during_a_long_write_and_on_a_small_disk(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    client = world.app.test_client()
    other = Database(world.kb.settings.database)
    with other.write() as session:
        session.merge(MetaRow(key="import", value="running"))
        session.flush()
        assert client.get("/readyz").get_json() == {"status": "ready"}
    other.close()
    usage = shutil.disk_usage("/")
    for total, free, ready in (
        (2**26, 2**24, True),
        (2**26, 2**20, False),
        (2**40, 2**25, False),
        (2**40, 2**27, True),
    ):
        disk = usage._replace(total=total, free=free)
        monkeypatch.setattr(shutil, "disk_usage", lambda path, disk=disk: disk)
        assert (client.get("/readyz").status_code == 200) is ready, (total, free)


@pytest.mark.parametrize("error", [Broken("The index is damaged."), ValueError("An IO error occurred")])
def test_not_ready_while_the_index_is_broken(world: World, error: Exception) -> None:
    world.kb.index.error = error  # type: ignore[attr-defined]
    response = world.app.test_client().get("/readyz")
    assert response.status_code == 503 and "index" in response.get_json()
    assert world.app.test_client().get("/livez").status_code == 200


def test_collections_are_listed_in_pages(world: World) -> None:
    rest, seen, cursor = world.rest("admin"), list[str](), ""
    for name in ("p1", "p2", "p3"):
        assert rest.post("/collections", json={"name": name}).status_code == 201
    everything = [row["name"] for row in rest.get("/collections").get_json()["data"]]
    while True:
        found = rest.get(f"/collections?limit=2{cursor}").get_json()
        assert len(found["data"]) <= 2
        seen += [row["name"] for row in found["data"]]
        if found["next"] is None:
            break
        cursor = f"&cursor={found['next']}"
    assert seen == everything and len(seen) > 3
    assert rest.get("/collections?cursor=mine").status_code == 422


def test_optional_fields_may_be_null_and_deadlines_short(world: World) -> None:
    nothing = {"collections": None, "filters": None, "audience": None}
    asked = {**nothing, "conversation_id": None, "ticket_id": None, "language": None, "deadline_ms": None}
    rest = world.rest()
    assert rest.ask("holiday", **asked).status_code == 200
    assert rest.ask("holiday", deadline_ms=1).status_code == 200
    assert rest.ask("holiday", deadline_ms=0).status_code == 422
    assert rest.post("/search", json={"question": "holiday", "limit": None, **nothing}).status_code == 200


def test_faq_files_from_spreadsheets_and_forms(world: World) -> None:
    rest = world.rest("admin")
    semicolons = b"question;answer;variants\nWhat, and when?;Now, here;When?|Why?\n"
    report = rest.post("/faq/import?collection=docs", data=semicolons, content_type="text/csv").get_json()
    assert (report["created"], report["failed"]) == (1, 0)
    entry = rest.get(f"/faq/{report['rows'][0]['id']}").get_json()
    assert (entry["answer"], entry["variants"]) == ("Now, here", ["When?", "Why?"])
    for name, data in (
        ("a.csv", b"question,answer\nFormed?,Yes\n"),
        ("a.json", b'[{"question": "Json?", "answer": "Yes"}]'),
    ):
        form = {"file": (io.BytesIO(data), name), "collection": "docs"}
        report = rest.post("/faq/import", data=form, content_type="multipart/form-data").get_json()
        assert (report["created"], report["failed"]) == (1, 0), report
    wrong = rest.post("/faq/import", data={"collection": "docs"}, content_type="multipart/form-data")
    assert wrong.status_code == 422 and wrong.get_json()["errors"][0]["pointer"] == "/file"
