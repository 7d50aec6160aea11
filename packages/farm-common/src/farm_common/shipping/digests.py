"""Content ids: short digests of what is sent, by which the other side knows it again."""

from __future__ import annotations

from ..frames import Buffer

try:
    # As `random` does with its hash: `hashlib` is slow to import, as it brings OpenSSL.
    from _blake2 import blake2b
except ImportError:  # an interpreter that was built without it
    from hashlib import blake2b

__all__ = ["digest"]


def digest(body: Buffer, size: int) -> bytes:
    """The BLAKE2b digest of some bytes, in so many bytes."""
    return blake2b(body, digest_size=size).digest()
