"""Blobs as objects in a directory; obstore speaks to clouds with the same calls, so their URLs can follow.

A blob's key is its hash, `ab/abcdef…`, so writing it twice is harmless and a store can be copied or moved whole.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore

from workbench.adapters.addresses import blob_key, blob_ref, checked
from workbench.adapters.places import prepare_directory
from workbench.errors import BlobMissing, ConfigurationError, StoreError
from workbench.record.values import BlobRef
from workbench.visible import masked


class ObjectBlobStore:
    """Blobs in a directory: `file:` and a path as it is, or a URL, `file:///absolute/directory`."""

    def __init__(self, url: str) -> None:
        """Open the store, making its directory if it is absent.

        Raises:
            ConfigurationError: for a URL of another form.
            StoreError: when the directory cannot be made.
        """
        self.path = _directory_of(url).absolute()
        prepare_directory(self.path)
        self._objects = LocalStore(prefix=self.path)

    async def put(self, data: bytes, media_type: str = "application/json") -> BlobRef:
        """Store bytes durably. They are written beside their place, moved into it, and on the disk when this returns.

        Raises:
            StoreError: if that cannot be done.
        """
        ref = blob_ref(data, media_type)
        key = _key(ref.sha256)
        try:
            # Overwriting costs little and repairs a blob whose bytes were damaged.
            await obstore.put_async(self._objects, key, data)
            await asyncio.to_thread(_sync, self.path / key)
        except (OSError, BaseError) as error:
            raise StoreError(
                f"cannot write the blob {ref.uri} below {str(self.path)!r}: {_first_line(error)}; make room there or check its permissions"
            ) from error
        return ref

    async def get(self, ref: BlobRef) -> bytes:
        """The bytes of a reference, checked against its hash.

        Raises:
            BlobMissing: if it is not there.
            BlobCorrupt: if its bytes are others.
            StoreError: if it cannot be read.
        """
        key = _key(blob_key(ref))
        try:
            reply = await obstore.get_async(self._objects, key)
            data = bytes(await reply.bytes_async())
        except FileNotFoundError:
            raise BlobMissing(f"no blob {ref.uri} below {str(self.path)!r}; copy it there from where the record was made") from None
        except (OSError, BaseError) as error:
            raise StoreError(f"cannot read the blob {ref.uri} below {str(self.path)!r}: {_first_line(error)}") from error
        return checked(data, ref)

    async def remove(self, digest: str) -> bool:
        """Delete the blob with this hash; whether it was there.

        Raises:
            BlobMissing: it is no hash.
            StoreError: if it cannot be deleted.
        """
        uri = f"sha256:{digest}"
        key = _key(blob_key(BlobRef(uri=uri, size_bytes=0, sha256=digest)))
        try:
            await obstore.delete_async(self._objects, key)
        except FileNotFoundError:
            return False
        except (OSError, BaseError) as error:
            raise StoreError(f"cannot delete the blob {uri} below {str(self.path)!r}: {_first_line(error)}") from error
        return True

    async def close(self) -> None:
        """Nothing to release: a directory has no connection."""


def _key(digest: str) -> str:
    # Two levels, since many file systems are slow with a million files in one directory.
    return f"{digest[:2]}/{digest}"


def _sync(path: Path) -> None:
    """Wait until a file, its name and its directory's name are on the disk; obstore leaves that to the operating system."""
    for place in (path, path.parent, path.parent.parent):
        if place.is_dir() and os.name == "nt":
            continue  # Windows cannot open a directory, and records names by itself
        handle = os.open(place, os.O_RDWR if place == path else os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _directory_of(url: str) -> Path:
    form = "file:relative/directory or file:///absolute/directory"
    scheme, _, rest = url.partition(":")
    if scheme in ("s3", "gs", "gcs", "az"):
        raise ConfigurationError(f"{masked(url)!r}: this version keeps blobs in directories only; write {form}")
    if rest.startswith("//"):  # a URL proper, in which a space is %20
        parts = urlsplit(url)
        plain = parts.netloc in ("", "localhost") and not parts.query and not parts.fragment
        rest = url2pathname(parts.path) if plain else ""
    if scheme != "file" or not rest:
        raise ConfigurationError(f"{masked(url)!r} is not a place for blobs; write {form}, or memory: for blobs that end with the process")
    return Path(rest)
