"""What every template may use without its view passing it: the business, the person, the way around."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from web.core.branding import stylesheet_url
from web.core.groups import Group
from web.core.tenancy import groups_of, lacks_second_factor, operator_rights


@dataclass(frozen=True, slots=True)
class Link:
    """One entry of the navigation."""

    url: str
    label: str | Promise
    is_current: bool


# Which page shows to whom: the URL's name, its label, the groups that open it (none: any member of staff).
STAFF_PAGES: tuple[tuple[str, Promise, tuple[Group, ...]], ...] = (
    ("payment:checkout", _("Till"), (Group.STORE, Group.CHECKIN)),
    ("payment:purchases", _("Purchases"), (Group.PURCHASES,)),
    ("payment:credit_balance", _("Balances"), (Group.CREDITS, Group.CUSTOMERS)),
    ("payment:credit_services", _("Service credits"), (Group.CREDITS, Group.CUSTOMERS)),
    ("payment:settings", _("Settings"), (Group.SETTINGS,)),
)
CUSTOMER_PAGES: tuple[tuple[str, Promise], ...] = (
    ("payment:shop", _("Shop")),
    ("payment:cart", _("Cart")),
)
OPERATOR_PAGES: tuple[tuple[str, Promise], ...] = (("ops:dashboard", _("Operations")),)
MEMBER_PAGES: tuple[tuple[str, Promise], ...] = (("payment:my_purchases", _("My purchases")),)


def business(request: HttpRequest) -> dict[str, Any]:
    """Give templates `business`, `profile`, `staff_groups`, `navigation`, `branding_url`, `languages`, …"""
    here = getattr(request, "business", None)
    profile = getattr(request, "profile", None)
    return {
        "business": here,
        "profile": profile,
        "staff_groups": groups_of(request),
        "lacks_second_factor": lacks_second_factor(request),
        "navigation": navigation(request),
        "branding_url": stylesheet_url(here) if here else "",
        "is_local": settings.PAYDESK_LOCAL,
        "languages": settings.LANGUAGES,  # each in its own words, whatever the page speaks
    }


def navigation(request: HttpRequest) -> list[Link]:
    """List the pages that this person may open, the current one marked."""
    if getattr(request, "business", None) is None:
        return []
    profile = getattr(request, "profile", None)
    names: list[tuple[str, Promise]]
    if profile is not None and (profile.is_staff or groups_of(request)):
        mine = groups_of(request)
        names = [(name, label) for name, label, groups in STAFF_PAGES if not mine.isdisjoint(groups)]
    else:
        names = [*CUSTOMER_PAGES, *(MEMBER_PAGES if profile is not None else ())]
    if operator_rights(request):
        names.extend(OPERATOR_PAGES)
    links = []
    for name, label in names:
        try:
            url = reverse(name)
        except NoReverseMatch:  # a room that is not mounted has no door
            continue
        is_current = request.path == url or (url != "/" and request.path.startswith(url))
        links.append(Link(url=url, label=label, is_current=is_current))
    return links
