"""`manage.py check_copy`: the restore drill. Is a restored copy whole, and do its books agree with Stripe's?

Run it with DATABASE_URL of the copy and FIELD_ENCRYPTION_KEYS as kept beside the backup, with nothing else running on
it. It reads at Stripe and moves no money there; into the copy it writes the differences that it finds. A database that
workers serve is refused: that is no copy.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from web.payments.jobs import TryAgain
from web.payments.models import Drift
from web.payments.operations.rounds import watched
from web.payments.queries import copies
from web.payments.queries.drift import open_differences

# What came in after the backup is not in it: to be expected, and to be made good (docs/backups.md).
SINCE_THE_BACKUP = {
    Drift.Kind.UNKNOWN_CHARGE,
    Drift.Kind.NOT_SETTLED,
    Drift.Kind.REFUND_UNKNOWN_HERE,
    Drift.Kind.REFUNDED_TOTAL,
}


class Command(BaseCommand):
    help = "Prove that a restored copy is whole and that its books agree with Stripe's. Ends with 1 if not."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, default=30, help="of Stripe's books (default 30)")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        pending = MigrationExecutor(connection)
        if pending.migration_plan(pending.loader.graph.leaf_nodes()):
            raise CommandError("The copy is older than this release: `manage.py migrate` first.")
        if copies.is_served(now=now):
            raise CommandError(
                "Workers live on this database, or did half a minute ago: it is no copy. Nothing was done."
            )
        newest = copies.newest()
        told = ", ".join(f"{number} {what}" for what, number in copies.counts().items())
        self.stdout.write(
            f"the copy: {told}; last written {newest:%F %T} UTC" if newest else "the copy is empty"
        )
        problems = list(copies.problems())
        for problem in problems:
            self.stdout.write(f"WRONG  {problem}")
        unread = self._compare(days=options["days"])
        everything = open_differences()
        missing = [one for one in everything if one.drift.kind in SINCE_THE_BACKUP]
        wrong = [one for one in everything if one.drift.kind not in SINCE_THE_BACKUP]
        for label, rows in (("since the backup", missing), ("WRONG", wrong)):
            for one in rows:
                row = one.drift
                self.stdout.write(
                    f"{label}  {one.at_risk}  {row.kind} {row.object_id}  ours: {row.ours}; theirs: {row.theirs}"
                )
        self.stdout.write(
            f"{len(problems)} problems in itself, {len(wrong)} differences with Stripe, {len(missing)} that came "
            f"after the backup, {unread} accounts not read"
        )
        if problems or wrong or unread:
            sys.exit(1)
        self.stdout.write("The copy can be served.")

    def _compare(self, *, days: int) -> int:
        """Compare every account's books; return how many could not be read."""
        from tasks.drift import compare_everything
        from tasks.gateway.stripe_api import StripeRefused

        unread = 0
        for account in watched():
            try:
                compare_everything(account, days=days)
            except (StripeRefused, TryAgain) as reason:
                unread += 1
                self.stdout.write(f"not read  {account}: {reason}")
        return unread
