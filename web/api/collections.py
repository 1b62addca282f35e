"""Collections: named sets of documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response

from web.endpoints import Reply, endpoint, page, reply
from web.responses import CollectionList, CollectionOut
from web.schemas import CollectionIn, Paging, TitlePatch

if TYPE_CHECKING:
    from kb.app import Kb
    from kb.types import Principal


@endpoint(
    "GET",
    "/collections",
    scope=None,
    tag="Collections",
    query=Paging,
    replies={200: Reply(CollectionList, "What the caller may read, by name.")},
)
def list_collections(kb: Kb, principal: Principal, *, query: Paging) -> Response:
    """List collections."""
    rows, following = kb.collections.page(principal, query.cursor, query.limit)
    return page(CollectionOut, list(rows), following)


@endpoint(
    "POST",
    "/collections",
    scope="documents:write",
    tag="Collections",
    body=CollectionIn,
    replies={201: Reply(CollectionOut, "Created.")},
)
def create_collection(kb: Kb, principal: Principal, *, body: CollectionIn) -> Response:
    """Create a collection. People see it once they are granted it; `everyone` grants it to all."""
    made = kb.collections.create(
        principal, body.name, body.title or body.name, body.audience, everyone=body.everyone
    )
    return reply(CollectionOut.model_validate(made), 201)


@endpoint(
    "PATCH",
    "/collections/{name}",
    scope="admin",
    tag="Collections",
    body=TitlePatch,
    replies={200: Reply(CollectionOut, "As it is called now.")},
)
def rename_collection(kb: Kb, principal: Principal, *, name: str, body: TitlePatch) -> Response:
    """Change a collection's title. Its name stays."""
    return reply(CollectionOut.model_validate(kb.collections.rename(principal, name, body.title)))


@endpoint(
    "DELETE",
    "/collections/{name}",
    scope="admin",
    tag="Collections",
    replies={204: Reply(None, "Gone, with its documents and FAQ entries.")},
)
def delete_collection(kb: Kb, principal: Principal, *, name: str) -> Response:
    """Delete a collection with everything in it."""
    kb.collections.delete(principal, name)
    return reply(None)
