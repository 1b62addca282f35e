"""Every route × every kind of caller. A new route must be written down here, or this fails."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.web.conftest import Caller, World

# what each route asks for; None: any known caller; "open": nothing
REST = {
    "ask": "ask",
    "search": "search",
    "give_feedback": "ask",
    "get_answer": "ask",
    "list_conversations": "ask",
    "get_conversation": "ask",
    "rename_conversation": "ask",
    "delete_conversation": "ask",
    "add_document": "documents:write",
    "list_documents": "documents:read",
    "get_document": "documents:read",
    "delete_document": "documents:write",
    "retry_document": "documents:write",
    "get_content": "documents:read",
    "get_text": "documents:read",
    "list_collections": None,
    "create_collection": "documents:write",
    "rename_collection": "admin",
    "delete_collection": "admin",
    "list_faq": "documents:read",
    "create_faq": "faq:write",
    "get_faq": "documents:read",
    "update_faq": "faq:write",
    "delete_faq": "faq:write",
    "import_faq": "faq:write",
}
APP_ONLY = {
    "document_states": "documents:read",
    "excerpt": "documents:read",
    "system_status": "admin",
    "days_of_answers": "admin",
    "list_users": "admin",
    "create_user": "admin",
    "change_user": "admin",
    "list_keys": "admin",
    "create_key": "admin",
    "revoke_key": "admin",
    "unanswered": "faq:write",
    "dismiss_question": "faq:write",
    "restore_question": "faq:write",
    "feedback": "faq:write",
    "list_audit": "admin",
    "list_grants": "admin",
    "list_all_grants": "admin",
    "set_grant": "admin",
    "list_groups": "admin",
    "create_group": "admin",
    "delete_group": "admin",
    "set_member": "admin",
}
PAGES = {
    "chat": None,
    "chat.conversation": None,
    "documents": "documents:read",
    "document": "documents:read",
    "document.view": "documents:read",
    "faq": "documents:read",
    "account": None,
    "admin": "admin",
    "admin.users": "admin",
    "admin.keys": "admin",
    "admin.access": "admin",
    "admin.audit": "admin",
    "admin.unanswered": "faq:write",
    "admin.feedback": "faq:write",
}
OPEN = {
    "static",
    "login",
    "setup",
    "logout",
    "livez",
    "readyz",
    "openapi",
    "reference",
    "problem",
    "problems",
}
MAY = {
    "reader": {"ask", "search", "documents:read"},
    "other": {"ask", "search", "documents:read"},
    "editor": {"ask", "search", "documents:read", "documents:write"},
    "curator": {"ask", "search", "documents:read", "documents:write", "faq:write"},
    "admin": {"ask", "search", "documents:read", "documents:write", "faq:write", "admin"},
    "": None,
    "disabled": None,
}
KEYS = {
    "read": {"ask", "search", "documents:read"},
    "ingest": {"documents:write"},
    "admin": MAY["admin"],
    "nobody": None,
}


def expected() -> dict[str, tuple[str, str | None]]:
    wanted: dict[str, tuple[str, str | None]] = dict.fromkeys(OPEN, ("open", None))
    wanted |= {f"rest.{name}": ("rest", scope) for name, scope in REST.items()}
    wanted |= {f"app.{name}": ("app", scope) for name, scope in (REST | APP_ONLY).items()}
    wanted |= {name: ("page", scope) for name, scope in PAGES.items()}
    return wanted


def rules(world: World) -> list[tuple[str, str, str]]:
    """(name, method, path with ids that do not exist)."""
    found = []
    for rule in world.app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?\w+>", "missing", rule.rule)
        found += [
            (rule.endpoint, method, path)
            for method in rule.methods or ()
            if method not in ("HEAD", "OPTIONS")
        ]
    return found


def test_every_route_is_written_down(world: World) -> None:
    policies = world.app.extensions["kb.doors"].policies
    assert {name: (policy.door, policy.scope) for name, policy in policies.items()} == expected()
    assert {name for name, _, _ in rules(world)} == set(expected())


def test_a_route_without_a_policy_stays_shut(world: World) -> None:
    world.app._got_first_request = False
    world.app.add_url_rule("/forgotten", "forgotten", lambda: "secrets")
    assert world.browser("admin").get("/forgotten").status_code == 404


@pytest.mark.parametrize("name", MAY)
def test_people(world: World, name: str) -> None:
    if name == "disabled":
        world.kb.users.disable(world.people[name].id)
    check(world, world.browser(name), MAY[name], ("app", "page"))


@pytest.mark.parametrize("name", KEYS)
def test_keys(world: World, name: str) -> None:
    caller = world.rest(name)
    check(world, Caller(caller.client, "", caller.headers), KEYS[name], ("rest",))


def check(world: World, caller: Caller, may: set[str] | None, doors: tuple[str, ...]) -> None:
    for name, method, path in rules(world):
        door, scope = expected()[name]
        if door == "open":
            continue
        response = send(caller, name, method, path)
        case = f"{method} {path}: {response.status_code}"
        if may is None or door not in doors:
            if door == "page" and method == "GET":
                assert response.status_code == 302, case
                assert response.headers["Location"].startswith("/login"), case
            else:
                assert response.status_code == 401, case
        elif scope is not None and scope not in may:
            assert response.status_code == (404 if door == "page" else 403), case
        else:
            assert response.status_code not in (401, 403) and response.status_code < 500, case


def send(caller: Caller, name: str, method: str, path: str) -> Any:
    bodies: dict[str, Any] = {"ask": {"question": "x"}, "search": {"question": "x"}}
    if method in ("POST", "PATCH") and not name.endswith("add_document"):
        return caller(method, path, json=bodies.get(name.split(".")[-1], {"wrong": 1}))
    return caller(method, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/documents/{}"),
        ("DELETE", "/documents/{}"),
        ("POST", "/documents/{}/retry"),
        ("GET", "/documents/{}/content"),
        ("GET", "/documents/{}/text"),
    ],
)
@pytest.mark.parametrize("who", ["reader", "editor", "other", "read"])
def test_foreign_and_missing_look_the_same(world: World, method: str, path: str, who: str) -> None:
    caller = world.rest("read") if who == "read" else world.browser(who)
    base = "" if who == "read" else "/app"
    answers = []
    for id_ in (world.documents["salary"], "doc_" + "z" * len(world.documents["salary"][4:])):
        response = caller(method, base + path.format(id_))
        body = response.get_json()
        body.pop("request_id")
        answers.append((response.status_code, str(body).replace(id_, "ID"), sorted(response.headers.keys())))
    assert answers[0] == answers[1]
    assert answers[0][0] in (403, 404)


def test_no_text_of_foreign_documents_anywhere(world: World) -> None:
    for name in ("reader", "editor", "curator", "other"):
        caller = world.browser(name)
        for response in (
            caller.ask("salary chief secret"),
            caller.post("/app/search", json={"question": "salary chief secret"}),
            caller.get("/app/documents"),
            caller.get("/app/collections"),
            caller.get(f"/app/documents/states?ids={world.documents['salary']}"),
            caller.get(f"/documents/{world.documents['salary']}"),
        ):
            text = response.get_data(as_text=True)
            assert "The salary" not in text and "salary.txt" not in text


def test_a_grant_taken_back_ends_at_once(world: World) -> None:
    reader = world.browser("reader")
    answer = reader.ask("holiday").get_json()
    assert "27 days" in answer["text"]
    world.kb.collections.revoke("docs", "user", "usr_reader")
    assert reader.get("/app/documents").get_json()["data"] == []
    assert "27 days" not in reader.get(f"/app/answers/{answer['id']}").get_data(as_text=True)
    assert "27 days" not in reader.ask("holiday").get_data(as_text=True)


def test_conversations_are_their_owners(world: World) -> None:
    answer = world.browser("reader").ask("holiday").get_json()
    other = world.browser("editor")
    assert other.get(f"/app/conversations/{answer['conversation_id']}").status_code == 404
    assert other.get(f"/app/answers/{answer['id']}").status_code == 404
    assert other.post(f"/app/answers/{answer['id']}/feedback", json={"rating": "up"}).status_code == 404
    assert other.ask("and?", conversation_id=answer["conversation_id"]).status_code == 404
    path = f"/app/conversations/{answer['conversation_id']}"
    assert other("PATCH", path, json={"title": "mine"}).status_code == 404
    assert other.get(f"/app/conversations?q={answer['question']}").get_json()["data"] == []
    assert other.delete(path).status_code == 404
    assert world.browser("admin").delete(f"/app/conversations/{answer['conversation_id']}").status_code == 404
    assert world.rest("read").delete(f"/conversations/{answer['conversation_id']}").status_code == 404
    assert world.browser("reader").get(f"/app/answers/{answer['id']}").status_code == 200


def test_only_admins_see_why(world: World) -> None:
    seen = world.rest("admin").post("/search", json={"question": "holiday"}).get_json()["passages"][0]
    assert seen["why"]["dense"] == {"rank": 1, "score": 0.5}
    plain = world.rest("read").post("/search", json={"question": "holiday"}).get_json()["passages"][0]
    assert "why" not in plain and "score" not in plain
    answer = world.rest("read").ask("holiday").get_data(as_text=True)
    assert '"why"' not in answer and '"score"' not in answer


def test_cookies_open_no_rest_and_keys_no_pages(world: World) -> None:
    browser = world.browser("admin")
    assert browser.get("/api/v1/documents").status_code == 401
    key = world.rest("admin")
    assert Caller(key.client, "", key.headers).get("/app/documents").status_code == 401
    assert Caller(key.client, "", key.headers).get("/").status_code == 302


def test_the_local_door(world: World, tmp_path: Any) -> None:
    from kb.local_access import open_door
    from web import create_app

    door = open_door(tmp_path, "http://127.0.0.1:1")
    client = create_app(world.kb, door).test_client()
    assert (
        client.get("/api/v1/documents", headers={"Authorization": f"Bearer {door.token}"}).status_code == 200
    )
    assert (
        client.get("/api/v1/documents", headers={"Authorization": f"Bearer {door.token}x"}).status_code == 401
    )
    assert client.get("/app/status", headers={"Authorization": f"Bearer {door.token}"}).status_code == 401
