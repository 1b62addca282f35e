"""Curators dismiss unanswered questions that are dealt with, and put them back."""

from __future__ import annotations

from tests.web.conftest import Caller, World
from tests.web.test_problems import is_problem

QUESTION = "Quantum chromodynamics?"


def listed(curator: Caller, which: str = "") -> list[tuple[str, int]]:
    rows = curator.get(f"/app/unanswered{which}").get_json()["data"]
    return [(row["question"], row["count"]) for row in rows]


def test_a_question_is_dismissed_put_back_and_asked_again(world: World) -> None:
    curator, admin = world.browser("curator"), world.browser("admin")
    answer = world.browser("reader").ask(QUESTION).get_json()["id"]
    address = f"/app/unanswered/{answer}/dismissal"
    for _ in range(2):  # a second time changes nothing
        done = curator.post(address)
        assert (done.status_code, done.data) == (204, b"")
    assert listed(curator) == [] and listed(curator, "?dismissed=true") == [(QUESTION, 1)]
    for _ in range(2):
        assert curator.delete(address).status_code == 204
    assert listed(curator) == [(QUESTION, 1)] and listed(curator, "?dismissed=true") == []
    assert curator.post(address).status_code == 204
    assert world.browser("other").ask(QUESTION.upper()).status_code == 200
    assert listed(curator) == [(QUESTION.upper(), 2)] and listed(curator, "?dismissed=true") == []

    said = [(row["what"], row["object"]) for row in admin.get("/app/audit").get_json()["data"]]
    assert said[:3] == [
        ("dismissed an unanswered question", QUESTION),
        ("put back an unanswered question", QUESTION),
        ("dismissed an unanswered question", QUESTION),
    ]


def test_refusals_say_why(world: World) -> None:
    curator = world.browser("curator")
    answered = curator.ask("holiday").get_json()["id"]
    for id_ in (answered, "missing"):
        for method in ("POST", "DELETE"):
            refused = curator(method, f"/app/unanswered/{id_}/dismissal")
            assert "no unanswered question" in is_problem(refused, 404, "not-found")["detail"]
    assert is_problem(world.browser("editor").post("/app/unanswered/missing/dismissal"), 403, "forbidden")
    is_problem(curator.get("/app/unanswered?dismissed=perhaps"), 422, "invalid-request")
