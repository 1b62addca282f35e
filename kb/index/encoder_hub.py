"""Whether the model hub can be reached, asked in seconds, before half an hour is given to a download.

The libraries that download retry for minutes against a hub that does not answer. HF_ENDPOINT names
another hub, HF_HUB_OFFLINE=1 forbids asking; both are those libraries' own.
"""

from __future__ import annotations

import contextlib
import os
import threading
from urllib.parse import urlsplit

import httpx

from kb.errors import Unavailable

CONNECT_S = 5.0  # to connect, and again to answer
ANSWER_S = 12.0  # for everything: looking a name up has no clock of its own


def offline(encoder: str, way_out: str) -> bool:
    """Whether the encoder must come from the hub's cache on this machine, since the hub cannot be asked.

    way_out: what to do instead, for the error. Raises Unavailable when it is not in the cache either.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    if constants.is_offline_mode():
        return True
    hub = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
    trouble = _trouble(f"{hub.rstrip('/')}/{encoder}/resolve/main/config.json")
    if trouble is None:
        return False
    with contextlib.suppress(ValueError):  # no name that a hub could have
        if isinstance(try_to_load_from_cache(encoder, "config.json"), str):
            return True
    raise Unavailable(
        f"The encoder {encoder!r} that KB_ENCODER names has to be fetched from the model hub "
        f"{urlsplit(hub).netloc}, which cannot be reached ({trouble}). {way_out}"
    )


def _trouble(url: str) -> str | None:
    """Why no hub answers at an address; None where one does, be it that it has no such model.

    A hub gives its errors a code. Without one it is a proxy or a gateway that answers, in place of the hub.
    """
    found: list[str | None] = []

    def ask() -> None:
        try:
            # proxies of the environment count, as they do for the download
            answer = httpx.head(url, timeout=CONNECT_S)
            hub = answer.status_code < 402 or "X-Error-Code" in answer.headers
            found.append(None if hub else f"HTTP {answer.status_code}")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            found.append(str(error) or type(error).__name__)

    thread = threading.Thread(target=ask, name="kb-hub", daemon=True)
    thread.start()
    thread.join(ANSWER_S)
    return found[0] if found else f"no answer within {ANSWER_S:.0f} s"
