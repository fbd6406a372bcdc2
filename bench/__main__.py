"""`make bench`: every row of PERFORMANCE's targets, side by side in one run; a table, and results/latest.json."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from bench import house, table, webhooks
from bench.house import House
from bench.table import Row

# Groups of rows that share a house, and what it needs.
GROUPS: dict[str, Callable[[House], list[Row]]] = {"P2": webhooks.measure}


def main() -> None:
    """Measure what was asked for, print and save it. Ends with 0 also where a target is missed: it says so."""
    parser = argparse.ArgumentParser(description="Measure Paydesk beside its peers and limits")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}; all without")
    wanted = parser.parse_args().groups or list(GROUPS)
    began, ran_on = time.monotonic(), table.machine()
    rows: list[Row] = []
    for name in wanted:
        at = time.monotonic()
        with house.opened() as opened:
            rows += GROUPS[name](opened)
        print(f"# {name}: {time.monotonic() - at:.0f} s", file=sys.stderr, flush=True)
    print("\n".join(row.line() for row in rows))
    for row in rows:
        print(f"  {row.id}: " + ", ".join(f"{name} {value}" for name, value in row.details.items()))
    table.save(rows, ran_on, seconds=time.monotonic() - began)
    print(f"# {time.monotonic() - began:.0f} s on {ran_on}")


if __name__ == "__main__":
    main()
