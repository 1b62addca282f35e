"""`kb serve`: the web server alone."""

from __future__ import annotations

import click

from kb.ops.port import require_free
from kb.settings import Settings


@click.command()
@click.option("--host", help="Address to listen on (KB_HOST).")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on (KB_PORT).")
def serve(host: str | None, port: int | None) -> None:
    """Run the web server alone: pages and REST, without the ingestion worker."""
    from web.server import Server

    settings = Settings()
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = settings.model_copy(update=given)
    require_free(settings.host, settings.port, patience_s=5)
    Server(settings).run()
