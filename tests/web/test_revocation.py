"""What is taken away while an answer is made, or a file sent, is gone at once and not with the next request only."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kb.store import SYSTEM
from kb.types import Event
from tests.web.conftest import Caller, World, events
from web import auth, revocation


@pytest.fixture(autouse=True)
def looking_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation, "RECHECK_S", 0.0)
    monkeypatch.setattr(auth, "RECHECK_S", 0.0)


def told(world: World, caller: Caller, change: Callable[[], Any]) -> list[tuple[str, Any]]:
    """What an asker is told when the change comes between the sources and the words made of them."""
    found = world.kb.retriever.retrieve(SYSTEM, "holiday")

    def script(cancel: Any) -> Iterator[Event]:
        yield Event("sources", {"passages": found.passages})
        change()
        yield Event("token", {"text": "27 days"})
        yield Event("status", {"message": "still writing", "position": 0})

    world.kb.asker.script = script  # type: ignore[attr-defined]
    response = caller.ask("holiday", headers={"Accept": "text/event-stream"})
    # the change may be there before the first event is told: then there is no stream, but a plain error
    return [("error", response.get_json())] if response.is_json else events(response)


def ids(world: World) -> dict[str, str]:
    return {key.name: key.id for key in world.kb.keys.list()}


def test_a_key_that_is_revoked(world: World) -> None:
    seen = told(world, world.rest("read"), lambda: world.kb.keys.revoke(ids(world)["read"]))
    assert "27 days" not in [event[1].get("text") for event in seen]
    assert seen[-1][0] == "error" and seen[-1][1]["status"] == 401


@pytest.mark.parametrize("change", ["disable", "password", "sign out"])
def test_a_session_that_ends(world: World, change: str) -> None:
    caller = world.browser("reader")
    cookie = caller.client.get_cookie("kb_session")
    assert cookie
    changes: dict[str, Callable[[], Any]] = {
        "disable": lambda: world.kb.users.disable("usr_reader"),
        "password": lambda: world.kb.users.set_password("usr_reader", "another long password"),
        "sign out": lambda: world.kb.sessions.end(cookie.value),
    }
    seen = told(world, caller, changes[change])
    assert "27 days" not in [event[1].get("text") for event in seen]
    assert seen[-1][0] == "error" and seen[-1][1]["status"] == 401


def test_a_role_that_is_lowered(world: World) -> None:
    seen = told(world, world.browser("admin"), lambda: world.kb.users.set_role("usr_admin", "reader"))
    assert "27 days" not in [event[1].get("text") for event in seen]
    assert seen[-1][0] == "error" and seen[-1][1]["status"] == 409


@pytest.mark.parametrize("change", ["delete", "revoke"])
def test_sources_that_go_are_not_told_of_any_more(world: World, change: str) -> None:
    changes: dict[str, Callable[[], Any]] = {
        "delete": lambda: world.kb.documents.delete(SYSTEM, world.documents["holiday"]),
        "revoke": lambda: world.kb.collections.revoke("docs", "user", "usr_reader"),
    }
    seen = told(world, world.browser("reader"), changes[change])
    # the answer goes on to its end, where its maker withholds what was made of them
    assert [event[0] for event in seen] == ["sources", "status", "error"]


def test_nothing_changed(world: World) -> None:
    seen = told(world, world.browser("reader"), lambda: None)
    assert [event[0] for event in seen][:3] == ["sources", "token", "status"]
    assert (
        world.rest("read").ask("holiday").status_code == 503
    )  # a plain request is looked at, too; it has no end
    local = world.browser("admin")
    world.kb.asker.script = None  # type: ignore[attr-defined]
    assert local.ask("holiday").get_json()["tier"] == "extractive"


class Revoking(io.BytesIO):
    """A file whose sender's key is revoked before its last byte is there."""

    def __init__(self, text: bytes, revoke: Callable[[], Any]) -> None:
        super().__init__(text)
        self.revoke = revoke

    def readinto(self, buffer: Any) -> int:
        self.revoke()
        return super().readinto(buffer)


def test_a_key_that_is_revoked_while_a_file_comes_in(world: World) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="collection"\r\n\r\ndocs\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="late.txt"\r\n\r\nlate\r\n--b--\r\n'
    )
    rest = world.rest("ingest")
    response = rest.post(
        "/documents",
        input_stream=Revoking(body, lambda: world.kb.keys.revoke(ids(world)["ingest"])),
        content_type="multipart/form-data; boundary=b",
        headers={"Content-Length": str(len(body))},
    )
    assert response.status_code == 401
    assert "late.txt" not in {document.title for document in world.kb.documents.list(SYSTEM)[0]}


def test_an_old_key_does_not_shut_out_the_others_at_its_address(world: World) -> None:
    client = world.app.test_client()
    for n in range(world.kb.settings.login_attempts * 5 + 1):
        headers = {"Authorization": f"Bearer kb_{n:012d}_{'x' * 43}"}
        last = client.get("/api/v1/collections", headers=headers)
    assert last.status_code == 429 and int(last.headers["Retry-After"]) > 0
    assert world.rest("read").get("/collections").status_code == 200
