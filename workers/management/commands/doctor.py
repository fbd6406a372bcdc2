"""`manage.py doctor`: what is wrong with this installation, what it means, and how to mend it.

It changes nothing and shows no secret. It ends with 0 where all is well, 1 where something only should not stay so,
2 where something has to be mended. `--json` says the same to programs.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from workers.doctor import keeping, processes, servers, stripes
from workers.doctor.findings import Finding, State

Check = Callable[[], Iterator[Finding]]
# Those of the second line need the database, and its schema.
FIRST: tuple[Check, ...] = (
    servers.database,
    servers.redis_server,
    servers.broker,
    servers.clocks,
    servers.disk,
)
THEN: tuple[Check, ...] = (
    keeping.sealed,
    keeping.hosts,
    keeping.https,
    keeping.mail,
    processes.workers,
    processes.beat,
    stripes.accounts,
)
SIGNS = {State.OK: "ok      ", State.WARNING: "look    ", State.BROKEN: "BROKEN  ", State.UNKNOWN: "unknown "}
WORST = {State.OK: 0, State.UNKNOWN: 1, State.WARNING: 1, State.BROKEN: 2}
NEEDED_BY_ALL = ("servers.database", "servers.migrations")


class Command(BaseCommand):
    help = (
        "Say what is wrong with this installation and how to mend it. 0: all well, 1: look at it, 2: mend it."
    )
    requires_system_checks = ()  # what they find is told as a finding

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="for programs: a list of findings")

    def handle(self, *args: Any, **options: Any) -> None:
        found: list[Finding] = []
        for one in self._examine():
            found.append(one)
            if not options["json"]:
                self._tell(one)
        worst = max((WORST[one.state] for one in found), default=0)
        if options["json"]:
            self.stdout.write(json.dumps([asdict(one) for one in found], indent=2, ensure_ascii=False))
        else:
            broken = sum(one.state is State.BROKEN for one in found)
            others = sum(one.state in (State.WARNING, State.UNKNOWN) for one in found)
            self.stdout.write(f"{len(found)} looked at: {broken} to mend, {others} to look at")
        if worst:
            sys.exit(worst)

    def _examine(self) -> Iterator[Finding]:
        is_served = True
        for check in FIRST:
            for one in check():
                is_served = is_served and not (one.check in NEEDED_BY_ALL and one.state is State.BROKEN)
                yield one
        if is_served:
            for check in THEN:
                yield from check()

    def _tell(self, one: Finding) -> None:
        self.stdout.write(f"{SIGNS[one.state]}{one.check:<28} {one.found}")
        for label, text in (("means", one.means), ("mend", one.mend)):
            if text:
                self.stdout.write(f"{'':8}{label:>5}: {text}")
