"""Encryption at rest: AES-256-GCM (NIST SP 800-38D), the key from the caller, a fresh nonce for every message."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from teller.errors import ConfigError, StoreCorrupt

_NONCE_BYTES = 12
_KEY_BYTES = 32


class AesGcm:
    """As `Cipher`. A sealed message is nonce, ciphertext and tag: 28 bytes longer than the plain one.

    Raises:
        ConfigError: if the key does not have 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != _KEY_BYTES:
            raise ConfigError(
                f"the cache's key has {len(key)} bytes, wanted {_KEY_BYTES}: `openssl rand -base64 32` makes one"
            )
        self._aead = AESGCM(key)

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """As `Cipher.seal`. Random nonces: change the key before 2**32 messages."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, plain, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """As `Cipher.open`."""
        try:
            return self._aead.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)
        except (InvalidTag, ValueError) as exc:
            raise StoreCorrupt(
                "a private entry cannot be decrypted: the key is another than it was written with, or it was changed"
            ) from exc
