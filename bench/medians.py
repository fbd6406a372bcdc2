"""`python -m bench.medians FILE FILE FILE`: several whole runs' results become one: the median of each row.

Keep a copy of results/latest.json after each run, on a machine that does nothing else, and give them all.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from bench import table
from bench.table import Row


def main() -> None:
    """Write results/latest.json, and print it as a page has it."""
    runs = [json.loads(Path(name).read_text()) for name in sys.argv[1:]]
    if not runs:
        sys.exit(__doc__)
    table.LATEST.write_text(json.dumps(combined(runs), indent=2) + "\n")
    print("\n".join(table.as_markdown()))


def combined(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return each row with the median of its values, their spread, and the medians of what they were made of."""
    rows: dict[str, Any] = {}
    for name in sorted(set.intersection(*(set(run) for run in runs)) - {"machine"}):
        each = [run[name] for run in runs]
        first = each[0]
        rows[name] = Row(
            name,
            first["what"],
            first["unit"],
            first["target"],
            is_at_least=first["at"] == "least",
            runs=[row["value"] for row in each],
            details={key: statistics.median(row["details"][key] for row in each) for key in first["details"]},
        ).as_json()
    machines = [run["machine"] for run in runs]
    rows["machine"] = {
        **machines[-1],
        "at": [machine["at"] for machine in machines],
        "load_before": [machine["load_before"] for machine in machines],
        "seconds": [machine["seconds"] for machine in machines],
    }
    return rows


if __name__ == "__main__":
    main()
