"""Signing in and out, and the one-time link that creates the first admin.

Guessing is slowed by account and by address, both before a password is looked at.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Flask, Response, make_response, redirect, render_template, request

from kb.errors import Conflict, Invalid, KbError, NotFound, RateLimited, Unauthenticated
from web import auth
from web.auth import Policy
from web.limits import network

if TYPE_CHECKING:
    from kb.app import Kb
    from kb.types import Principal


def install(app: Flask, kb: Kb) -> None:
    """Add /login, /logout, /setup/<token> and /account."""
    both = ("GET", "POST")
    auth.route(app, "/login", Policy("open"), partial(_login, kb), methods=both, name="login")
    auth.route(app, "/setup/<token>", Policy("open"), partial(_setup, kb), methods=both, name="setup")
    auth.route(app, "/logout", Policy("open"), partial(_logout, kb), methods=("POST",), name="logout")
    auth.route(app, "/account", Policy("page"), partial(_account, kb), methods=both, name="account")


def _login(kb: Kb) -> Response:
    if request.method == "GET":
        return _form("login.html", next=_inside(request.args.get("next")))
    email, password = request.form.get("email", "").strip(), request.form.get("password", "")
    onward = _inside(request.form.get("next"))
    names = (f"account:{email.lower()[:200]}", f"address:{network(request.remote_addr)}")
    try:
        auth.doors().sign_ins.attempt(*names)
        principal = kb.users.verify(email, password)
    except (Unauthenticated, Invalid):
        return _form(
            "login.html",
            401,
            next=onward,
            email=email,
            wrong="That e-mail address and password do not match.",
        )
    except RateLimited as error:
        response = _form("login.html", 429, next=onward, email=email, wrong=error.detail)
        response.headers["Retry-After"] = str(error.retry_after or 60)
        return response
    auth.doors().sign_ins.succeeded(*names)
    return _enter(kb, principal, onward)


def _setup(kb: Kb, token: str) -> Response:
    if not kb.users.setup_open(token):
        return _form("setup.html", 404, gone=True)
    if request.method == "GET":
        return _form("setup.html")
    email, name = request.form.get("email", "").strip(), request.form.get("name", "").strip()
    password = request.form.get("password", "")
    if password != request.form.get("again", ""):
        return _form("setup.html", 422, email=email, name=name, wrong="The two passwords are not the same.")
    address = f"setup:{network(request.remote_addr)}"
    try:
        auth.doors().sign_ins.attempt(address)
        principal = kb.users.redeem(token, email, name, password)
    except (Invalid, Conflict, RateLimited) as error:
        return _form("setup.html", error.status, email=email, name=name, wrong=error.detail)
    except (NotFound, Unauthenticated):
        return _form("setup.html", 404, gone=True)
    auth.doors().sign_ins.succeeded(address)
    return _enter(kb, principal, "/")


def _logout(kb: Kb) -> Response:
    token = request.cookies.get(auth.doors().cookie)
    if token:
        kb.sessions.end(token)
    response = make_response(redirect("/login", 303))
    response.delete_cookie(auth.doors().cookie, path="/", secure=auth.doors().https, httponly=True)
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


def _account(kb: Kb) -> Response:
    me = auth.principal()
    if request.method == "GET":
        return _form("account.html")
    old, new = request.form.get("old", ""), request.form.get("password", "")
    if new != request.form.get("again", ""):
        return _form("account.html", 422, wrong="The two new passwords are not the same.")
    name = f"account-id:{me.id}"
    try:
        auth.doors().sign_ins.attempt(name)
        kb.users.verify(_email(kb, me), old)
        kb.users.set_password(me.id, new, principal=me)
    except Unauthenticated:
        return _form("account.html", 422, wrong="The current password is not right.")
    except KbError as error:
        return _form("account.html", error.status, wrong=error.detail)
    auth.doors().sign_ins.succeeded(name)
    return _enter(kb, me, "/account?changed=1")


def _email(kb: Kb, me: Principal) -> str:
    return next((user.email for user in kb.users.list() if user.id == me.id), "")


def _enter(kb: Kb, principal: Principal, onward: str) -> Response:
    """A new session, never one that was there before sign-in, and on to the page."""
    old = request.cookies.get(auth.doors().cookie)
    if old:
        kb.sessions.end(old)
    days = kb.settings.session_days
    response = make_response(redirect(onward, 303))
    response.set_cookie(
        auth.doors().cookie,
        kb.sessions.start(principal, days),
        max_age=days * 86400,
        path="/",
        httponly=True,
        samesite="Lax",
        secure=auth.doors().https,
    )
    return response


def _form(template: str, status: int = 200, **values: object) -> Response:
    return make_response(render_template(template, **values), status)


def _inside(target: str | None) -> str:
    """A path of our own to go on to; anything else is the start page."""
    target = target or "/"
    parts = urlsplit(target)
    safe = not parts.scheme and not parts.netloc and target.isprintable() and "\\" not in target
    return target if safe and target.startswith("/") and not target.startswith("//") else "/"
