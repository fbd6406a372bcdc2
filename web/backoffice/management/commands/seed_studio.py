"""`manage.py seed_studio`: a demo studio and a second business, to try everything on.

Running it again changes nothing but passwords and keys that are given: what is there is found by its name.
"""

from __future__ import annotations

import argparse
import json
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from web.core.accounts import create_person, user_of_address
from web.core.groups import GROUP_NAMES, Group, PlatformGroup
from web.core.models import Business, BusinessHost, Item, ItemType, Location, Profile, User
from web.payments.models import Reader, StripeAccount, WebhookSecret
from web.payments.money import Money
from web.payments.operations import accounts, ledgers, readers

POLICY = (
    "Class passes can be returned within 14 days if no class was taken. Merchandise can be returned unused "
    "within 30 days. Late cancellations are not refunded."
)
# Type, code, name, price in minor units, sold online; the second business has the same at its own prices.
ITEMS = (
    (ItemType.SERVICE_PASS, "PASS10", "10-class pass", 18000, True),
    (ItemType.SERVICE_PASS, "PASS1", "Single class", 2200, True),
    (ItemType.SERVICE_REGISTRATION, "WS-BACK", "Workshop: backbends", 4500, True),
    (ItemType.APPOINTMENT, "PRIVATE", "Private lesson, 60 minutes", 9500, True),
    (ItemType.RENTAL, "MAT-RENT", "Mat rental", 300, True),
    (ItemType.MERCHANDISE, "8801234567890", "Cork yoga mat", 7200, True),
    (ItemType.MERCHANDISE, "BLOCK", "Yoga block", 1450, True),
    (ItemType.MISCELLANEOUS, "WATER", "Water", 250, False),
    (ItemType.GIFT_CARD, "GIFT50", "Gift card 50", 5000, True),
    (ItemType.DIGITAL_GOOD, "VIDEO", "Morning flow, video course", 2900, True),
    (ItemType.SERVICE_PASS, "TRIAL", "Free trial class", 0, True),
)
# What an item gives its buyer, or costs in service credits, where that is not the usual.
GIVES: dict[str, dict[str, int]] = {
    "PASS10": {"gives_credits": 10, "gives_days": 180},
    "PRIVATE": {"credit_price": 4},
}
WON_PER_CENT = 13  # the second business's prices: 2,200 cents are 28,600 won


