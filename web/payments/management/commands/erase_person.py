"""`manage.py erase_person`: take a person's data out of every table of payments; orders and amounts stay."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from web.core.models import Business
from web.payments.errors import Refusal
from web.payments.operations import audit, erasure


class Command(BaseCommand):
    help = "Erase a person's data by e-mail address. It cannot be undone."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("business_id", type=int)
        parser.add_argument("email")

    def handle(self, *args: Any, **options: Any) -> None:
        business = Business.objects.filter(business_id=options["business_id"]).first()
        if business is None:
            raise CommandError(f"There is no business {options['business_id']}.")
        try:
            touched = erasure.erase(
                business=business, email=options["email"], actor=audit.COMMAND, now=timezone.now()
            )
        except Refusal as refusal:
            raise CommandError(f"{refusal.message} {refusal.next_step}") from refusal
        self.stdout.write(", ".join(f"{count} {what}" for what, count in touched.items()))
