"""What a member of staff has going on at the till: sales in flight side by side, those just done, the previous one."""

from __future__ import annotations

import datetime
from collections import defaultdict
from dataclasses import dataclass

from django.db.models import Q

from web.core.models import Business, Profile
from web.payments.models import Cart, Method, Order, Payment, ReaderAction
from web.payments.money import Money
from web.payments.queries import sales
from web.payments.queries.quotes import quote
from web.payments.states import LIVE, CartState, PaymentState

MOST_IN_FLIGHT = 8  # more than that nobody keeps in mind
OPEN_FOR = datetime.timedelta(hours=12)  # a sale that was left open since yesterday is none in flight
SHOWN_AS_DONE_FOR = datetime.timedelta(minutes=3)  # long enough to be seen while serving the next person


@dataclass(frozen=True, slots=True)
class InFlight:
    """A sale that is open or being paid, as an entry of the till's bar."""

    cart: Cart
    title: str
    total: Money
    payment: Payment | None  # the live one, the held one, or none
    action: ReaderAction | None = None  # its newest place at a card reader

    @property
    def is_live(self) -> bool:
        return self.payment is not None and self.payment.state in LIVE


@dataclass(frozen=True, slots=True)
class Desk:
    """The sales of one member of staff."""

    in_flight: list[InFlight]
    done: list[Order]  # in the last minutes
    previous: Order | None

    @property
    def is_live(self) -> bool:
        """Say whether something here can change without the till doing anything."""
        return any(sale.is_live for sale in self.in_flight)


def desk(business: Business, staff: Profile, *, now: datetime.datetime) -> Desk:
    """Return what the member of staff has going on, the newest last: the order in which they began."""
    live = Payment.objects.filter(business=business, created_by=staff, state__in=LIVE)
    mine = Q(created_by=staff) | Q(reference__in=live.values("cart_reference"))
    recent = Q(updated_at__gte=now - OPEN_FOR) | Q(state=CartState.FROZEN)
    rows = Cart.objects.filter(mine, recent, business=business, lines__isnull=False).distinct()
    carts = list(
        rows.select_related("customer", "location")
        .prefetch_related("lines")
        .order_by("-created_at", "-id")[:MOST_IN_FLIGHT]
    )
    payments = _payments(business, carts)
    actions = _actions([payment for found in payments.values() for payment in found])
    orders = Order.objects.filter(business=business, created_by=staff)
    newest = list(
        orders.filter(created_at__gte=now - OPEN_FOR)
        .prefetch_related("payments")
        .order_by("-created_at", "-id")[:MOST_IN_FLIGHT]
    )
    return Desk(
        in_flight=[_entry(cart, payments[cart.reference], actions) for cart in reversed(carts)],
        done=[order for order in reversed(newest) if order.created_at > now - SHOWN_AS_DONE_FOR],
        previous=newest[0] if newest else None,
    )


def due_on_arrival(business: Business) -> list[InFlight]:
    """Return the carts that customers left to be paid at the desk, the longest waiting first."""
    return [_entry(cart, [], {}) for cart in sales.due_on_arrival(business)]


def _payments(business: Business, carts: list[Cart]) -> dict[object, list[Payment]]:
    found: dict[object, list[Payment]] = defaultdict(list)
    references = [cart.reference for cart in carts if cart.state == CartState.FROZEN]
    for payment in Payment.objects.filter(business=business, cart_reference__in=references).order_by("id"):
        found[payment.cart_reference].append(payment)
    return found


def _actions(payments: list[Payment]) -> dict[int, ReaderAction]:
    """Return the newest place at a reader of each payment."""
    on_reader = [payment.id for payment in payments if payment.method == Method.TERMINAL]
    places = (
        ReaderAction.objects.filter(payment__in=on_reader, refund=None).order_by("id") if on_reader else []
    )
    return {place.payment_id: place for place in places}


def _entry(cart: Cart, payments: list[Payment], actions: dict[int, ReaderAction]) -> InFlight:
    told = next((p for p in reversed(payments) if p.state in LIVE), None) or next(
        (p for p in payments if p.state == PaymentState.HELD), None
    )
    first = next(iter(cart.lines.all()))
    name = cart.customer.name if cart.customer is not None else cart.guest_name
    action = actions.get(told.id) if told is not None else None
    return InFlight(cart, name or first.description, quote(cart).totals.total, told, action)
