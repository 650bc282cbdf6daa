"""The docs check of `make check`: what the documents claim about the tree is true.

Every relative link leads somewhere; docs/settings.md is what the settings say and docs/metrics.md what the table of
metrics says; README's tree is what the modules say of themselves; every file that a document names exists.
`--write` brings settings, metrics and tree up to date.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

from teller.config import describe
from teller.telemetry.table import BUCKETS_S, LABELS, METRICS, OTHER, Kind

ROOT = Path(__file__).resolve().parent.parent
_LINK = re.compile(r"\[[^\]]*\]\((?!https?:|#|mailto:)([^)#\s]+)")
_TREE = re.compile(r"```text\nsrc/teller/\n.*?```", re.DOTALL)
_WIDTH = 150  # of a line of the tree
_CODE_PATH = re.compile(r"`((?:src|tests|benchmarks|docs)/[\w./-]+)`")


def settings_page() -> str:
    """docs/settings.md as the code has it."""
    lines = [
        "# Settings",
        "",
        "One tree: a TOML file (`--config`, `$TELLER_CONFIG`, `./teller.toml`), then `TELLER_*` variables, then",
        "`--set`; the last one wins. `server.port` is `TELLER_SERVER__PORT` in the environment. `teller config` shows",
        "every value and where it came from. Made from the code by `python docs/check.py --write`.",
        "",
        "| setting | default | meaning |",
        "|---|---|---|",
    ]
    lines += [f"| `{name}` | `{default}` | {meaning} |" for name, default, meaning in describe()]
    return "\n".join(lines) + "\n"


def metrics_page() -> str:
    """docs/metrics.md as the code has it."""
    lines = [
        "# Metrics",
        "",
        "What `/metrics` tells Prometheus, with the bearer token if there is one. `deploy/prometheus` has a",
        "configuration, rules and alerts, `deploy/grafana` a dashboard. The process's own `process_*` metrics are",
        "there too. Made from the code by `python docs/check.py --write`.",
        "",
        f"Histograms have the buckets {', '.join(f'{bound:g}' for bound in BUCKETS_S)} s.",
        "In OpenMetrics they have exemplars: a trace id, which is the call's id in the turn log.",
        "",
        "| metric | kind | labels | meaning |",
        "|---|---|---|---|",
    ]
    for metric in METRICS.values():
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "-"
        kind = "gauge, always 1" if metric.kind is Kind.INFO else metric.kind
        lines.append(f"| `{metric.name}` | {kind} | {labels} | {metric.help} |")
    lines += [
        "",
        f"No label holds words, customers or calls. What is beyond a label's bound counts under `{OTHER}`.",
        "",
        "| label | meaning | values |",
        "|---|---|---|",
    ]
    for label in LABELS.values():
        values = ", ".join(f"`{value}`" for value in sorted(label.allowed)) or f"at most {label.at_most}"
        lines.append(f"| `{label.name}` | {label.help} | {values} |")
    return "\n".join(lines) + "\n"


def problems() -> list[str]:
    """What is not true, one line each."""
    found = []
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for target in _LINK.findall(page.read_text()):
            if not (page.parent / target).exists():
                found.append(f"{page.relative_to(ROOT)}: the link to {target} leads nowhere")
        for path in _CODE_PATH.findall(page.read_text()):
            if not (ROOT / path).exists():
                found.append(f"{page.relative_to(ROOT)}: there is no {path}")
    if (ROOT / "docs/settings.md").read_text() != settings_page():
        found.append("docs/settings.md is not what the settings say: run python docs/check.py --write")
    if not (ROOT / "docs/metrics.md").exists() or (ROOT / "docs/metrics.md").read_text() != metrics_page():
        found.append("docs/metrics.md is not what the table of metrics says: run python docs/check.py --write")
    if tree() not in (ROOT / "README.md").read_text():
        found.append("README.md: the tree is not what the modules say: run python docs/check.py --write")
    return found


def tree() -> str:
    """README's tree: every module with the first line of its docstring, packages after files."""
    lines = ["```text", "src/teller/"]
    package = ROOT / "src/teller"
    for folder in [package, *sorted(path.parent for path in package.rglob("__init__.py") if path.parent != package)]:
        depth = len(folder.relative_to(package).parts)
        if folder != package:
            lines.append(_line("  " * depth + folder.name + "/", folder / "__init__.py"))
        for path in sorted(folder.glob("*.py")):
            if path.name != "__init__.py":
                lines.append(_line("  " * (depth + 1) + path.name, path))
    return "\n".join([*lines, "```"])


def _line(name: str, path: Path) -> str:
    says = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n", 1)[0].rstrip(".")
    return f"{name:<30}{says}"[:_WIDTH].rstrip()


def main() -> int:
    """Check, or write what is made."""
    if "--write" in sys.argv[1:]:
        (ROOT / "docs/settings.md").write_text(settings_page())
        (ROOT / "docs/metrics.md").write_text(metrics_page())
        readme = ROOT / "README.md"
        readme.write_text(_TREE.sub(lambda _: tree(), readme.read_text()))
    found = problems()
    print("\n".join(found) or "docs: every link, setting and file named is there")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
