"""Idempotency-Key: nothing is done twice."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from kb.errors import Busy, DiskFull
from kb.store.tables import IdempotencyRow
from kb.types import Chunk, Parsed
from tests.web.conftest import World, events

KEY = {"Idempotency-Key": "crm-1"}


def test_the_same_request_gets_the_first_answer(world: World) -> None:
    rest = world.rest()
    first, again = rest.ask("holiday", headers=KEY), rest.ask("holiday", headers=KEY)
    assert again.get_json() == first.get_json() and again.headers["Idempotent-Replayed"] == "true"
    assert len(world.kb.asker.asked) == 1  # type: ignore[attr-defined]


def test_another_request_is_a_conflict(world: World) -> None:
    rest = world.rest()
    rest.ask("holiday", headers=KEY)
    for response in (
        rest.ask("salary", headers=KEY),
        rest.post("/search", json={"question": "holiday"}, headers=KEY),
    ):
        assert (
            response.status_code == 409 and response.get_json()["type"] == "/problems/idempotency-key-reused"
        )


def test_keys_belong_to_their_caller(world: World) -> None:
    first = world.rest("all").ask("holiday", headers=KEY).get_json()
    assert world.rest("read").ask("holiday", headers=KEY).get_json()["id"] != first["id"]


def test_uploads(world: World) -> None:
    rest = world.rest()
    first = rest.upload(b"one", "a.txt", headers=KEY)
    again = rest.upload(b"one", "a.txt", headers=KEY)
    assert (again.status_code, again.get_json()) == (202, first.get_json())
    assert rest.upload(b"two", "a.txt", headers=KEY).status_code == 409


def test_every_post_takes_one(world: World) -> None:
    rest = world.rest("admin")
    answer = rest.ask("holiday").get_json()["id"]
    for path, body in ((f"/answers/{answer}/feedback", {"rating": "up"}), ("/collections", {"name": "new"}), ("/faq", {"question": "Q?", "answer": "A.", "collection": "docs"})):  # fmt: skip
        header = {"Idempotency-Key": path}
        first, again = rest.post(path, json=body, headers=header), rest.post(path, json=body, headers=header)
        assert (again.status_code, again.data) == (first.status_code, first.data)
        assert again.headers["Idempotent-Replayed"] == "true"
    rows = b"question,answer,collection\nWhat?,That.,docs\n"
    reports = [rest.post("/faq/import", data=rows, content_type="text/csv", headers={"Idempotency-Key": "import"}) for _ in range(2)]  # fmt: skip
    assert reports[0].get_json() == reports[1].get_json() and reports[0].get_json()["created"] == 1


def test_another_import_under_the_same_key_is_a_conflict(world: World) -> None:
    rest = world.rest("admin")
    for rows, status in ((b"What?,That.", 200), (b"Who?,They.", 409)):
        data = b"question,answer\n" + rows + b"\n"
        response = rest.post("/faq/import?collection=docs", data=data, content_type="text/csv", headers=KEY)
        assert response.status_code == status


def test_an_import_by_form_is_the_same_whatever_parts_it(world: World) -> None:
    """A program that sends a form again draws a new boundary for it."""
    rest = world.rest("admin")

    def send(rows: bytes, boundary: str, name: str = "collection") -> Any:
        parts = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\ndocs\r\n--{boundary}\r\n'
        )
        parts += 'Content-Disposition: form-data; name="file"; filename="faq.csv"\r\n\r\n'
        data = parts.encode() + rows + f"\r\n--{boundary}--\r\n".encode()
        kind = f"multipart/form-data; boundary={boundary}"
        return rest.post("/faq/import", data=data, content_type=kind, headers=KEY)

    first = send(b"question,answer\nWhat?,That.\n", "one")
    again = send(b"question,answer\nWhat?,That.\n", "two")
    assert first.get_json()["created"] == 1
    assert (again.get_json(), again.headers["Idempotent-Replayed"]) == (first.get_json(), "true")
    assert send(b"question,answer\nWhat?,This.\n", "two").status_code == 409
    assert send(b"question,answer\nWhat?,That.\n", "two", "elsewhere").status_code == 409


def test_asking_goes_on_where_no_key_can_be_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: Any) -> Any:
        raise DiskFull("The disk is full.")

    monkeypatch.setattr(world.kb.idempotency, "claim", full)
    rest = world.rest("admin")
    assert rest.ask("holiday", headers=KEY).status_code == 200
    assert rest.post("/search", json={"question": "holiday"}, headers=KEY).status_code == 200
    assert rest.post("/collections", json={"name": "new"}, headers=KEY).status_code == 507


def test_passwords_and_keys_are_not_kept(world: World) -> None:
    admin = world.browser("admin")
    key = admin.post("/app/keys", json={"name": "crm", "scopes": ["ask"]}, headers=KEY).get_json()["key"]
    person = {"email": "new@x.example", "name": "New", "role": "reader"}
    made = admin.post("/app/users", json=person, headers={"Idempotency-Key": "user"}).get_json()["password"]
    with world.kb.db.read() as session:
        kept = " ".join(session.scalars(select(IdempotencyRow.body)))
    assert key not in kept and made not in kept


def test_what_is_sent_again_holds_no_deleted_document(world: World) -> None:
    rest = world.rest("admin")
    document = rest.upload(b"The zyzzyva eats palms.", "z.txt").get_json()["id"]
    job = world.kb.jobs.claim()
    assert job is not None
    text = "The zyzzyva eats palms."
    vectors = np.asarray(world.kb.encoder.encode_documents([text]))
    parsed = Parsed(text, (0,), (Chunk(0, text, 0, len(text), page=1),), vectors, "txt", "en", None, 1)
    world.kb.documents.publish(job, parsed, world.kb.encoder.name)
    searched = {"Idempotency-Key": "search"}
    first = rest.ask("the zyzzyva", headers={"Idempotency-Key": "ask2"})
    found = rest.post("/search", json={"question": "zyzzyva"}, headers=searched)
    assert "palms" in first.text and "palms" in found.text
    with world.kb.db.read() as session:
        kept = session.scalars(
            select(IdempotencyRow.body).where(IdempotencyRow.key.in_(("ask2", "search")))
        ).all()
    assert len(kept) == 2 and not any("palms" in body for body in kept)
    assert rest("DELETE", f"/documents/{document}").status_code == 204
    again = rest.ask("the zyzzyva", headers={"Idempotency-Key": "ask2"})
    assert again.headers["Idempotent-Replayed"] == "true" and "palms" not in again.text
    streamed = rest.ask("the zyzzyva", headers={"Idempotency-Key": "ask2", "Accept": "text/event-stream"})
    assert "palms" not in streamed.text and events(streamed)[-1][0] == "done"
    assert "palms" not in rest.post("/search", json={"question": "zyzzyva"}, headers=searched).text


def test_a_failed_request_may_be_tried_again(world: World) -> None:
    rest, retrieve = world.rest(), world.kb.retriever.retrieve

    def refuse(*given: Any, **named: Any) -> Any:
        raise Busy("locked")

    world.kb.retriever.retrieve = refuse  # type: ignore[method-assign]
    assert rest.post("/search", json={"question": "holiday"}, headers=KEY).status_code == 503
    world.kb.retriever.retrieve = retrieve  # type: ignore[method-assign]
    assert rest.post("/search", json={"question": "holiday"}, headers=KEY).status_code == 200


def test_streams_are_repeated_as_streams(world: World) -> None:
    rest, headers = world.rest(), {**KEY, "Accept": "text/event-stream"}
    first, again = events(rest.ask("holiday", headers=headers)), events(rest.ask("holiday", headers=headers))
    assert [kind for kind, _ in again] == ["sources", "token", "citations", "done"]
    assert again[-1] == first[-1]
    assert rest.ask("holiday", headers=KEY).get_json() == first[-1][1]


def test_parallel_requests_do_it_once(world: World) -> None:
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(world.rest().upload(b"x", "x.txt", headers=KEY).status_code)) for _ in range(6)]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) <= {202, 409} and 202 in statuses
    assert (
        len([d for d in world.rest().get("/documents").get_json()["data"] if d["external_id"] == "x.txt"])
        == 1
    )


def test_keys_that_are_none(world: World) -> None:
    for key in ("", "x" * 201, "tab\there"):
        assert world.rest().ask("x", headers={"Idempotency-Key": key}).status_code == 422
