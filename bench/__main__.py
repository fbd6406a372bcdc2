"""`make bench`: every row of PERFORMANCE's targets, side by side in one run; a table, and results/latest.json."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from bench import engine, growth, house, readers, sales, table, webhooks
from bench.house import House, Late
from bench.table import Row


@dataclass(frozen=True)
class Group:
    """Rows that are measured together, and the house that they need: neighbours that need the same share it."""

    measure: Callable[[House], list[Row]]
    webhooks: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
    is_alone: bool = False  # what it leaves behind would change the next, or what others left would change it


GROUPS: dict[str, Group] = {
    "webhooks": Group(webhooks.measure),
    "jobs": Group(engine.cost),
    "recovery": Group(engine.recovery),
    "sales": Group(sales.measure, webhooks=True, env=sales.ENV),
    "growth": Group(growth.measure, webhooks=True, env=sales.ENV),
    "readers": Group(readers.measure, webhooks=True, env=sales.ENV, is_alone=True),
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
    began, ran_on = time.monotonic(), table.machine()
    late: dict[str, str] = {}
    if unknown := set(given.groups) - set(GROUPS):
        parser.error(f"no such group: {', '.join(sorted(unknown))}")
    chosen = [name for name in GROUPS if name in given.groups or not given.groups]
    for _house, names in groupby(chosen, key=_house_of):
        waiting = list(names)
        while waiting:  # a measurement that came to no end leaves a house in which nothing else is measured
            needs = GROUPS[waiting[0]]
            with house.opened(webhooks=needs.webhooks, env=needs.env) as opened, contextlib.suppress(Late):
                while waiting:
                    name = waiting.pop(0)
                    rows = _measured(name, opened, late)
                    # At once: what a group found stays, whatever becomes of the next.
                    table.save(rows, ran_on, seconds=time.monotonic() - began)
    for name, reason in late.items():
        print(f"{name}: NOT MEASURED, its rows are those of an earlier run: {reason}")
    print(f"# {time.monotonic() - began:.0f} s on {ran_on}")
    if late:
        raise SystemExit(1)


def _measured(name: str, opened: House, late: dict[str, str]) -> list[Row]:
    """Measure a group and print its rows; where it comes to no end, note why and raise Late."""
    at = time.monotonic()
    try:
        rows = GROUPS[name].measure(opened)
    except Late as error:
        late[name] = str(error)
        house.say(f"{name}: not measured: {error}")
        raise
    house.say(f"{name}: took {time.monotonic() - at:.0f} s")
    for row in rows:
        print(row.line())
        print("      " + ", ".join(f"{key} {value}" for key, value in row.details.items()), flush=True)
    return rows


def _house_of(name: str) -> tuple[object, ...]:
    """Say which groups share a house: neighbours for whom this is equal."""
    group = GROUPS[name]
    return (group.webhooks, group.env, group.is_alone and name)


if __name__ == "__main__":
    main()
