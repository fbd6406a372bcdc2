"""`manage.py second_factor`: who has one, and taking it away from who has lost phone and recovery codes.

Only who has a shell on a server decides that: make sure by another way (by telephone, in person) who asks.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from allauth.mfa.models import Authenticator
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from web.core.accounts import user_of_address
from web.core.models import Business
from web.payments.models import AuditEntry
from web.payments.operations import audit


class Command(BaseCommand):
    help = "List who of a business has a second factor (default), or take somebody's away."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--business", type=int, required=True, help="its number")
        parser.add_argument("--remove", metavar="EMAIL", help="whose second factor is taken away")

    def handle(self, *args: Any, **options: Any) -> None:
        business = Business.objects.filter(business_id=options["business"]).first()
        if business is None:
            raise CommandError(f"There is no business {options['business']}.")
        if options["remove"]:
            self._remove(business, options["remove"])
        else:
            self._list(business)

    def _list(self, business: Business) -> None:
        rows = Authenticator.objects.filter(user__profile__business=business).order_by("user__email", "type")
        for row in rows.select_related("user"):
            self.stdout.write(f"{row.user.email}  {row.type}  since {row.created_at:%F}")

    @transaction.atomic
    def _remove(self, business: Business, email: str) -> None:
        user = user_of_address(business, email)
        if user is None:
            raise CommandError(f"Nobody of {business.name} has the address {email}.")
        removed, _by_model = Authenticator.objects.filter(user=user).delete()
        if not removed:
            raise CommandError(f"{email} has no second factor.")
        audit.record(
            AuditEntry.Action.SECOND_FACTOR_REMOVED,
            business_id=business.id,
            actor=audit.COMMAND,
            now=timezone.now(),
            subject=f"staff {user.profile.id}",
        )
        self.stdout.write(f"{email}: taken away; a password signs in until a new one is set up")
