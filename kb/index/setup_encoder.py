"""Fetches, checks and tries the encoder, so that the first question does not wait: `make setup` runs it."""

from __future__ import annotations

import sys

from kb.errors import KbError
from kb.index.encoder import open_encoder
from kb.settings import Settings


def main() -> int:
    """0 when the configured encoder is here and works; 1 with the reason otherwise."""
    settings = Settings()
    try:
        encoder = open_encoder(settings)
        encoder.encode_question("Is it there?")
    except KbError as error:
        print(error.detail, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
