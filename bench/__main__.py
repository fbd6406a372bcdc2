"""`make bench`: every row of PERFORMANCE's targets, side by side in one run; a table, and results/latest.json."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bench import engine, growth, house, readers, sales, table, webhooks
from bench.house import House
from bench.table import Row


@dataclass(frozen=True)
class Group:
    """Rows that share a house, and what it needs."""

    measure: Callable[[House], list[Row]]
    webhooks: bool = False
    env: Mapping[str, str] = field(default_factory=dict)


GROUPS: dict[str, Group] = {
    "webhooks": Group(webhooks.measure),
    "sales": Group(sales.measure, webhooks=True, env=sales.ENV),
    "readers": Group(readers.measure, webhooks=True, env=sales.ENV),
    "jobs": Group(engine.cost),
    "recovery": Group(engine.recovery),
    "growth": Group(growth.measure, webhooks=True, env=sales.ENV),
}


def main() -> None:
    """Measure what was asked for, print and save it. Ends with 0 also where a target is missed: it says so."""
    parser = argparse.ArgumentParser(description="Measure Paydesk beside its peers and limits")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}; all without")
    parser.add_argument("--show", action="store_true", help="print the last results as a page has them")
    given = parser.parse_args()
    if given.show:
        print("\n".join(table.as_markdown()))
        return
    wanted = given.groups or list(GROUPS)
    began, ran_on = time.monotonic(), table.machine()
    for name in wanted:
        at = time.monotonic()
        group = GROUPS[name]
        with house.opened(webhooks=group.webhooks, env=group.env) as opened:
            rows = group.measure(opened)
        house.say(f"{name}: took {time.monotonic() - at:.0f} s")
        for row in rows:
            print(row.line())
            print("      " + ", ".join(f"{name} {value}" for name, value in row.details.items()), flush=True)
        # At once: what a group found stays, whatever becomes of the next.
        table.save(rows, ran_on, seconds=time.monotonic() - began)
    print(f"# {time.monotonic() - began:.0f} s on {ran_on}")


if __name__ == "__main__":
    main()
