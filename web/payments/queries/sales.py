"""What the shop, the checkout and the till show: items, people, carts with their prices, receipts.

Reads only. Everything is asked of one business; what another business has is as good as absent.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import OuterRef, Q, QuerySet, Subquery

from web.core.compiled import compiled
from web.core.models import Business, Item, Location, Profile
from web.payments.models import (
    Cart,
    CartLine,
    Method,
    Order,
    Payment,
    PaymentSettings,
    Refund,
    StripeAccount,
)
from web.payments.money import SUPPORTED, Money
from web.payments.operations.carts import CartNotFound
from web.payments.pricing import LineTotals, Quote
from web.payments.queries.finding import Key
from web.payments.queries.quotes import lines_of, quote
from web.payments.states import LIVE, REFUND_OPEN, CartState, PaymentState, RefundState

TOKEN = re.compile(r"[A-Za-z0-9_-]{1,40}")
MOST_ITEMS = 200  # a shop's page; a catalogue beyond that needs categories
MOST_MATCHES = 12  # what a person can look through at a till
MOST_ORDERS = 50


@dataclass(frozen=True, slots=True)
class Sale:
    """A cart as a page shows it: its lines with what they come to, its price, and the payments so far."""

    cart: Cart
    lines: Sequence[tuple[CartLine, LineTotals]]
    quote: Quote
    payments: Sequence[Payment]

    @property
    def is_open(self) -> bool:
        return self.cart.state == CartState.OPEN

    @property
    def live(self) -> Payment | None:
        """The online payment that is under way, if one is."""
        return next((p for p in self.payments if p.state in LIVE and p.method == Method.ONLINE), None)

    @property
    def held(self) -> Payment | None:
        return next((p for p in self.payments if p.state == PaymentState.HELD), None)

    @property
    def paid(self) -> Money:
        """What has come in, and what is set aside of what the customer has stored."""
        counting = (PaymentState.SUCCEEDED, PaymentState.RESERVED)
        paid = sum(p.amount_minor for p in self.payments if p.state in counting and not p.is_released)
        return Money(paid, self.cart.currency)

    @property
    def due(self) -> Money:
        """What is still to be paid: the total less what has come in."""
        return self.quote.totals.total - self.paid

    @property
    def count(self) -> int:
        return sum(line.quantity for line, _ in self.lines)


@dataclass(frozen=True, slots=True)
class Terms:
    """How a business takes payments, as its checkout needs to know."""

    settings: PaymentSettings
    publishable_key: str  # "" where nothing can be paid online

    @property
    def policy(self) -> str:
        """The refund policy's text, or "" where there is none."""
        return self.settings.refund_policy.strip()

    @property
    def asks_for_policy(self) -> bool:
        return bool(self.policy) and self.settings.refund_popup


@compiled
def _terms_of(business: int) -> QuerySet[PaymentSettings]:
    used = StripeAccount.objects.filter(business=OuterRef("business"), state=StripeAccount.State.ACTIVE)
    return PaymentSettings.objects.filter(business=business).annotate(
        active_key=Subquery(used.values("publishable_key"))
    )


def terms(business: Business) -> Terms:
    """Return the business's payment settings (their defaults where it has none) and its key for the browser."""
    settings = _terms_of.first(business=business.id)
    if settings is None:
        return Terms(PaymentSettings(business=business), "")
    is_used = settings.gateway == PaymentSettings.Gateway.STRIPE
    key: str | None = settings.active_key  # type: ignore[attr-defined]  # annotated above
    return Terms(settings, (key or "") if is_used else "")


def is_token(text: str) -> bool:
    """Say whether a text could be a cart's token at all."""
    return TOKEN.fullmatch(text) is not None


@compiled
def _cart_of(business: int, token: str) -> QuerySet[Cart]:
    return Cart.objects.filter(business=business, token=token).select_related(
        "customer", "location", "created_by"
    )


@compiled
def _payments_of(business: int, reference: uuid.UUID) -> QuerySet[Payment]:
    return Payment.objects.filter(business=business, cart_reference=reference).order_by("id")


def sale(business: Business, token: str) -> Sale:
    """Return the cart behind a link; raise CartNotFound where there is none (any more)."""
    cart = _cart_of.first(business=business.id, token=token) if is_token(token) else None
    if cart is None:
        raise CartNotFound
    lines = lines_of(cart)
    priced = quote(cart, lines)
    payments = _payments_of.all(business=business.id, reference=cart.reference)
    # One that is frozen has the price of its lines as they were then: a page shows the pairs that there are.
    paired = list(zip(lines, priced.totals.lines, strict=False))
    return Sale(cart, paired, priced, payments)


def order_of_token(business: Business, token: str) -> Order | None:
    """Return the order that a cart became: the cart's address keeps working."""
    if not is_token(token):
        return None
    return Order.objects.filter(business=business, token=token).first()


