"""Signatures: Ed25519 (RFC 8032), the keys in a folder that only its owner can read.

`signing.pem` is this installation's private key, made on first use; every `*.pub` beside it is a public key whose
signatures are accepted. To accept what another installation signs, copy its `signing.pub` here under another name; to
stop accepting it, remove the file.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from teller.errors import StoreCorrupt, StoreError

_PRIVATE, _PUBLIC = "signing.pem", "signing.pub"
_MAX_KEY_BYTES = 4096
_PEM = serialization.Encoding.PEM
_PKCS8, _SPKI = serialization.PrivateFormat.PKCS8, serialization.PublicFormat.SubjectPublicKeyInfo
_RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)


class Ed25519Signer:
    """As `Signer`, with the keys of a private folder; several processes may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def public_key(self) -> bytes:
        """As `Signer.public_key`."""
        return self._own().public_key().public_bytes(*_RAW)

    def sign(self, data: bytes) -> bytes:
        """As `Signer.sign`."""
        return self._own().sign(data)

    def verify(self, data: bytes, signature: bytes, public_key: bytes) -> bool:
        """As `Signer.verify`."""
        if not self.trusts(public_key):
            return False
        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True

    def trusts(self, public_key: bytes) -> bool:
        """As `Signer.trusts`; the folder is read anew, so a key that was removed is no longer trusted."""
        if (self._folder / _PRIVATE).exists() and public_key == self.public_key:
            return True
        try:
            files = sorted(self._folder.glob("*.pub"))
        except OSError as exc:
            raise StoreError(f"{self._folder}: cannot be read: {exc.strerror}") from exc
        return any(_public(path) == public_key for path in files)

    def _own(self) -> Ed25519PrivateKey:
        """The private key; made, with its public half, if there is none. Two processes that do so at once get one."""
        path, public = self._folder / _PRIVATE, self._folder / _PUBLIC
        had_public = public.exists()  # asked first: it is written last
        try:
            if not path.exists():
                if had_public:
                    raise StoreError(
                        f"{path}: missing, and {_PUBLIC} is there: restore it; or give {_PUBLIC} another name, so that "
                        "what it signed stays trusted and a new key is made"
                    )
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                made = Ed25519PrivateKey.generate()
                _place(path, made.private_bytes(_PEM, _PKCS8, serialization.NoEncryption()), 0o600)
            key = _private(path)
            if not had_public:
                _place(public, key.public_key().public_bytes(_PEM, _SPKI), 0o644)
        except OSError as exc:
            raise StoreError(f"{self._folder}: a key for signing cannot be made: {exc.strerror}") from exc
        return key


def _place(path: Path, content: bytes, mode: int) -> None:
    """Write a file whole or not at all; one that is there stays."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with os.fdopen(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(partial, path)
    except FileExistsError:
        pass
    finally:
        partial.unlink(missing_ok=True)


def _read(path: Path, *, private: bool) -> bytes:
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if private and mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise StoreError(
                    f"{path}: others than its owner can read it; make it private (chmod 600) or replace it"
                )
            return file.read(_MAX_KEY_BYTES)
    except OSError as exc:
        raise StoreError(f"{path}: cannot be read: {exc.strerror}") from exc


def _private(path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(_read(path, private=True), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise StoreCorrupt(f"{path}: not a private key; restore it, or remove it to have a new one made") from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise StoreCorrupt(f"{path}: a key of another kind; wanted an Ed25519 private key in PEM")
    return key


def _public(path: Path) -> bytes:
    try:
        key = serialization.load_pem_public_key(_read(path, private=False))
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise StoreCorrupt(f"{path}: not a public key; wanted an Ed25519 public key in PEM, or no such file") from exc
    if not isinstance(key, Ed25519PublicKey):
        raise StoreCorrupt(f"{path}: a key of another kind; wanted an Ed25519 public key in PEM")
    return key.public_bytes(*_RAW)
