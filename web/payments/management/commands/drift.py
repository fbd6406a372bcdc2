"""`manage.py drift`: where Stripe's books and ours differ now, the largest amounts first."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from web.core.models import Business
from web.payments.bell import bell
from web.payments.models import Drift
from web.payments.operations import audit
from web.payments.operations import drift as operations
from web.payments.operations.rounds import watched
from web.payments.queries import drift


class Command(BaseCommand):
    help = "List the open differences, or have a worker compare the books now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("business_id", nargs="?", type=int, help="without it, every business")
        parser.add_argument("--check", action="store_true", help="compare now")
        parser.add_argument("--days", type=int, help="with --check: again from so many days ago")
        parser.add_argument("--note", nargs=2, metavar=("ID", "TEXT"), help="keep what was found out")
        parser.add_argument(
            "--accept",
            nargs=2,
            metavar=("ID", "TEXT"),
            help="keep it, and let the difference be: it alerts no more",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        business = None
        if options["business_id"] is not None:
            business = Business.objects.filter(business_id=options["business_id"]).first()
            if business is None:
                raise CommandError(f"There is no business {options['business_id']}.")
        if options["note"] or options["accept"]:
            number, text = options["note"] or options["accept"]
            accepts = (
                bool(options["accept"])
                or Drift.objects.filter(id=int(number), accepted_at__isnull=False).exists()
            )
            operations.decide(
                drift_id=int(number), note=text, accepts=accepts, actor=audit.COMMAND, now=timezone.now()
            )
        elif options["check"]:
            self._check(business, options["days"])
            return
        self._list(business)

    def _check(self, business: Business | None, days: int | None) -> None:
        accounts = watched()
        if business is not None:
            accounts = accounts.filter(business=business)
        for account in accounts:
            operations.ROUND.ask(account=account, now=timezone.now(), days=days)
            self.stdout.write(f"{account}: a worker compares its books")
        bell.wait_until_rung(seconds=2)

    def _list(self, business: Business | None) -> None:
        shown = drift.open_differences(business)
        for one in shown:
            row = one.drift
            note = f"  ({row.note})" if row.note else ""
            self.stdout.write(
                f"{row.id:>8}  {one.at_risk!s:>16}  business {row.business.business_id}  {row.kind:<20} "
                f"{row.object_id}  ours: {row.ours}; theirs: {row.theirs}; since {row.found_at:%F %T}{note}"
            )
        sums = ", ".join(str(money) for money in drift.at_risk(shown).values())
        self.stdout.write(f"{len(shown)} differences, at risk: {sums}" if shown else "The books agree.")
