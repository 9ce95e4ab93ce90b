"""AES-256-GCM, as the package uses it: a fresh random nonce in front, and a context that the bytes belong to and are worthless without."""

from __future__ import annotations

import os

from workbench.errors import ConfigurationError

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError:  # an extra
    AVAILABLE = False
else:
    AVAILABLE = True

KEY_BYTES = 32
_NONCE_BYTES = 12

FIXED_NONCE = bytes(_NONCE_BYTES)
"""For a key that was made from what it encrypts, and so never encrypts anything else."""


class Tampered(Exception):
    """The bytes are not what was encrypted with this key in this context."""


class Cipher:
    """One key at work."""

    def __init__(self, key: bytes) -> None:
        """Raises ConfigurationError where the package `cryptography` is missing."""
        if not AVAILABLE:
            raise ConfigurationError("encryption needs the package cryptography: pip install 'agent-workbench[encryption]'")
        self._aes = AESGCM(key)

    def encrypt(self, data: bytes, context: bytes, nonce: bytes | None = None) -> bytes:
        """Nonce, ciphertext and tag: 28 bytes more than `data`. A `nonce` is given only where the key encrypts nothing else."""
        nonce = nonce or os.urandom(_NONCE_BYTES)
        return nonce + self._aes.encrypt(nonce, data, context)

    def decrypt(self, data: bytes, context: bytes) -> bytes:
        """The inverse.

        Raises:
            Tampered: another key, another context, or other bytes.
        """
        try:
            return self._aes.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], context)
        except (InvalidTag, ValueError) as error:
            raise Tampered from error


def new_key() -> bytes:
    """A key that nobody could guess."""
    return os.urandom(KEY_BYTES)
