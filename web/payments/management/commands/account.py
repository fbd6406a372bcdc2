"""`manage.py account`: which Stripe accounts a business has, and whether their keys are in use."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from web.core.models import Business
from web.payments.models import StripeAccount


class Command(BaseCommand):
    help = "Print a business's Stripe accounts and their state."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("business_id", type=int)

    def handle(self, *args: Any, **options: Any) -> None:
        business = Business.objects.filter(business_id=options["business_id"]).first()
        if business is None:
            raise CommandError(f"There is no business {options['business_id']}.")
        for account in StripeAccount.objects.filter(business=business).order_by("id"):
            state = StripeAccount.State(account.state).label
            problem = f": {account.problem}" if account.problem else ""
            self.stdout.write(f"{account.account_id or '(not known yet)'}  {str(state).lower()}{problem}")
