"""Whether bytes that were read are the bytes that were packed.

Two marks are kept of every shard. SHA-256 is what `kb model verify` and a mended shard are held against; it hashes
1.5 GB a second here, a fifth of a start's processor time. The first load of a shard looks at its XXH3-128 instead, at
18 GB a second: it is against rot, not against a person who can write to the file (who could change the marks as well).
A file packed before there was a checksum is hashed with SHA-256 on first load, as ever.
"""

from __future__ import annotations

import hashlib

import xxhash

from kb.llm.local.quant import Bytes
from kb.llm.local.store import Shard


def checksum(data: memoryview) -> bytes:
    """XXH3-128 of some bytes, 16 bytes."""
    return xxhash.xxh3_128_digest(data)


def intact(shard: Shard, data: Bytes) -> bool:
    """The quick look at first load: data are all of the shard's bytes."""
    return same(shard, data.data) if shard.checksum is None else checksum(data.data) == shard.checksum


def same(shard: Shard, data: memoryview) -> bool:
    """The thorough one, by SHA-256."""
    return hashlib.sha256(data).digest() == shard.sha256
