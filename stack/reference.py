"""Writes docs/settings.md and docs/metrics.md from the sources: `make reference`. A test says when they are old.

Read as text, not imported: what is written is what stands there, with the comment beside it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = ROOT / "web" / "settings.py"
COUNTED = ROOT / "web" / "core" / "metrics.py"
FIGURES = ROOT / "web" / "ops" / "figures.py"
_KINDS = {"Counter": "counter", "Gauge": "gauge", "Histogram": "histogram"}


def settings_page() -> str:
    """Return the page of settings: every variable that web/settings.py reads, in its order."""
    lines = [
        "# Settings",
        "",
        "Every variable of the environment, as `web/settings.py` reads it (written by `make reference`). In a",
        "deployment they stand in `.env`; `.env.example` says how to make the three that must be given.",
        "",
        "| variable | kind | without it | what it is |",
        "|---|---|---|---|",
    ]
    for name, kind, default, said in _variables(SETTINGS.read_text()):
        lines.append(f"| `{name}` | {kind} | {default} | {said} |")
    return "\n".join(lines) + "\n"


def _variables(source: str) -> Iterator[tuple[str, str, str, str]]:
    rows = source.splitlines()
    seen: set[str] = set()
    tree = ast.parse(source)
    for statement in tree.body:
        for node in ast.walk(statement):
            if not (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "env"
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                continue
            name = str(node.args[0].value)
            if name in seen:
                continue
            seen.add(name)
            kind = {"db_url": "address", "email_url": "address"}.get(node.func.attr, node.func.attr)
            default = next((one.value for one in node.keywords if one.arg == "default"), None)
            yield name, kind, _default(default), _said(rows, statement.lineno, node.lineno)


def _default(node: ast.expr | None) -> str:
    if node is None:
        return "**must be given**"
    text = ast.unparse(node)
    return "empty" if text in ("''", "[]") else f"`{text}`"


def _said(rows: list[str], first: int, line: int) -> str:
    """Return the comment above a statement, and the one behind the call."""
    above: list[str] = []
    at = first - 2
    while at >= 0 and rows[at].startswith("# ") and not rows[at].startswith("# ---"):
        above.insert(0, rows[at].removeprefix("# "))
        at -= 1
    behind = rows[line - 1].partition("  # ")[2]
    return " ".join([*above, behind]).strip().replace("|", "\\|")


def metrics_page() -> str:
    """Return the page of metrics: what is counted, and what is read from the database."""
    lines = [
        "# Metrics",
        "",
        "Every series of `/metrics` (written by `make reference`). Labels never name a business, a person or an id.",
        "Alerts on them: `deploy/prometheus/alerts.yml`; a dashboard: `deploy/grafana/paydesk.json`.",
        "",
        "## Counted by each process",
        "Web shows them at `/metrics`, workers and beat at port `METRICS_PORT`.",
        "",
        "| name | kind | labels | what |",
        "|---|---|---|---|",
    ]
    lines += sorted(_rows(COUNTED, _KINDS, prefix=""))
    lines += [
        "",
        "## Read from the database, by web",
        "The same from every web process: take the `max`. Five seconds old at most; absent while the database is away.",
        "",
        "| name | kind | labels | what |",
        "|---|---|---|---|",
    ]
    lines += sorted(_rows(FIGURES, {"_gauge": "gauge", "_family": "gauge"}, prefix="paydesk_"))
    return "\n".join(lines) + "\n"


def _rows(path: Path, calls: dict[str, str], *, prefix: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in calls):
            continue
        texts = [
            one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)
        ]
        if len(texts) < 2:
            continue
        name, said, *labels = texts
        for one in node.args:
            if isinstance(one, ast.List):
                labels += [str(label.value) for label in one.elts if isinstance(label, ast.Constant)]
        kind = calls[node.func.id]
        suffix = "_total" if kind == "counter" else ""
        yield f"| `{prefix}{name}{suffix}` | {kind} | {', '.join(labels)} | {said} |"


PAGES = {ROOT / "docs" / "settings.md": settings_page, ROOT / "docs" / "metrics.md": metrics_page}


def main() -> int:
    """Write the pages; return 0."""
    for path, page in PAGES.items():
        path.write_text(page())
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
