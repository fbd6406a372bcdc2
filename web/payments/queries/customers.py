"""Finding customers of a business at the till: by the beginnings of words of their name, e-mail or phone number."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import BooleanField, F, Func, TextField, Value

from web.core.models import Business, Profile
from web.payments.models import Cart
from web.payments.money import Money
from web.payments.queries.quotes import quote
from web.payments.states import CartState

MOST_FOUND = 12  # what a person can look through at a till; more letters find fewer


class _PersonWords(Func):
    """The words of a person, exactly as the index `person_found_by_word` has them (core's migration 0003)."""

    function = "paydesk_person_words"
    output_field = TextField()


class _PersonQuery(Func):
    function = "paydesk_person_query"
    output_field = TextField()


class _Matches(Func):
    arg_joiner = " @@ "
    template = "%(expressions)s"
    output_field = BooleanField()


def matches(business: Business, text: str) -> Func:
    """Return the condition that the index serves."""
    words = _PersonWords(F("business_id"), F("name"), F("email"), F("phone"))
    return _Matches(words, _PersonQuery(Value(business.id), Value(text)))


def find(business: Business, text: str) -> list[Profile]:
    """Find customers: every typed word begins a word of theirs; phone numbers by any run of digits."""
    text = text.strip()
    if not text:
        return []
    people = Profile.objects.filter(matches(business, text), business=business, role=Profile.Role.CUSTOMER)
    return list(people.order_by("name", "id")[:MOST_FOUND])


def customer(business: Business, profile_id: int) -> Profile | None:
    """Return a customer of the business."""
    return Profile.objects.filter(business=business, role=Profile.Role.CUSTOMER, id=profile_id).first()


@dataclass(frozen=True, slots=True)
class OpenCart:
    """Another cart of the customer, as a line on the till's page."""

    cart: Cart
    total: Money
    count: int


def open_carts(customer: Profile, *, but: Cart | None = None, most: int = 3) -> list[OpenCart]:
    """Return the carts that the customer has open (begun online, or kept), the newest first."""
    carts = Cart.objects.filter(
        business_id=customer.business_id, customer=customer, state=CartState.OPEN, lines__isnull=False
    ).select_related("location")
    if but is not None:
        carts = carts.exclude(id=but.id)
    rows = list(carts.distinct().prefetch_related("lines").order_by("-created_at", "-id")[:most])
    return [
        OpenCart(cart, quote(cart).totals.total, sum(line.quantity for line in cart.lines.all()))
        for cart in rows
    ]
