"""The docs check of `make check`: what the documents claim about the tree is true.

Every relative link leads somewhere; docs/settings.md is what the settings say; README's tree names every module and no
other; every file that docs/deliverables.md names exists. `--write` brings docs/settings.md up to date.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from teller.config import describe

ROOT = Path(__file__).resolve().parent.parent
_LINK = re.compile(r"\[[^\]]*\]\((?!https?:|#|mailto:)([^)#\s]+)")
_TREE_FILE = re.compile(r"^[\s│├└─]*([\w./-]+\.(?:py|toml|npz))\s", re.MULTILINE)
_CODE_PATH = re.compile(r"`((?:src|tests|benchmarks|docs)/[\w./-]+)`")


def settings_page() -> str:
    """docs/settings.md as the code has it."""
    lines = [
        "# Settings",
        "",
        "One tree: a TOML file (`--config`, `$TELLER_CONFIG`, `./teller.toml`), then `TELLER_*` variables, then `--set`;",
        "the last one wins. `server.port` is `TELLER_SERVER__PORT` in the environment. `teller config` shows every value",
        "and where it came from. This page is made from the code by `python docs/check.py --write`.",
        "",
        "| setting | default | meaning |",
        "|---|---|---|",
    ]
    lines += [f"| `{name}` | `{default}` | {meaning} |" for name, default, meaning in describe()]
    return "\n".join(lines) + "\n"


def problems() -> list[str]:
    """What is not true, one line each."""
    found = []
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for target in _LINK.findall(page.read_text()):
            if not (page.parent / target).exists():
                found.append(f"{page.relative_to(ROOT)}: the link to {target} leads nowhere")
    if (ROOT / "docs/settings.md").read_text() != settings_page():
        found.append("docs/settings.md is not what the settings say: run python docs/check.py --write")
    found += _tree_problems((ROOT / "README.md").read_text())
    for path in _CODE_PATH.findall((ROOT / "docs/deliverables.md").read_text()):
        if not (ROOT / path).exists():
            found.append(f"docs/deliverables.md: there is no {path}")
    return found


def _tree_problems(readme: str) -> list[str]:
    block = re.search(r"```text\nsrc/teller/\n(.*?)```", readme, re.DOTALL)
    if block is None:
        return ["README.md: the tree of src/teller/ is missing"]
    named = {Path(name).name for name in _TREE_FILE.findall(block[1])}
    there = {path.name for path in (ROOT / "src/teller").rglob("*.py") if path.name != "__init__.py"}
    return [f"README.md: the tree lacks {name}" for name in sorted(there - named)] + [
        f"README.md: the tree names {name}, which is not there"
        for name in sorted(named - there)
        if not list((ROOT / "src/teller").rglob(name))
    ]


def main() -> int:
    """Check, or write what is made."""
    if "--write" in sys.argv[1:]:
        (ROOT / "docs/settings.md").write_text(settings_page())
    found = problems()
    print("\n".join(found) or "docs: every link, setting and file named is there")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
