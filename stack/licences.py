"""`make licences`: docs/licences.md, the licence of everything that is installed with Paydesk, as it says itself."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "licences.md"
HEAD = """# Licences of what comes with Paydesk

Every package of `requirements.lock`, with the licence that its own metadata names. Paydesk itself is MIT (`LICENSE`).
htmx (`web/static/vendor/`) is 0BSD. Written by `make licences`; a test compares.

| package | version | licence |
|---|---|---|
"""
# Written at length, or not at all, in the metadata; read in the package's own licence file.
SHORT = {
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "BSD 3-Clause License": "BSD-3-Clause",
    "New BSD": "BSD-3-Clause",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
}
ELSEWHERE = "not on this platform"


def main() -> None:
    """Write the page."""
    known = dict(rows_of(PAGE.read_text())) if PAGE.exists() else {}
    lines = []
    for name, version in locked():
        licence = licence_of(name) or known.get((name, version)) or ELSEWHERE
        lines.append(f"| {name} | {version} | {licence} |\n")
    PAGE.write_text(HEAD + "".join(lines))
    print(PAGE.relative_to(ROOT))


def locked() -> list[tuple[str, str]]:
    """Return name and version of every package of the lock."""
    text = (ROOT / "requirements.lock").read_text()
    return sorted(re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", text, re.MULTILINE))


def licence_of(name: str) -> str | None:
    """Return the licence that an installed package names; None where it is not installed."""
    try:
        about = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return None
    if expressions := about.get_all("License-Expression"):
        return str(expressions[0])
    found = [
        line.rpartition(" :: ")[2]
        for line in about.get_all("Classifier") or []
        if line.startswith("License :: ")
    ]
    found = [one for one in found if one != "OSI Approved"]
    text = str((about.get_all("License") or [""])[0]).strip()
    text = text if text and "\n" not in text and len(text) < 60 else "see its licence file"
    said = " or ".join(sorted(found)) or text
    return SHORT.get(said, said)


def rows_of(page: str) -> list[tuple[tuple[str, str], str]]:
    """Return what a page says, by name and version."""
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE)
    return [((name, version), licence) for name, version, licence in rows if name not in ("package", "---")]


if __name__ == "__main__":
    main()
