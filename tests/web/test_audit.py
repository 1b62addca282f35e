"""The audit log as admins read it."""

from __future__ import annotations

from kb.store import SYSTEM
from kb.store.audit import ACTIONS
from tests.web.conftest import World
from web.pages.audit import WORDS


def test_every_action_has_words() -> None:
    assert set(WORDS) == set(ACTIONS)


def test_admins_read_who_did_what_by_name(world: World) -> None:
    admin = world.browser("admin")
    admin.upload(b"text", "new.txt")
    (group,) = [admin.post("/app/groups", json={"name": "Sales"}).get_json()["id"]]
    grant = {"subject_kind": "group", "subject_id": group, "permission": "read"}
    assert admin.post("/app/collections/docs/grants", json=grant).status_code == 204
    everyone = {"subject_kind": "everyone", "permission": "read"}
    assert admin.post("/app/collections/docs/grants", json=everyone).status_code == 204
    world.kb.faqs.create(SYSTEM, question="How long?", answer="Two days.", collection="docs")
    world.kb.documents.delete(SYSTEM, world.documents["holiday"])
    assert admin("PATCH", "/app/collections/docs", json={"title": "Rules"}).status_code == 200

    rows = admin.get("/app/audit?limit=7").get_json()
    said = [(row["who"], row["what"], row["object"], row["detail"]) for row in rows["data"]]
    me = next(user.email for user in world.kb.users.list() if user.role == "admin")
    assert said == [
        (me, "renamed a collection", "docs", "title: Rules"),
        ("kb", "deleted a document", "holiday.txt", ""),
        ("kb", "added an FAQ entry", "How long?", ""),
        (me, "gave access to a collection", "docs", "to: everyone; may: read"),
        (me, "gave access to a collection", "docs", "to: Sales; may: read"),
        (me, "made a group", "Sales", ""),
        (me, "added a document", "new.txt", "revision: 1"),
    ]
    assert admin.get(f"/app/audit?cursor={rows['next']}").get_json()["data"]
    assert 'id="audit"' in admin.get("/admin/audit").get_data(as_text=True)
    assert world.browser("curator").get("/app/audit").status_code == 403
