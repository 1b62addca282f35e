"""Who comes in by which door, decided before any handler runs; a route without a policy stays shut.

Four doors:
    rest   /api/v1/…  a bearer key; cookies are not looked at, so no page can make a browser use it
    app    /app/…     the session cookie, JSON; a bearer is not looked at
    page   pages      the session cookie; without one, off to /login
    open   nothing is asked (livez, static files, login, set-up link, problem pages)

Cookie doors and `open` refuse unsafe requests that did not start on kb's own pages (cross-site
request forgery): browsers say so in Sec-Fetch-Site, older ones in Origin; neither is a refusal too.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, urlsplit

from flask import Flask, Response, current_app, g, redirect, request
from werkzeug.exceptions import NotFound as NothingHere

from kb.errors import Forbidden, RateLimited, TooLarge, Unauthenticated
from kb.local_access import LocalDoor, opens
from kb.store.scope import SYSTEM
from web.limits import Allowance, Buckets, Throttle, network
from web.requests import in_hand
from web.revocation import RECHECK_S

if TYPE_CHECKING:
    from kb.app import Kb
    from kb.types import Principal

Door = Literal["rest", "app", "page", "open"]
SAFE = ("GET", "HEAD", "OPTIONS")
LONGEST = 4000  # characters of the way back that /login is given; servers take request lines up to some 8000
_REQUEST_ID = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


@dataclass(frozen=True)
class Policy:
    """What a route asks of its caller. scope None: any known caller."""

    door: Door
    scope: str | None = None


class Doors:
    """The policies of an application and the state that checking them needs."""

    def __init__(self, kb: Kb, local: LocalDoor | None) -> None:
        self.kb, self.local = kb, local
        self.policies: dict[str, Policy] = {"static": Policy("open")}
        self.buckets = Buckets(kb.settings.requests_per_minute)
        self.sign_ins = Throttle(kb.settings.login_attempts)
        self.bad_keys = Throttle(kb.settings.login_attempts * 5)

    @property
    def https(self) -> bool:
        """Whether people come over https, so that the cookie may be bound to it."""
        return self.kb.settings.public_url.startswith("https://") or request.is_secure

    @property
    def cookie(self) -> str:
        """Name of the session cookie; __Host- pins it to this host and to https."""
        return "__Host-kb_session" if self.https else "kb_session"


def doors() -> Doors:
    """Those of the running application."""
    found: Doors = current_app.extensions["kb.doors"]
    return found


def principal() -> Principal:
    """Who is asking; set for every route that is not open."""
    found: Principal = g.principal
    return found


def again() -> Callable[[], Principal]:
    """Finds out anew who is asking, also when the request's context is gone. Unauthenticated: nobody, any more."""
    found: Callable[[], Principal] = g.again
    return found


def standing() -> Principal:
    """As `principal`, found out anew where the request's body took its time: a key may have been revoked meanwhile."""
    if time.monotonic() - g.entered < RECHECK_S:
        return principal()
    g.principal = found = again()()
    _needs(found, doors().policies[request.endpoint or ""])
    return found


def route(
    app: Flask, rule: str, policy: Policy, view: Callable[..., Any], *, methods: tuple[str, ...], name: str
) -> None:
    """Add a route together with its policy."""
    app.extensions["kb.doors"].policies[name] = policy
    app.add_url_rule(rule, name, view, methods=methods, strict_slashes=False)


def install(app: Flask, kb: Kb, local: LocalDoor | None) -> None:
    """Check every request, and count it, before anything else sees it."""
    app.extensions["kb.doors"] = Doors(kb, local)
    app.before_request(_identify)
    app.before_request(_guard)
    app.after_request(_headers)


def _identify() -> None:
    given = request.headers.get("X-Request-Id", "")
    fits = 0 < len(given) <= 64 and _REQUEST_ID.issuperset(given)
    g.request_id = given if fits else uuid.uuid4().hex


