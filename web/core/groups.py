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
    SETTINGS = "settings"  # ours: keys, taxes, readers and policies of payments


GROUP_NAMES: tuple[str, ...] = tuple(group.value for group in Group)
