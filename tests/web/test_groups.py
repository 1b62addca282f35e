"""The Access page's calls: a group's grant is its members', as long as they are."""

from __future__ import annotations

from tests.web.conftest import World


def test_a_grant_to_a_group_begins_and_ends_with_membership(world: World) -> None:
    admin, other = world.browser("admin"), world.browser("other")

    def seen() -> set[str]:
        return {row["name"] for row in other.get("/app/collections").get_json()["data"]}

    assert admin.post("/app/collections", json={"name": "plans"}).status_code == 201
    made = admin.post("/app/groups", json={"name": "Sales"})
    assert made.status_code == 201
    group = made.get_json()["id"]
    assert admin.post("/app/groups", json={"name": "Sales"}).get_json()["type"] == "/problems/group-exists"
    grant = {"subject_kind": "group", "subject_id": group, "permission": "read"}
    assert admin.post("/app/collections/plans/grants", json=grant).status_code == 204
    assert "plans" not in seen()
    member = {"user_id": world.people["other"].id, "member": True}
    assert admin.post(f"/app/groups/{group}/members", json=member).status_code == 204
    assert "plans" in seen()
    (row,) = admin.get("/app/groups").get_json()["data"]
    assert row == {"id": group, "name": "Sales", "members": [world.people["other"].id]}
    assert admin.post(f"/app/groups/{group}/members", json={**member, "member": False}).status_code == 204
    assert "plans" not in seen()
    admin.post(f"/app/groups/{group}/members", json=member)
    assert admin("DELETE", f"/app/groups/{group}").status_code == 204
    assert "plans" not in seen()
    assert admin.get("/app/collections/plans/grants").get_json()["data"] == [
        {"subject_kind": "user", "subject_id": world.people["admin"].id, "permission": "write"}
    ]


def test_the_page_names_every_collection(world: World) -> None:
    page = world.browser("admin").get("/admin/access").text
    assert 'data-name="docs"' in page and "access.js" in page
    assert world.browser("reader").get("/admin/access").status_code == 404
