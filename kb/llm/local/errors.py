"""What can go wrong in the local engine.

ModelError
├── BadModel        the file or folder is not a model this engine can run
├── CorruptShard    a shard's bytes do not match its SHA-256 and the source could not mend it
├── OutOfPages      no room in the key-value cache (answered as 503 with Retry-After)
└── SourceError     a repository or folder could not be read or downloaded
"""

from __future__ import annotations

from kb.errors import KbError


class ModelError(KbError):
    """Anything the local engine reports to people."""

    title = "The local model cannot be used"


class BadModel(ModelError):
    """The file or folder is not a model this engine can run."""


class CorruptShard(ModelError):
    """A shard's bytes do not match its hash, and the source could not mend it."""


class OutOfPages(ModelError):
    """No room in the key-value cache for now."""

    status = 503


def no_memory() -> OutOfPages:
    """What is said to whoever the machine has no memory for."""
    return OutOfPages("The machine has no memory left for this request.", retry_after=10)


class SourceError(ModelError):
    """A repository or folder could not be read."""
