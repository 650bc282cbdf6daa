"""What the commands of `cache-manager` share: opening the cache, common options, progress, JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from teller.cache_wiring import OpenCache
    from teller.config import Settings

_T = TypeVar("_T")
WHICH = 50  # entries that a table lists of a change
_LINE_EVERY_S = 15.0  # of progress in a file or a pipe

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")]
EntryId = Annotated[int, typer.Argument(metavar="ID", help="Number of the entry, as `list` shows it.")]


def settings_of(context: typer.Context) -> Settings:
    """The settings that the command line, the environment and the file give."""
    settings: Settings = context.obj.load().settings
    return settings


def with_cache(context: typer.Context, work: Callable[[OpenCache], Awaitable[_T]], *, whole: bool = False) -> _T:
    """Open the cache of the settings, do something with it, close it."""
    from teller.wiring import open_cache

    async def run() -> _T:
        async with open_cache(settings_of(context), whole=whole) as opened:
            return await work(opened)

    return asyncio.run(run())


def print_json(value: object) -> None:
    """One line."""
    typer.echo(json.dumps(value))


class Progress:
    """Says on standard error how far it is: on a terminal in one line twice a second, else in a line now and then."""

    def __init__(self, total: int | None, verb: str) -> None:
        self._of = f" of {total:,}" if total is not None else ""
        self._verb = verb
        self._in_place = sys.stderr.isatty()
        self._every_s = 0.5 if self._in_place else _LINE_EVERY_S
        self._said_at = time.monotonic()

    def __enter__(self) -> Callable[[int], None]:
        return self._say

    def __exit__(self, *_: object) -> None:
        if self._in_place:
            typer.echo("\r\x1b[K", err=True, nl=False)

    def _say(self, count: int) -> None:
        now = time.monotonic()
        if now - self._said_at < self._every_s:
            return
        self._said_at = now
        line = f"{count:,}{self._of} {self._verb}"
        typer.echo(f"\r{line}" if self._in_place else line, err=True, nl=not self._in_place)
