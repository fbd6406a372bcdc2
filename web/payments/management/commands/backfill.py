"""`manage.py backfill`: read Stripe's list of events into the inbox now, and see how far it has been read."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from web.payments.bell import bell
from web.payments.models import EventCursor
from web.payments.operations import backfill
from web.payments.operations.rounds import watched


class Command(BaseCommand):
    help = "Have a worker read Stripe's events that no webhook brought. Duplicates do nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("account", nargs="?", help="acct_… ; without it, every account in use")
        parser.add_argument("--days", type=int, help="read again from so many days ago (at most 30)")
        parser.add_argument("--status", action="store_true", help="only show how far each account was read")

    def handle(self, *args: Any, **options: Any) -> None:
        accounts = watched()
        if options["account"]:
            accounts = accounts.filter(account_id=options["account"])
            if not accounts.exists():
                raise CommandError(f"There is no account {options['account']}.")
        if not options["status"]:
            for account in accounts:
                backfill.ROUND.ask(account=account, now=timezone.now(), days=options["days"])
                self.stdout.write(f"{account}: a worker reads its events")
            bell.wait_until_rung(seconds=2)
            return
        for cursor in EventCursor.objects.filter(account__in=accounts).select_related("account"):
            problem = f"  refused: {cursor.problem}" if cursor.problem else ""
            going = "  (a pass is under way)" if cursor.window_to else ""
            self.stdout.write(f"{cursor.account}: read through {cursor.through_at:%F %T}{going}{problem}")
