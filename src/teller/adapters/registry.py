"""Installed adapters: a read-only folder for each version, named by its content, `<root>/<name>/<sha256>/`.

A version never changes, so nothing that was derived from one (a cache entry, an engine's prefix cache, an audit record)
can come to mean another. Which version is live is not written here: that follows from the audit log.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from teller.adapters.durable import flush_folder, write_flushed
from teller.adapters.manifest import MAX_MANIFEST_BYTES, NAME, Manifest, check_name, digest_of, read_manifest, signed
from teller.adapters.proof import CONFIG_FILE
from teller.adapters.tensors import LIMITS, Limits, open_regular
from teller.adapters.weights import MANIFEST_FILE, MODEL_FILE, AdapterFacts, BaseShapes, check_files, check_folder
from teller.errors import InputError, StoreCorrupt, StoreError
from teller.ports import Signer

_FILES = (CONFIG_FILE, MODEL_FILE, MANIFEST_FILE)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PREFIX = re.compile(r"[0-9a-f]{4,64}")
_PARTIAL = ".partial-"
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Installed:
    """One installed version.

    Attributes:
        digest: SHA-256 of its content.
        folder: absolute.
        installed_at: Unix time in seconds.
    """

    name: str
    digest: str
    folder: Path
    installed_at: float

    @property
    def served(self) -> str:
        """Name under which hosts serve it: "banking-lora@3f2a91c0b7de"."""
        return f"{self.name}@{self.digest[:12]}"


class Registry:
    """The versions under a private folder, which is made if missing; several processes may share it."""

    def __init__(self, root: Path, limits: Limits = LIMITS) -> None:
        self._root = root.absolute()
        self._limits = limits

    def import_folder(self, source: Path, name: str, *, sign_with: Signer | None = None) -> Installed:
        """Check an adapter's folder and install a copy of it, whole or not at all.

        What is already installed is returned as it is; where it was damaged, the copy takes its place.

        Args:
            source: with adapter_config.json, adapter_model.safetensors and manifest.json.
            name: of the adapter; the manifest must have the same.
            sign_with: its signature takes the place of the one that the manifest has.

        Raises:
            InputError: with the reason, if the adapter must not be loaded or has another name.
            StoreError: if it cannot be copied (disk full, say); nothing is installed.
        """
        check_name(name)
        check_files(source, _FILES)
        with self._locked():
            home = self._home(name)
            partial = home / f"{_PARTIAL}{secrets.token_hex(8)}"
            try:
                partial.mkdir(mode=0o700, parents=True)
                digest = self._copy(source, partial, name, sign_with)
                return self._place(partial, home / digest)
            except OSError as exc:
                raise StoreError(f"{name} could not be installed, nothing was changed: {exc.strerror}") from exc
            finally:
                _discard(partial)
                _remove_if_empty(home)

    def find(self, reference: str) -> Installed:
        """The version of "name" (the one installed last) or "name@sha" (4 digits of its digest, or more).

        Raises:
            InputError: if there is none, or more than one begins so.
        """
        name, at, prefix = reference.partition("@")
        versions = self.versions(name)
        if at and not _PREFIX.fullmatch(prefix):
            raise InputError(f"{reference[:100]!r}: wanted name@ and 4 to 64 digits of its SHA-256")
        fitting = [one for one in versions if one.digest.startswith(prefix)]
        if not versions:
            have = ", ".join(self.names()[:10])
            others = f"installed: {have}" if have else "none is installed: `adapter-control train` or `import` it first"
            raise InputError(f"{name!r}: there is no adapter of this name; {others}")
        if not fitting or (at and len(fitting) > 1):
            have = ", ".join(one.served for one in versions[:10])
            found = f"{len(fitting)} versions begin so" if fitting else "no version begins so"
            raise InputError(f"{reference[:100]!r}: {found}; installed: {have}")
        return fitting[0]

    def versions(self, name: str) -> tuple[Installed, ...]:
        """All versions of a name, the one installed last first.

        Raises:
            InputError: if it is no name of an adapter.
        """
        found = []
        home = self._home(name)
        for entry in _entries(home):
            if _DIGEST.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                at = entry.stat(follow_symlinks=False).st_mtime
                found.append(Installed(name, entry.name, home / entry.name, at))
        return tuple(sorted(found, key=lambda one: (-one.installed_at, one.digest)))

    def names(self) -> tuple[str, ...]:
        """Names with at least one version, sorted."""
        return tuple(name for name in self._folders() if self.versions(name))

    def manifest(self, installed: Installed) -> Manifest:
        """The manifest of a version; `verify` is what says whether it can be believed.

        Raises:
            StoreCorrupt: if it cannot be read.
        """
        try:
            with open_regular(installed.folder / MANIFEST_FILE, max_bytes=MAX_MANIFEST_BYTES) as file:
                return read_manifest(file.read())
        except InputError as exc:
            raise StoreCorrupt(f"{installed.served}: {exc}; import it again") from exc

    def verify(
        self, installed: Installed, signer: Signer, *, base: BaseShapes | None = None, base_digest: str = ""
    ) -> AdapterFacts:
        """Check a version as if it were met for the first time: content, signature, and all of `check_folder`.

        Raises:
            StoreCorrupt: if a file was changed, added or removed since it was installed.
            InputError: if it is not signed by a key that is trusted here, or is not for this base model.
            StoreError: if it cannot be read.
        """
        try:
            content = _content(installed.folder, self._limits)
        except InputError as exc:
            raise StoreCorrupt(
                f"{installed.served}: {exc}; it was changed after it was installed: import it again"
            ) from exc
        if content.digest != installed.digest or content.manifest.name != installed.name:
            raise StoreCorrupt(
                f"{installed.served}: its content has the digest {content.digest[:12]}: it was changed after it was "
                "installed; remove it and import it again"
            )
        check_signature(content.manifest, signer)
        return check_folder(installed.folder, base=base, base_digest=base_digest, limits=self._limits)

    def remove(self, installed: Installed) -> None:
        """Remove a version; nothing happens if it is gone.

        Raises:
            StoreError: if it cannot be removed.
        """
        if not _DIGEST.fullmatch(installed.digest):
            raise InputError(f"{installed.digest[:80]!r}: wanted the SHA-256 of a version")
        folder = self._home(installed.name) / installed.digest
        with self._locked():
            if not folder.exists():
                return
            gone = folder.with_name(f"{_PARTIAL}{secrets.token_hex(8)}")
            try:
                folder.rename(gone)
            except OSError as exc:
                raise StoreError(f"{installed.served} cannot be removed: {exc.strerror}") from exc
            _discard(gone)
            _remove_if_empty(folder.parent)

    def prune(self, name: str, keep: Collection[str], *, newest: int = 3) -> tuple[Installed, ...]:
        """Remove versions of a name but the newest and those whose digest is in `keep`; gives what was removed.

        Raises:
            InputError: if it is no name of an adapter.
            StoreError: if one cannot be removed.
        """
        old = tuple(one for one in self.versions(name)[newest:] if one.digest not in keep)
        for one in old:
            self.remove(one)
        return old

    def _home(self, name: str) -> Path:
        """The folder of a name, which need not be there."""
        home = self._root / check_name(name)
        if home.is_symlink():
            raise StoreCorrupt(f"adapters/{name}: a symlink, which leads out of the registry; remove it")
        return home

    def _folders(self) -> list[str]:
        names = [entry.name for entry in _entries(self._root) if entry.is_dir(follow_symlinks=False)]
        return sorted(name for name in names if NAME.fullmatch(name))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time installs and removes; what a killed one left behind is cleared away."""
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self._root / ".lock", os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise StoreError(f"{self._root}: cannot be written to: {exc.strerror}") from exc
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            for name in self._folders():
                for entry in _entries(self._root / name):
                    if entry.name.startswith(_PARTIAL):
                        _discard(self._root / name / entry.name)
            yield
        finally:
            os.close(handle)

    def _copy(self, source: Path, partial: Path, name: str, sign_with: Signer | None) -> str:
        """Copy, then check the copy: the source may change meanwhile. Gives the digest of the content."""
        for file in _FILES:
            _copy_file(source / file, partial / file, self._limits.file_bytes)
        if sign_with:
            path = partial / MANIFEST_FILE
            mine = signed(read_manifest(path.read_bytes()), sign_with)
            path.unlink()
            write_flushed(path, mine.to_json())
            path.chmod(0o400)
        facts = check_folder(partial, limits=self._limits)
        if facts.manifest is None or facts.manifest.name != name:
            found = facts.manifest.name if facts.manifest else ""
            raise InputError(f"its manifest is of {found!r}; wanted {name!r}: an adapter is signed under one name")
        return _content(partial, self._limits).digest

    def _place(self, partial: Path, folder: Path) -> Installed:
        if folder.exists() and not self._is_intact(folder):
            folder.rename(folder.with_name(f"{_PARTIAL}{secrets.token_hex(8)}"))
        if not folder.exists():
            partial.chmod(0o500)
            partial.rename(folder)
            flush_folder(folder.parent)
            flush_folder(self._root)
        at = folder.stat().st_mtime
        return Installed(folder.parent.name, folder.name, folder, at)

    def _is_intact(self, folder: Path) -> bool:
        try:
            return _content(folder, self._limits).digest == folder.name
        except InputError:
            return False