def _guard() -> Response | None:
    if request.endpoint is None:
        return None  # no such address, or not with this method: Flask answers
    policy = doors().policies.get(request.endpoint)
    if policy is None:
        raise NothingHere
    if policy.door == "open":
        if request.method not in SAFE:
            _same_site()
            _small_form()
        return None
    try:
        g.principal = found = _by_key() if policy.door == "rest" else _by_cookie()
    except Unauthenticated:
        if policy.door == "page" and request.method in SAFE:
            after = quote(request.full_path.rstrip("?"), safe="")
            if len(after) > LONGEST:
                after = quote(request.path, safe="")
            return redirect("/login" if after == "%2F" else f"/login?next={after}")  # type: ignore[return-value]
        raise
    g.entered = time.monotonic()
    if policy.door != "rest" and request.method not in SAFE:
        _same_site()
        if policy.door == "page":
            _small_form()
    _count(f"{found.kind}:{found.id}")
    _needs(found, policy)
    return None


def _small_form() -> None:
    """No thread waits for the rest of a large form, of whomever."""
    if not in_hand():
        raise TooLarge("A form of this size is not taken here.")


def _needs(found: Principal, policy: Policy) -> None:
    if policy.scope is None or found.may(policy.scope):
        return
    if policy.door == "page":
        raise NothingHere
    raise Forbidden(
        f"This needs the scope `{policy.scope}`, which {'this key' if found.kind == 'key' else 'your role'} lacks."
    )


def _by_key() -> Principal:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        _count(f"address:{network(request.remote_addr)}")
        raise Unauthenticated("Send an API key as `Authorization: Bearer kb_…`; `kb key create` makes one.")
    if opens(doors().local, token):
        g.again = lambda: SYSTEM
        return SYSTEM
    g.again = partial(doors().kb.keys.authenticate, token)
    try:
        return doors().kb.keys.authenticate(token)
    except Unauthenticated:
        # A key is looked at first: one program's old key must not shut out the others at its address.
        name = f"address:{network(request.remote_addr)}"
        if wait := doors().bad_keys.blocked(name):
            raise RateLimited(
                "Too many unknown keys from this address. Please wait.", retry_after=wait
            ) from None
        doors().bad_keys.attempt(name)
        raise


def _by_cookie() -> Principal:
    g.again = partial(_in_session, doors().kb, request.cookies.get(doors().cookie, ""))
    found: Principal = g.again()
    return found


def _in_session(kb: Kb, token: str) -> Principal:
    found = kb.sessions.principal(token)
    if found is None:
        raise Unauthenticated("Your session has ended. Please sign in again.")
    return found


def _same_site() -> None:
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        if site in ("same-origin", "none"):
            return
    else:
        origin = urlsplit(request.headers.get("Origin", ""))
        public = urlsplit(doors().kb.settings.public_url)
        if origin.netloc and origin.netloc in (request.host, public.netloc):
            return
    raise Forbidden(
        "This request did not start on kb's own pages, so it was refused. Reload the page and try again.",
        slug="cross-site",
    )


def _count(caller: str) -> None:
    g.allowance = doors().buckets.take(caller)
    if g.allowance.wait_s:
        raise RateLimited(
            f"More than {g.allowance.limit} requests a minute. Please wait {g.allowance.wait_s} s.",
            retry_after=g.allowance.wait_s,
        )


CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


def _headers(response: Response) -> Response:
    set_default = response.headers.setdefault
    response.headers["X-Request-Id"] = g.get("request_id", "")
    if response.status_code == 204:
        response.headers.pop("Content-Type", None)  # nothing is of no type
    set_default("Content-Security-Policy", CSP)
    set_default("X-Content-Type-Options", "nosniff")
    set_default("Referrer-Policy", "no-referrer")
    set_default("X-Frame-Options", "DENY")
    set_default("Cross-Origin-Opener-Policy", "same-origin")
    set_default("Cross-Origin-Resource-Policy", "same-origin")
    set_default("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
    set_default("Cache-Control", "no-store")
    if doors().https:
        set_default("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
    allowance: Allowance | None = g.get("allowance")
    if allowance is not None:
        response.headers["RateLimit-Limit"] = str(allowance.limit)
        response.headers["RateLimit-Remaining"] = str(allowance.remaining)
        response.headers["RateLimit-Reset"] = str(allowance.reset_s)
    return response
