"""Master keys: what the data keys of lifetimes are encrypted with. From an environment variable, a file, or made for the process.

A key is 32 random bytes in base64, as `workbench keys new` prints one. Several stand one after the other, the newest first: it encrypts,
and all of them decrypt, so that a rotation can take its time. A key is named by a hash of itself, which the store keeps beside what it
encrypted: a wrong key is told by name and not by garbage.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from workbench.adapters.cipher import KEY_BYTES, Cipher, Tampered, new_key
from workbench.errors import ConfigurationError, KeyUnavailable

NEW = "make one with `workbench keys new`"


class LocalKeys:
    """Master keys that this process holds."""

    def __init__(self, keys: Sequence[bytes], where: str) -> None:
        """`keys` has the newest first; `where` is what a person calls the place they come from."""
        self._ciphers = {name_of(key): Cipher(key) for key in keys}
        self._where = where
        self.current = name_of(keys[0])

    async def wrap(self, data_key: bytes, context: bytes) -> bytes:
        """A data key, encrypted with the newest master key."""
        return self._ciphers[self.current].encrypt(data_key, context)

    async def unwrap(self, master: str, wrapped: bytes, context: bytes) -> bytes:
        """A data key that was encrypted with the master key of that name.

        Raises:
            KeyUnavailable: it is not among those given, or the bytes were not encrypted with it.
        """
        cipher = self._ciphers.get(master)
        if cipher is None:
            raise KeyUnavailable(
                f"it is encrypted with the master key {master}, and {self._where} has {', '.join(self._ciphers)}; add it there"
            )
        try:
            return cipher.decrypt(wrapped, context)
        except Tampered:
            raise KeyUnavailable(f"its data key has been altered: the master key {master} does not open it") from None


def environment(url: str) -> LocalKeys:
    """`env:NAME`: the keys in an environment variable, with commas between them."""
    name = url.partition(":")[2]
    text = os.environ.get(name, "")
    if not text.strip():
        raise ConfigurationError(f"the environment variable {name!r} has no key; {NEW} and set it")
    return LocalKeys(_read(text.split(","), f"the environment variable {name}"), f"the environment variable {name}")


def file(url: str) -> LocalKeys:
    """`file:PATH`: the keys in a file that nobody else may read, one a line; lines that begin with # are passed over."""
    path = Path(url.partition(":")[2]).expanduser()
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the key file {str(path)!r} cannot be read: {error}; {NEW} and write it there") from error
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(f"the key file {str(path)!r} can be read by others; say chmod 600 {path}")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        raise ConfigurationError(f"the key file {str(path)!r} has no key; {NEW} and write it there")
    return LocalKeys(_read(lines, f"the key file {path}"), f"the key file {path}")


def memory(url: str) -> LocalKeys:
    """`memory:`: a key that ends with the process, for tests and throw-away runs."""
    if url.rstrip("/") != "memory:":
        raise ConfigurationError("a key in memory has no name; write 'memory:'")
    return LocalKeys([new_key()], "this process")


def written(key: bytes) -> str:
    """A key as it is written down."""
    return base64.b64encode(key).decode()


def name_of(key: bytes) -> str:
    """What a key is called. It says nothing about the key."""
    return hashlib.sha256(b"workbench master key " + key).hexdigest()[:16]


def _read(texts: Sequence[str], where: str) -> list[bytes]:
    keys = []
    for place, text in enumerate(texts, start=1):
        try:
            key = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            raise ConfigurationError(f"key {place} in {where} is not {KEY_BYTES} bytes in base64; {NEW}")
        keys.append(key)
    return keys
