"""Asking the server that already runs on this state directory, through its local door.

The running server has the indexes in memory; loading them here again would cost a second and their
size. Standard library only, so that `kb ask` starts quickly.
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kb.errors import KbError, Unavailable
from kb.local_access import find_door


def state_directory() -> Path:
    """Where this kb's state is, read as kb.settings reads it, without its 200 ms of imports."""
    if named := os.environ.get("KB_DATA"):
        return Path(named)
    file = Path(os.environ.get("KB_CONFIG", "kb.toml"))
    if file.is_file():
        import tomllib

        return Path(tomllib.loads(file.read_text()).get("data", "data/state"))
    return Path("data/state")


class NotRunning(Exception):
    """No server answers at the door: do the work in this process instead."""


def post(data: Path, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """One JSON answer. NotRunning if there is no server; KbError for the server's own problems."""
    response = _request(data, path, body, "application/json")
    return dict(_json(response))


def stream(data: Path, path: str, body: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """(event, data) pairs of a server-sent stream; one that breaks off just ends."""
    response = _request(data, path, body, "text/event-stream")
    event, lines = "message", list[str]()
    while raw := _line(response):
        line = raw.decode().rstrip("\r\n")
        if not line:
            if lines:
                yield event, json.loads("\n".join(lines))
            event, lines = "message", []
        elif line.startswith("event:"):
            event = line[6:].strip()
        elif line.startswith("data:"):
            lines.append(line[5:].removeprefix(" "))


def _line(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.readline()
    except (http.client.HTTPException, OSError):
        return b""


def _request(data: Path, path: str, body: dict[str, Any], accept: str) -> http.client.HTTPResponse:
    door = find_door(data)
    if door is None:
        raise NotRunning
    address = urlsplit(door.url)
    connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port, timeout=300)
    headers = {"Authorization": f"Bearer {door.token}", "Content-Type": "application/json", "Accept": accept}
    try:
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
    except ConnectionError:
        raise NotRunning from None
    except OSError as error:
        raise Unavailable(f"The server at {door.url} does not answer: {error}") from None
    if response.status == 401:  # the file is older than the server behind the port
        raise NotRunning
    if response.status >= 400:
        raise _refused(_json(response), response.reason)
    return response


def _refused(problem: dict[str, Any], otherwise: str) -> KbError:
    """The server's problem as the error it was there; wrong fields are named one by one."""
    detail = str(problem.get("detail") or problem.get("title") or otherwise)
    wrong = [
        f"{e['pointer'].strip('/') or 'the request'}: {e['detail']}" for e in problem.get("errors") or ()
    ]
    error = KbError("; ".join(wrong) or detail)
    error.title = str(problem.get("title") or error.title)
    return error


def _json(response: http.client.HTTPResponse) -> Any:
    try:
        return json.loads(response.read())
    except (http.client.HTTPException, OSError):
        raise Unavailable("The server broke off before the answer was complete. Ask again.") from None
    except ValueError:
        raise Unavailable(
            "The server's answer is no JSON; is another program listening on its port?"
        ) from None
