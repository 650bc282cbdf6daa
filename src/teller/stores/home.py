"""Teller's own folder: private, versioned, the only place that it writes to or deletes from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from teller.errors import StoreError

LAYOUT = 1  # raised when an older Teller could not read what a newer one keeps
_PRIVATE = 0o700


@dataclass(frozen=True, slots=True)
class Home:
    """The folders under the home folder, each for one thing."""

    path: Path

    @property
    def models(self) -> Path:
        """Weights in the form that the engines run."""
        return self.path / "models"

    @property
    def cache(self) -> Path:
        """The semantic cache: its log and snapshots."""
        return self.path / "cache"

    @property
    def audio(self) -> Path:
        """Spoken answers, ready to be played again."""
        return self.path / "audio"

    @property
    def knowledge(self) -> Path:
        """Vectors of what the bank has approved."""
        return self.path / "knowledge"

    @property
    def adapters(self) -> Path:
        """LoRA adapters: a folder for each version, and the audit log that says which one is live."""
        return self.path / "adapters"

    @property
    def keys(self) -> Path:
        """The key that adapters are signed with, and the public keys that are trusted."""
        return self.path / "keys"

    @property
    def turns(self) -> Path:
        """The turn log's file, in a folder of its own."""
        return self.path / "log" / "turns.sqlite"


def open_home(path: Path) -> Home:
    """Make the folders where they are missing, readable by their owner alone.

    Raises:
        StoreError: if a folder cannot be made or written to, or a newer Teller keeps its data there.
    """
    home = Home(path)
    stamp = path / "layout"
    try:
        for folder in (path, home.models, home.cache, home.audio, home.knowledge, home.adapters, home.keys):
            folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(13, os.strerror(13))
        written = stamp.read_text().strip() if stamp.exists() else ""
        if not written:
            stamp.write_text(f"{LAYOUT}\n")
    except (OSError, UnicodeDecodeError) as exc:
        why = getattr(exc, "strerror", None) or type(exc).__name__
        raise StoreError(f"the home folder {path} cannot be used ({why}); set TELLER_HOME to one that can") from exc
    if written and (not written.isdigit() or int(written) > LAYOUT):
        raise StoreError(
            f"the home folder {path} was written by a newer Teller (layout {written[:20]}, this one knows {LAYOUT}); "
            "upgrade Teller or set TELLER_HOME to another folder"
        )
    return home
