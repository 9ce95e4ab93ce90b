"""Content addresses: how the bytes of a blob are named, found and checked, wherever they lie."""

from __future__ import annotations

import re

from workbench.errors import BlobCorrupt, BlobMissing
from workbench.record.codec import sha256
from workbench.record.values import BlobRef

_SHA256_URI = re.compile(r"sha256:([0-9a-f]{64})")


def blob_ref(data: bytes, media_type: str) -> BlobRef:
    """The reference of some bytes. It says what they are, not where: a store that moves keeps its references."""
    digest = sha256(data)
    return BlobRef(uri=f"sha256:{digest}", size_bytes=len(data), sha256=digest, media_type=media_type)


def blob_key(ref: BlobRef) -> str:
    """The hash that a reference's URI names.

    Raises:
        BlobMissing: for any other URI; a forged one must not reach a path on disk.
    """
    match = _SHA256_URI.fullmatch(ref.uri)
    if match is None:
        raise BlobMissing(f"{ref.uri!r} is not a blob of this store; its references have the form sha256:<64 hexadecimal digits>")
    return match[1]


def checked(data: bytes, ref: BlobRef) -> bytes:
    """`data`, if it is what `ref` says.

    Raises:
        BlobCorrupt: if it is not.
    """
    if sha256(data) != ref.sha256:
        raise BlobCorrupt(f"the blob {ref.uri} has {len(data)} bytes with SHA-256 {sha256(data)}; the record says {ref.sha256}")
    return data
