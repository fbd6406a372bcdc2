"""`manage.py operators`: who may see and do what at /ops/. Only who has a shell on a server decides that."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from web.core.accounts import create_person, user_of_address
from web.core.groups import PLATFORM_GROUP_NAMES, PlatformGroup
from web.core.models import Business, Profile, User
from web.payments.operations import operators


class Command(BaseCommand):
    help = "List operators (default), or grant and take away the right to see and act at /ops/."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action")
        actions.add_parser("list", help="who has which right, and on whose host they sign in")
        for name, help_text in (("grant", "let a member of staff in"), ("revoke", "take every right away")):
            action = actions.add_parser(name, help=help_text)
            action.add_argument("email")
            action.add_argument(
                "--business", type=int, required=True, help="its number: whose host they sign in at"
            )
            action.add_argument("--reason", default="from the command line")
            if name == "grant":
                action.add_argument("--read-only", action="store_true", help="see everything, change nothing")
                action.add_argument(
                    "--create",
                    metavar="NAME",
                    help="make the account; its password is set by the mail to reset it",
                )

    def handle(self, *args: Any, **options: Any) -> None:
        match options["action"]:
            case "grant":
                self._grant(options)
            case "revoke":
                self._set(self._person(options), None, options["reason"])
            case _:
                self._list()

    def _list(self) -> None:
        for user in User.objects.filter(groups__name__in=PLATFORM_GROUP_NAMES).distinct().order_by("email"):
            rights = ", ".join(
                sorted(user.groups.filter(name__in=PLATFORM_GROUP_NAMES).values_list("name", flat=True))
            )
            self.stdout.write(f"{user.email}  business {user.profile.business.business_id}  {rights}")

    def _grant(self, options: dict[str, Any]) -> None:
        person = self._person(options)
        if person.role != Profile.Role.STAFF:
            raise CommandError(f"{person.email} is a customer. An operator is a member of staff.")
        right = PlatformGroup.OPS_READ if options["read_only"] else PlatformGroup.OPS
        self._set(person, right, options["reason"])

    def _person(self, options: dict[str, Any]) -> Profile:
        business = Business.objects.filter(business_id=options["business"]).first()
        if business is None:
            raise CommandError(f"There is no business {options['business']}.")
        user = user_of_address(business, options["email"])
        if user is not None:
            return user.profile
        if not options.get("create"):
            raise CommandError(f"Nobody of {business.name} has the address {options['email']}. See --create.")
        return create_person(
            business=business, email=options["email"], name=options["create"], role=Profile.Role.STAFF
        )

    @transaction.atomic
    def _set(self, person: Profile, right: PlatformGroup | None, reason: str) -> None:
        before = set(person.user.groups.filter(name__in=PLATFORM_GROUP_NAMES).values_list("name", flat=True))
        person.user.groups.remove(*Group.objects.filter(name__in=PLATFORM_GROUP_NAMES))
        if right is not None:
            person.user.groups.add(Group.objects.get(name=right))
        operators.note_rights(
            profile_id=person.id,
            business_id=person.business_id,
            before=sorted(before),
            after=[] if right is None else [right.value],
            reason=reason,
            now=timezone.now(),
        )
        self.stdout.write(f"{person.email}: {right.value if right else 'no right'}")
