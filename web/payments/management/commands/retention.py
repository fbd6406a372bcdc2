"""`manage.py retention`: how long rows are kept, what is past its time, and to let it go now."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from web.payments.operations import keeping


class Command(BaseCommand):
    help = "Show how long rows are kept and how many are past their time. Beat lets them go every hour."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--now", action="store_true", help="let go what is past its time")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        for kept in keeping.ALL:
            if options["now"]:
                said = f"{keeping.forget(kept, now=now):>8} gone"
            else:
                said = f"{keeping.waiting(kept, now=now):>8} past their time"
            self.stdout.write(f"{kept.name:<12}{kept.days:>4} days {said}   {kept.why}")
