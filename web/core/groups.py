"""The groups that open the pages of staff. They are named after the pages, as in Ruoom.

A person of staff sees a page when they are in its group; a superuser sees every page of their own business.
"""

from enum import StrEnum


class Group(StrEnum):
    """A right: to use the pages that carry this name."""

    CHECKIN = "checkin"
    STORE = "store"
    CUSTOMERS = "customers"
    STAFF = "staff"
    SCHEDULE = "schedule"
    LOCATIONS = "locations"
    PURCHASES = "purchases"
    CUSTOMER = "customer"
    REFUNDS = "refunds"  # ours: to give money back; seeing purchases is another right
    CREDITS = "credits"  # ours: change what customers have stored, money and service credits
    DISCOUNTS = "discounts"  # ours: take something off a sale
    SETTINGS = "settings"  # ours: keys, taxes, readers and policies of payments


GROUP_NAMES: tuple[str, ...] = tuple(group.value for group in Group)
# Who is in one of these can send money away, or where it goes to.
MONEY_GROUP_NAMES: frozenset[str] = frozenset({Group.REFUNDS, Group.CREDITS, Group.SETTINGS})


class PlatformGroup(StrEnum):
    """A right of whoever runs the installation, over all its businesses: not a business's to give.

    They are granted by a command on a server (`manage.py operators`). A superuser of a business has none of them.
    """

    OPS = "ops"  # see and act
    OPS_READ = "ops_read"  # see


PLATFORM_GROUP_NAMES: tuple[str, ...] = tuple(group.value for group in PlatformGroup)


def create_groups(*, using: str, **_: object) -> None:
    """Create the groups that are missing: after every `migrate`, and after a flush between tests.

    A data migration would run once, and rows that it made would be gone after a flush.
    """
    from django.contrib.auth.models import Group as AuthGroup

    rows = AuthGroup.objects.using(using)
    wanted = GROUP_NAMES + PLATFORM_GROUP_NAMES
    known = set(rows.filter(name__in=wanted).values_list("name", flat=True))
    rows.bulk_create([AuthGroup(name=name) for name in wanted if name not in known], ignore_conflicts=True)
