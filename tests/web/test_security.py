"""What protects browsers: headers, cookies, cross-site checks, throttles."""

from __future__ import annotations

from typing import Any

import pytest

from kb.app import build
from kb.settings import Settings
from tests.web.conftest import PASSWORD, World
from web import create_app
from web.limits import Buckets, Throttle, network

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@pytest.mark.parametrize(
    "path", ["/", "/login", "/documents", "/app/documents", "/api/docs", "/nowhere", "/livez"]
)
def test_headers(world: World, path: str) -> None:
    response = world.browser("admin").get(path)
    assert {name: response.headers.get(name) for name in HEADERS} == HEADERS
    assert "Strict-Transport-Security" not in response.headers
    assert "Access-Control-Allow-Origin" not in response.headers


def test_pages_hold_no_inline_script_or_style(world: World) -> None:
    import re

    browser = world.browser("admin")
    for path in (
        "/",
        "/documents",
        "/faq",
        "/admin",
        "/admin/users",
        "/admin/keys",
        "/account",
        "/login",
        "/api/docs",
    ):
        page = browser.get(path).get_data(as_text=True)
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", page), path
        assert not re.search(r"""(?:src|href|action)=["'](?:https?:)?//""", page), path


def cross_site() -> list[tuple[dict[str, str], bool]]:
    return [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"}, False),
        ({"Origin": "http://localhost"}, True),
        ({"Origin": "http://localhost.evil.example"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({}, False),
    ]


@pytest.mark.parametrize(("headers", "good"), cross_site())
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/app/ask"), ("DELETE", "/app/documents/x"), ("PATCH", "/app/faq/x"), ("POST", "/logout"), ("POST", "/login"), ("POST", "/setup/x"), ("POST", "/account")],
)  # fmt: skip
def test_cross_site_requests(
    world: World, method: str, path: str, headers: dict[str, str], good: bool
) -> None:
    browser = world.browser("admin")
    browser.headers = headers
    response = browser(method, path, json={"question": "x"})
    refused = response.status_code == 403 and "cross-site" in response.get_data(as_text=True)
    assert refused is not good


def test_signing_in_and_out(world: World) -> None:
    browser = world.browser("")
    wrong = browser.post("/login", data={"email": "reader@example.com", "password": "not it"})
    assert wrong.status_code == 401 and "do not match" in wrong.get_data(as_text=True)
    unknown = browser.post("/login", data={"email": "nobody@example.com", "password": "not it"})
    assert unknown.get_data(as_text=True).replace("nobody", "reader") == wrong.get_data(as_text=True)
    right = browser.post(
        "/login", data={"email": " Reader@Example.com ", "password": PASSWORD, "next": "/documents"}
    )
    assert (right.status_code, right.headers["Location"]) == (303, "/documents")
    cookie = right.headers["Set-Cookie"]
    assert (
        cookie.startswith("kb_session=")
        and "HttpOnly" in cookie
        and "SameSite=Lax" in cookie
        and "Path=/" in cookie
    )
    assert browser.get("/").status_code == 200
    token = browser.client.get_cookie("kb_session").value  # type: ignore[union-attr]
    assert browser.post("/logout").status_code == 303
    assert world.kb.sessions.principal(token) is None
    assert browser.get("/").status_code == 302


def test_a_session_is_never_kept_over_sign_in(world: World) -> None:
    browser = world.browser("other")
    before = browser.client.get_cookie("kb_session").value  # type: ignore[union-attr]
    browser.post("/login", data={"email": "reader@example.com", "password": PASSWORD})
    assert browser.client.get_cookie("kb_session").value != before  # type: ignore[union-attr]
    assert world.kb.sessions.principal(before) is None


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/\n/evil", ""],
)
def test_sign_in_leads_nowhere_else(world: World, target: str) -> None:
    response = world.browser("").post(
        "/login", data={"email": "reader@example.com", "password": PASSWORD, "next": target}
    )
    assert response.headers["Location"] == "/"


def test_https_binds_the_cookie(world: World) -> None:
    settings = Settings(data=world.kb.settings.data, public_url="https://kb.example")
    app = create_app(build(settings, db=world.kb.db, index=world.kb.index))
    response = app.test_client().post(
        "/login",
        data={"email": "reader@example.com", "password": PASSWORD},
        headers={"Origin": "https://kb.example"},
    )
    cookie = response.headers["Set-Cookie"]
    assert (
        cookie.startswith("__Host-kb_session=")
        and "Secure" in cookie
        and "Path=/" in cookie
        and "Domain" not in cookie
    )
    assert response.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"


