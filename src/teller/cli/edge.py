"""The edge of every command line: errors become one clear line and an exit code; no traceback reaches a user."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from teller.errors import TellerError

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def run_app(app: Callable[[], object]) -> None:
    """Run a command line and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    try:
        app()
    except TellerError as exc:
        print(f"{_program()}: {exc}", file=sys.stderr)  # noqa: T201  the edge is where errors are shown
        raise SystemExit(exc.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None
    except BrokenPipeError:
        # The reader has gone, as in `teller chat | head`; without this Python complains once more while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None


def _program() -> str:
    name = Path(sys.argv[0]).name
    return "teller" if name in ("", "__main__.py") else name
