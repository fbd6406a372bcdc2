"""`make audit`: is anything of the locks known to be vulnerable? Asked of PyPI, by pip-audit.

It ends with 0 where nothing is known, 1 where something is, and 3 where nobody could be asked: that is no good news.
pip-audit has an environment of its own, so that nothing of it is installed with Paydesk.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".paydesk" / "audit"
TOOL = HOME / "bin" / "pip-audit"
LOCKS = ("requirements.lock", "requirements-dev.lock")
NOBODY_ANSWERED = 3


def main() -> int:
    """Look at both locks; return the exit code."""
    if not TOOL.exists() and not _install():
        print("audit: pip-audit could not be installed. Nothing was looked at.", file=sys.stderr)
        return NOBODY_ANSWERED
    worst = 0
    for lock in LOCKS:
        found = examine(ROOT / lock)
        if found is None:
            print(
                f"audit: {lock}: the source of advisories did not answer. Nothing was looked at.",
                file=sys.stderr,
            )
            return NOBODY_ANSWERED
        print(f"audit: {lock}: {len(found)} known to be vulnerable")
        for line in found:
            print(f"  {line}")
        worst = max(worst, int(bool(found)))
    return worst


def examine(lock: Path) -> list[str] | None:
    """Return a line for each advisory; None where nobody could be asked."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        command = [
            str(TOOL), "--requirement", str(lock), "--require-hashes", "--disable-pip", "--format", "json",
            "--output", str(out), "--progress-spinner", "off", "--timeout", "20",
        ]  # fmt: skip
        ended = subprocess.run(command, capture_output=True, text=True, timeout=1800)
        try:
            said = json.loads(out.read_text())
        except (OSError, ValueError):
            print(ended.stderr[-600:], file=sys.stderr)
            return None
    return advisories(said)


def advisories(said: dict[str, Any]) -> list[str] | None:
    """Read pip-audit's answer. A package that was skipped was not looked at: then the answer is none."""
    lines = []
    for package in said["dependencies"]:
        if "skip_reason" in package:
            return None
        for one in package.get("vulns") or []:
            mended = ", ".join(one.get("fix_versions") or []) or "nothing yet"
            lines.append(f"{package['name']} {package['version']}: {one['id']}, mended in {mended}")
    return lines


def _install() -> bool:
    venv.create(HOME, with_pip=True)
    command = [str(HOME / "bin" / "pip"), "install", "-q", "--disable-pip-version-check", "pip-audit"]
    return subprocess.run(command, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