def receipt(business: Business, token: str) -> Order | None:
    """Return an order with all that a receipt shows."""
    if not is_token(token):
        return None
    orders = Order.objects.filter(business=business, token=token).select_related("location", "created_by")
    return orders.prefetch_related("lines", "payments").first()


@compiled
def _locations_of(business: int) -> QuerySet[Location]:
    return Location.objects.filter(business=business).order_by("id")


def locations(business: Business) -> list[Location]:
    """Return the business's places, the oldest first: it is the one that the web shop sells for."""
    return _locations_of.all(business=business.id)


def items_for_sale(business: Business, location: Location, *, online: bool) -> list[Item]:
    """Return what a location sells: on the web, or over its counter."""
    if location.currency not in SUPPORTED:
        return []  # nothing can be charged there, so nothing is offered
    sold = _sold_online if online else _sold
    return sold.all(business=business.id, location=location.id, currency=location.currency)


@compiled
def _sold(business: int, location: int, currency: str) -> QuerySet[Item]:
    return _shown(_items_at(business, location, currency))


@compiled
def _sold_online(business: int, location: int, currency: str) -> QuerySet[Item]:
    return _shown(_items_at(business, location, currency).filter(sold_online=True))


def _shown(items: QuerySet[Item]) -> QuerySet[Item]:
    return items.order_by("item_type", "name", "id")[:MOST_ITEMS]


def _items_at(business: int, location: int, currency: str) -> QuerySet[Item]:
    anywhere_or_here = Q(location=None) | Q(location=location)
    return Item.objects.filter(anywhere_or_here, business=business, is_active=True, currency=currency)


def items_named(business: Business, location: Location, text: str) -> list[Item]:
    """Find items by what was scanned or typed: an exact code is one item, otherwise a part of the name."""
    text = text.strip()
    if not text:
        return []
    items = _items(business, location)
    scanned = items.filter(code=text).first()
    if scanned is not None:
        return [scanned]
    return list(items.filter(name__icontains=text).order_by("name", "id")[:MOST_MATCHES])


def fee_items(business: Business) -> list[Item]:
    """Return what a fee can be sold as: any item that is still sold."""
    return list(Item.objects.filter(business=business, is_active=True).order_by("name", "id")[:MOST_ITEMS])


def _items(business: Business, location: Location) -> QuerySet[Item]:
    if location.currency not in SUPPORTED:
        return Item.objects.none()  # nothing can be charged there, so nothing is offered
    return _items_at(business.id, location.id, location.currency)


def cart_of(profile: Profile) -> Cart | None:
    """Return the customer's newest cart that holds something."""
    carts = Cart.objects.filter(business_id=profile.business_id, customer=profile, lines__isnull=False)
    return carts.distinct().order_by("-created_at", "-id").first()


def due_on_arrival(business: Business) -> list[Cart]:
    """Return the carts that customers left to be paid at the desk, the longest waiting first."""
    carts = Cart.objects.filter(
        business=business, pays_on_arrival_at__isnull=False, state=CartState.OPEN, lines__isnull=False
    ).distinct()
    rows = carts.select_related("customer", "location").prefetch_related("lines")
    return list(rows.order_by("pays_on_arrival_at", "id")[:MOST_ORDERS])


def cart_count(business: Business, token: str) -> int:
    """Say how many things the browser's cart holds; 0 without one."""
    if not is_token(token):
        return 0
    lines = CartLine.objects.filter(cart__business=business, cart__token=token)
    return sum(lines.values_list("quantity", flat=True))


def orders_of(profile: Profile, *, after: Key | None = None) -> tuple[list[Order], Key | None]:
    """Return some of the customer's orders, newest first, and where the older ones begin."""
    orders = Order.objects.filter(business_id=profile.business_id, customer=profile)
    if after is not None:
        orders = orders.filter(created_at__lte=after.at).filter(
            Q(created_at__lt=after.at) | Q(id__lt=after.id)
        )
    rows = orders.prefetch_related("lines", "payments").order_by("-created_at", "-id")
    found = list(rows[: MOST_ORDERS + 1])
    shown = found[:MOST_ORDERS]
    return shown, Key(shown[-1].created_at, shown[-1].id) if len(found) > MOST_ORDERS else None


def given_back(order: Order) -> list[Refund]:
    """Return what went back of an order, or is on its way, as its customer may know it: the oldest first.

    What failed before the bank had it never was on its way to the customer, and is not told.
    """
    refunds = Refund.objects.filter(
        Q(state__in=[*REFUND_OPEN, RefundState.SUCCEEDED])
        | Q(state=RefundState.FAILED, stripe_refund_id__isnull=False),
        payment__order=order,
    )
    return list(refunds.select_related("payment").order_by("created_at", "id"))


def orders_of_tokens(business: Business, tokens: Sequence[str]) -> list[Order]:
    """Return the orders that a browser remembers, newest first."""
    orders = Order.objects.filter(business=business, token__in=[token for token in tokens if is_token(token)])
    return list(orders.order_by("-created_at", "-id")) if tokens else []
