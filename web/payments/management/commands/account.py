"""`manage.py account`: which Stripe accounts a business has, and whether their keys are in use."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from web.core.models import Business
from web.payments.models import StripeAccount
from web.payments.operations import accounts
from web.payments.operations.audit import COMMAND


class Command(BaseCommand):
    help = "Print a business's Stripe accounts and their state."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("business_id", type=int)
        parser.add_argument(
            "--end-old-webhook-secrets",
            action="store_true",
            help="end those that a newer one replaced now, not after a day: one of them leaked",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        business = Business.objects.filter(business_id=options["business_id"]).first()
        if business is None:
            raise CommandError(f"There is no business {options['business_id']}.")
        if options["end_old_webhook_secrets"]:
            ended = accounts.end_old_webhook_secrets(business=business, actor=COMMAND, now=timezone.now())
            self.stdout.write(f"{ended} old webhook secrets are not accepted any more.")
        for account in StripeAccount.objects.filter(business=business).order_by("id"):
            state = StripeAccount.State(account.state).label
            problem = f": {account.problem}" if account.problem else ""
            self.stdout.write(f"{account.account_id or '(not known yet)'}  {str(state).lower()}{problem}")