class Command(BaseCommand):
    """Make the demo studio; print what a script needs to use it, as JSON."""

    help = "Make a demo studio (business 1001) and a second business in Korea (1002)."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--host", action="append", help="host name of the studio; may be given again")
        parser.add_argument("--other-host", action="append", help="host name of the second business")
        parser.add_argument(
            "--password",
            help="for every demo account (default: a random one for those that are new, printed)",
        )
        parser.add_argument("--publishable-key", default="")
        parser.add_argument("--secret-key", default="")
        parser.add_argument("--webhook-secret", default="")
        parser.add_argument(
            "--reader",
            action="append",
            default=[],
            metavar="LABEL",
            help="have a simulated reader registered",
        )
        parser.add_argument(
            "--wait",
            type=float,
            default=0,
            metavar="SECONDS",
            help="wait until a worker has checked the keys and registered the readers",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with transaction.atomic():
            studio, seeded = self._seed(options)
        patience = options["wait"]
        keys = StripeAccount.objects.filter(business=studio)
        in_use = keys.filter(state=StripeAccount.State.ACTIVE)
        if patience:  # keys that were refused before do not matter once others are in use
            _wait_until_none(lambda: [] if in_use.exists() else list(keys.all()), patience)
        known = Reader.objects.filter(business=studio)
        there = known.exclude(state__in=[Reader.State.READY, Reader.State.REMOVED])
        for label in options["reader"]:  # one after the other: a code that is being registered is one click
            _reader(studio, label)
            if patience:
                _wait_until_none(lambda: list(there.all()), patience)
        seeded["readers"] = [
            {"label": reader.label, "state": reader.state, "id": reader.stripe_reader_id}
            for reader in Reader.objects.filter(business=studio).order_by("id")
        ]
        self.stdout.write(json.dumps(seeded, indent=2))

    @staticmethod
    def _seed(options: dict[str, Any]) -> tuple[Business, dict[str, Any]]:
        password = options["password"] or secrets.token_urlsafe(12)
        studio = _business(
            1001,
            hosts=options["host"] or ["localhost", "127.0.0.1"],
            name="Han River Yoga",
            country="us",
            time_zone="America/New_York",
            legal_name="Han River Yoga LLC",
            tax_number="12-3456789",
            address="41 Mercer Street, New York, NY 10013",
            phone="+1 212 555 0142",
            email="hello@hanriver.example",
        )
        second = _business(
            1002,
            hosts=options["other_host"] or ["seoul.localhost"],
            name="Mapo Dance",
            country="kr",
            time_zone="Asia/Seoul",
            legal_name="Mapo Dance Co., Ltd.",
            tax_number="123-45-67890",
            address="Mapo-gu, Seoul",
            phone="+82 2 555 0142",
            email="hello@mapo.example",
        )
        _locations(studio, second)
        # Hashed once for all: they share it anyway, and a hash is meant to take long.
        hashed = make_password(password)
        is_given = bool(options["password"])
        people = _people(studio, hashed, is_given) + _people(second, hashed, is_given)
        items = {item.code: item.id for item in _items(studio, 1)}
        other_items = {item.code: item.id for item in _items(second, WON_PER_CENT)}
        now = timezone.now()
        _stored(studio)
        for business in (studio, second):
            settings = accounts.settings_of(business)
            if not settings.refund_policy:
                settings.refund_policy = POLICY
                settings.save()
        if options["publishable_key"] and options["secret_key"]:
            _keys(studio, options["publishable_key"], options["secret_key"])
        if options["webhook_secret"]:
            _webhook_secret(studio, options["webhook_secret"])
        return studio, {
            "at": now.isoformat(),
            "password": password if is_given or any(one["is_new"] for one in people) else None,
            "hosts": list(studio.hosts.values_list("host", flat=True)),
            "other_hosts": list(second.hosts.values_list("host", flat=True)),
            "people": people,
            "items": items,
            "other_items": other_items,
            "webhook_path": _webhook_path(studio),
            "other_webhook_path": _webhook_path(second),
        }


def _wait_until_none(waiting: Callable[[], Sequence[StripeAccount | Reader]], seconds: float) -> None:
    """Wait for a worker. Raises CommandError, saying what is still missing, or what Stripe refused."""
    deadline = time.monotonic() + seconds
    while True:
        others = waiting()
        if not others:
            return
        if time.monotonic() > deadline or any(one.problem for one in others):
            missing = "; ".join(f"{one}: {one.problem or one.get_state_display()}" for one in others)
            raise CommandError(f"Not ready: {missing}. Is a worker running?")
        time.sleep(0.1)


def _business(business_id: int, *, hosts: list[str], **fields: str) -> Business:
    business, _created = Business.objects.get_or_create(business_id=business_id, defaults=fields)
    for host in hosts:
        BusinessHost.objects.get_or_create(host=host.lower(), defaults={"business": business})
    return business


def _locations(studio: Business, second: Business) -> None:
    Location.objects.get_or_create(
        business=studio,
        name="Mercer Street",
        defaults={
            "country": "us",
            "currency": "usd",
            "time_zone": "America/New_York",
            "address": "41 Mercer Street, New York, NY 10013",
            "sales_tax_name": "NYC sales tax",
            "sales_tax_rate": "8.8750",
            "sales_tax_active": True,
        },
    )
    Location.objects.get_or_create(
        business=studio,
        name="Jersey City",
        defaults={
            "country": "us",
            "currency": "usd",
            "time_zone": "America/New_York",
            "address": "155 Bay Street, Jersey City, NJ 07302",
            "sales_tax_name": "NJ sales tax",
            "sales_tax_rate": "6.6250",
            "sales_tax_active": True,
            "additional_tax_name": "Studio levy",
            "additional_tax_rate": "1.0000",
            "additional_tax_active": True,
            "additional_tax_applies_to_services": True,
        },
    )
    Location.objects.get_or_create(
        business=second,
        name="Mapo",
        defaults={"country": "kr", "currency": "krw", "time_zone": "Asia/Seoul", "address": "Mapo-gu, Seoul"},
    )


def _people(business: Business, hashed: str, is_given: bool) -> list[dict[str, Any]]:
    """Make the people, or find them; who was there keeps their password unless one was given."""
    domain = "hanriver.example" if business.business_id == 1001 else "mapo.example"
    language = "en" if business.business_id == 1001 else "ko"
    wanted: tuple[tuple[str, str, Profile.Role, tuple[str, ...]], ...] = (
        ("owner", "Hana Park", Profile.Role.STAFF, GROUP_NAMES),
        ("desk", "Dana Reyes", Profile.Role.STAFF, (Group.STORE, Group.CHECKIN, Group.PURCHASES)),
        ("mina", "Mina Kim", Profile.Role.CUSTOMER, ()),
        ("sam", "Sam Lee", Profile.Role.CUSTOMER, ()),
        ("ada", "Ada Novak", Profile.Role.CUSTOMER, ()),
    )
    if business.business_id == 1001:  # who runs the installation signs in somewhere, and sees every business
        wanted += (
            ("oncall", "Noor Haddad", Profile.Role.STAFF, (PlatformGroup.OPS,)),
            ("watch", "Ines Costa", Profile.Role.STAFF, (PlatformGroup.OPS_READ,)),
        )
    home = business.locations.order_by("id").first()
    people = []
    for local, name, role, groups in wanted:
        email = f"{local}@{domain}"
        user = user_of_address(business, email)
        if user is None:
            profile = create_person(
                business=business,
                email=email,
                name=name,
                role=role,
                groups=groups,
                language=language,
                user=User(password=hashed),
            )
            profile.default_location = home
            profile.save(update_fields=["default_location"])
        else:
            profile = user.profile
            if is_given:
                user.password = hashed
                user.save(update_fields=["password"])
        people.append(
            {
                "email": email,
                "name": name,
                "role": str(role),
                "id": str(profile.id),
                "is_new": user is None,
            }
        )
    return people


def _items(business: Business, factor: int) -> list[Item]:
    items = []
    for kind, code, name, price, online in ITEMS:
        item, _created = Item.objects.get_or_create(
            business=business,
            code=code,
            defaults={
                "item_type": kind,
                "name": name,
                "price_minor": price * factor,
                "currency": business.currency,
                "sold_online": online,
                **GIVES.get(code, {}),
                **({"gives_minor": price * factor} if kind == ItemType.GIFT_CARD else {}),
            },
        )
        items.append(item)
    return items


def _stored(business: Business) -> None:
    """Give two customers something to spend: once, the form's token sees to that."""
    owner = Profile.objects.get(business=business, email="owner@hanriver.example")
    presents: tuple[tuple[str, Money | int], ...] = (
        ("mina", Money(2500, business.currency)),
        ("mina", 3),
        ("sam", Money(12000, business.currency)),
    )
    for number, (local, change) in enumerate(presents):
        customer = Profile.objects.get(business=business, email=f"{local}@hanriver.example")
        ledgers.adjust(
            business=business,
            customer_id=customer.id,
            change=change,
            reason="Welcome to the demo",
            form_token=f"seed-studio-present-{number}",
            now=timezone.now(),
            staff=owner,
        )


def _keys(business: Business, publishable_key: str, secret_key: str) -> None:
    """Enter the keys, unless these are the ones in use or being checked."""
    known = StripeAccount.objects.filter(business=business, publishable_key=publishable_key)
    if not known.exclude(state=StripeAccount.State.REFUSED).exists():
        accounts.enter_keys(
            business=business,
            publishable_key=publishable_key,
            secret_key=secret_key,
            now=timezone.now(),
        )


def _webhook_secret(business: Business, secret: str) -> None:
    """Add the signing secret, unless it is there."""
    known = WebhookSecret.objects.filter(account__business=business, expires_at=None, secret_hint=secret[-4:])
    if not known.exists():
        accounts.add_webhook_secret(business=business, secret=secret, now=timezone.now())


def _reader(business: Business, label: str) -> None:
    """Ask for a simulated reader at the first place, unless one is called like this; a worker registers it."""
    if Reader.objects.filter(business=business, label=label).exists():
        return
    readers.register(
        business=business,
        location=business.locations.order_by("id")[0],
        label=label,
        registration_code="simulated-wpe",
        address=readers.Address("41 Mercer Street", "New York", "NY", "10013"),
        now=timezone.now(),
    )


def _webhook_path(business: Business) -> str:
    return reverse("payment:stripe-webhook", args=[accounts.settings_of(business).webhook_token])