def check_signature(manifest: Manifest, signer: Signer) -> None:
    """Check that a key that is trusted here signed this manifest.

    Raises:
        InputError: saying which of the three is wrong: no signature, an unknown key, another content.
        StoreError: if the keys cannot be read.
    """
    if not manifest.signature or not manifest.public_key:
        raise InputError(
            f"{manifest.name}: not signed; wanted a manifest that a trusted key signed. If you vouch for it, "
            "`adapter-control import --sign` signs it with this installation's key"
        )
    key = bytes.fromhex(manifest.public_key)
    if not signer.trusts(key):
        raise InputError(
            f"{manifest.name}: signed by the key {manifest.public_key[:16]}..., which is not trusted here; if it "
            "should be, put its .pub file into the keys folder"
        )
    if not signer.verify(manifest.body(), bytes.fromhex(manifest.signature), key):
        raise InputError(f"{manifest.name}: the signature is of another content: the manifest was changed")


@dataclass(frozen=True, slots=True)
class _Content:
    digest: str
    manifest: Manifest


def _content(folder: Path, limits: Limits) -> _Content:
    """Manifest and digest of a folder's content: over its files, but the manifest without its signature."""
    found = {entry.name for entry in _entries(folder)}
    if found != set(_FILES):
        raise InputError(f"{', '.join(sorted(found ^ set(_FILES)))[:200]} is missing or too much")
    digests = {}
    for name in (CONFIG_FILE, MODEL_FILE):
        with open_regular(folder / name, max_bytes=limits.file_bytes) as file:
            digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    with open_regular(folder / MANIFEST_FILE, max_bytes=MAX_MANIFEST_BYTES) as file:
        manifest = read_manifest(file.read())
    digests[MANIFEST_FILE] = hashlib.sha256(manifest.body()).hexdigest()
    return _Content(digest_of(digests), manifest)


def _copy_file(source: Path, target: Path, max_bytes: int) -> None:
    handle = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o400)
    with open_regular(source, max_bytes=max_bytes) as read, os.fdopen(handle, "wb") as written:
        shutil.copyfileobj(read, written, _BLOCK_BYTES)
        written.flush()
        os.fsync(written.fileno())


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise StoreError(f"{folder}: cannot be read: {exc.strerror}") from exc


def _discard(folder: Path) -> None:
    """Remove a folder of ours, read-only or not; what cannot be removed now is removed at the next installing."""
    if folder.is_dir() and not folder.is_symlink():
        folder.chmod(0o700)
        shutil.rmtree(folder, ignore_errors=True)


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
