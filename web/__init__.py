"""The door: chat page, upload page, REST. It turns requests into calls on `kb` and events into bytes.

`create_app(kb)` is all that others need from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

if TYPE_CHECKING:
    from kb.app import Kb
    from kb.local_access import LocalDoor

__all__ = ["create_app"]


def create_app(kb: Kb, local: LocalDoor | None = None) -> Flask:
    """The Flask application on one `Kb`. local: the door that `kb ask` on the same machine uses."""
    from web import (  # noqa: F401 (api fills the table)
        api,
        auth,
        endpoints,
        health,
        logs,
        pages,
        problems,
        requests,
        transfers,
    )

    logs.configure()
    app = Flask(__name__)
    app.request_class = requests.KbRequest
    app.config.update(
        INCOMING=kb.settings.data / "incoming",
        MAX_CONTENT_LENGTH=requests.JSON_LIMIT,
        PROVIDE_AUTOMATIC_OPTIONS=False,
        SEND_FILE_MAX_AGE_DEFAULT=0,
    )
    app.jinja_options = {"autoescape": True, "trim_blocks": True, "lstrip_blocks": True}
    app.extensions["kb.places"] = transfers.Places()
    auth.install(app, kb, local)
    problems.install(app)
    endpoints.mount(app, kb)
    health.install(app, kb)
    pages.install(app, kb)
    if proxies := kb.settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=proxies)  # type: ignore[method-assign]
    return app