def test_guessing_passwords_is_throttled_by_account(world: World) -> None:
    client = world.app.test_client()
    answers = []
    for n in range(world.kb.settings.login_attempts + 1):
        answers.append(
            client.post(
                "/login",
                data={"email": "reader@example.com", "password": f"guess {n}"},
                headers={"Sec-Fetch-Site": "same-origin"},
                environ_base={"REMOTE_ADDR": f"192.0.2.{n}"},
            )
        )
    assert [a.status_code for a in answers] == [401] * world.kb.settings.login_attempts + [429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    held = client.post(
        "/login",
        data={"email": "reader@example.com", "password": PASSWORD},
        headers={"Sec-Fetch-Site": "same-origin"},
        environ_base={"REMOTE_ADDR": "192.0.2.200"},
    )
    assert held.status_code == 429


def test_guessing_is_throttled_by_address_and_success_is_not(world: World) -> None:
    browser = world.browser("")
    for _ in range(world.kb.settings.login_attempts + 2):
        assert (
            browser.post("/login", data={"email": "reader@example.com", "password": PASSWORD}).status_code
            == 303
        )
    for n in range(world.kb.settings.login_attempts):
        browser.post("/login", data={"email": f"guess{n}@example.com", "password": "x"})
    assert (
        browser.post("/login", data={"email": "editor@example.com", "password": PASSWORD}).status_code == 429
    )


def test_guessing_keys_is_throttled(world: World) -> None:
    client = world.app.test_client()
    statuses = [
        client.get(
            "/api/v1/collections", headers={"Authorization": f"Bearer kb_{n:012d}_{'x' * 43}"}
        ).status_code
        for n in range(world.kb.settings.login_attempts * 5 + 1)
    ]
    assert statuses[0] == 401 and statuses[-1] == 429


def test_the_first_admin(world: World) -> None:
    for name in ("admin", "disabled"):
        with world.kb.db.write() as session:
            from kb.store.tables import UserRow

            session.delete(session.get_one(UserRow, f"usr_{name}"))
    token = world.kb.users.first_admin_token()
    browser = world.browser("")
    assert browser.get(f"/setup/{token}").status_code == 200
    fields = {
        "name": "Ada",
        "email": "ada@example.com",
        "password": "correct horse battery",
        "again": "correct horse battery",
    }
    assert browser.post(f"/setup/{token}", data={**fields, "again": "something else"}).status_code == 422
    assert (
        browser.post(f"/setup/{token}", data={**fields, "password": "short", "again": "short"}).status_code
        == 422
    )
    done = browser.post(f"/setup/{token}", data=fields)
    assert (done.status_code, done.headers["Location"]) == (303, "/")
    assert browser.get("/admin").status_code == 200
    for path in (f"/setup/{token}", "/setup/unknown"):
        assert browser.get(path).status_code == 404
        assert browser.post(path, data={**fields, "email": "eve@example.com"}).status_code == 404


def test_changing_ones_password(world: World) -> None:
    browser, elsewhere = world.browser("reader"), world.browser("reader")
    new = {"password": "another long password", "again": "another long password"}
    assert browser.post("/account", data={"old": "not it", **new}).status_code == 422
    assert browser.post("/account", data={"old": PASSWORD, **new}).status_code == 303
    assert browser.get("/").status_code == 200 and elsewhere.get("/").status_code == 302
    assert world.kb.users.verify("reader@example.com", "another long password").id == "usr_reader"


def test_rate_limit(world: World) -> None:
    settings = Settings(data=world.kb.settings.data, requests_per_minute=3)
    app = create_app(build(settings, db=world.kb.db, index=world.kb.index))
    rest = World(world.kb, app, world.keys).rest
    answers = [rest("read").get("/collections") for _ in range(4)]
    assert [a.status_code for a in answers] == [200, 200, 200, 429]
    assert [a.headers["RateLimit-Remaining"] for a in answers] == ["2", "1", "0", "0"]
    assert answers[-1].headers["RateLimit-Limit"] == "3" and int(answers[-1].headers["Retry-After"]) >= 1
    assert answers[-1].get_json()["type"] == "/problems/rate-limited"
    assert rest("all").get("/collections").status_code == 200


def test_buckets_refill() -> None:
    now = [0.0]
    buckets = Buckets(60, clock=lambda: now[0])
    assert all(buckets.take("a").wait_s == 0 for _ in range(60))
    assert buckets.take("a").wait_s == 1
    now[0] = 1.0
    assert buckets.take("a").wait_s == 0 and buckets.take("a").wait_s == 1


def test_throttles_forget() -> None:
    from kb.errors import RateLimited

    now = [0.0]
    throttle = Throttle(2, window_s=10, clock=lambda: now[0])
    throttle.attempt("a")
    throttle.attempt("a")
    with pytest.raises(RateLimited) as held:
        throttle.attempt("a", "b")
    assert held.value.retry_after == 10 and throttle.blocked("a") == 10 and throttle.blocked("b") == 0
    now[0] = 10.0
    throttle.attempt("a")


@pytest.mark.parametrize(
    ("address", "counted"),
    [("192.0.2.7", "192.0.2.7"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("::ffff:192.0.2.7", "192.0.2.7"), ("x", "unknown"), (None, "unknown")],
)  # fmt: skip
def test_addresses(address: Any, counted: str) -> None:
    assert network(address) == counted


def test_forwarded_addresses_are_believed_from_proxies_only(world: World) -> None:
    def seen(proxies: int) -> int:
        app = create_app(
            build(
                Settings(data=world.kb.settings.data, trusted_proxies=proxies),
                db=world.kb.db,
                index=world.kb.index,
            )
        )
        client = app.test_client()
        for n in range(world.kb.settings.login_attempts):
            client.post(
                "/login",
                data={"email": f"g{n}@example.com"},
                headers={"Sec-Fetch-Site": "same-origin", "X-Forwarded-For": f"192.0.2.{n}"},
            )
        return client.post(
            "/login",
            data={"email": "z@example.com"},
            headers={"Sec-Fetch-Site": "same-origin", "X-Forwarded-For": "192.0.2.99"},
        ).status_code

    assert (seen(0), seen(1)) == (429, 401)
