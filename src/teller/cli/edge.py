"""The edge of every command line: settings, tables, and errors as one clear line and an exit code."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from teller.errors import TellerError

if TYPE_CHECKING:
    from teller.config import Loaded

_WIDE = 200  # columns where the output is no terminal
_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Settings file (TOML). Default: $TELLER_CONFIG, then ./teller.toml.")
]
HomeFolder = Annotated[
    str | None, typer.Option("--home", metavar="<path>", help="Folder of everything that Teller keeps.")
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="One setting, as in --set cache.mode=exact. Repeatable."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        from teller import __version__

        typer.echo(f"{_program()} {__version__}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=_show_version),
]


def new_app(name: str, text: str, *, no_args_is_help: bool = False) -> typer.Typer:
    """A command line as all of them are: plain help, for loading rich would double the start-up time."""
    return typer.Typer(
        name=name,
        help=text,
        no_args_is_help=no_args_is_help,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def run_app(app: Callable[[], object]) -> None:
    """Run a command line and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    _hush_libraries()
    try:
        app()
    except TellerError as exc:
        print(f"{_program()}: {exc}", file=sys.stderr)  # noqa: T201  the edge is where errors are shown
        raise SystemExit(exc.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None
    except BrokenPipeError:
        _drop_output()  # the reader has gone, as in `teller chat | head`
        raise SystemExit(0) from None
    except OSError as exc:  # of what is written and read as the user asked, such as a full disk under standard output
        _drop_output()
        print(f"{_program()}: {exc.filename or 'input or output'}: {exc.strerror or exc}", file=sys.stderr)  # noqa: T201
        raise SystemExit(1) from None


def _drop_output() -> None:
    """Let go of what could not be printed; otherwise Python complains once more while it shuts down."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _hush_libraries() -> None:
    """What libraries tell programmers is nothing that an operator can act on; `python -W default` brings it back."""
    if sys.warnoptions:
        return
    warnings.simplefilter("ignore")
    logging.getLogger("bitsandbytes").setLevel(logging.CRITICAL)  # which kernels it did not find
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # transformers' bars for each file it reads


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line says about settings; read when a command needs them."""

    config: Path | None
    flags: dict[str, str]

    def load(self, **more: object) -> Loaded:
        """The settings, with a command's own options ("server_port") on top; None leaves a setting as it is."""
        from teller.config import load

        own = {name.replace("_", ".", 1): str(value) for name, value in more.items() if value is not None}
        return load(self.config, self.flags | own)


def given(config: Path | None, home: str | None, assignments: Sequence[str] | None) -> Given:
    """Read the options that every command line has: --config, --home, --set.

    Raises:
        typer.BadParameter: if an assignment is not of the form name=value.
    """
    flags = {}
    for assignment in assignments or []:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise typer.BadParameter(f"'{assignment}' is not of the form name=value", param_hint="--set")
        flags[name.strip()] = value.strip()
    if home is not None:
        flags["home"] = home
    return Given(config, flags)


def show_table(header: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> None:
    """Print a table; text that is not for a terminal is not cut to a width."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in header:
        table.add_column(name, overflow="fold")  # in a narrow terminal nothing is cut off
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console() if sys.stdout.isatty() else Console(width=_WIDE)
    if title:
        console.print(f"\n{title}", markup=False, highlight=False)
    console.print(table)


def _program() -> str:
    name = Path(sys.argv[0]).name
    return "teller" if name in ("", "__main__.py") else name
