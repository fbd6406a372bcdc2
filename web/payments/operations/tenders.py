"""Several ways of paying for one sale: what the customer chose to use, and what staff take of it at the till."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext_lazy as _

from web.core.models import Business, Profile
from web.payments import history, locks
from web.payments.errors import Kind, Refusal
from web.payments.models import Cart, Ledger, Order, Payment
from web.payments.money import Money
from web.payments.operations import ledger_book, ledgers
from web.payments.operations.carts import CartFrozen, CartNotFound
from web.payments.operations.intents import AlreadyPaid, PaymentUnderWay, price
from web.payments.operations.payments import FormReused, complete, freeze, move, reopen
from web.payments.operations.reserving import may_use, reserve
from web.payments.pricing import Quote
from web.payments.queries.ledgers import Plan, plan, stored
from web.payments.queries.quotes import quote
from web.payments.states import LIVE, CartState, PaymentState


class NotTheirLedger(Refusal):
    code, kind = "not_their_ledger", Kind.CONFLICT
    message = _("Only the customer and the front desk can use what the customer has stored.")
    next_step = _("No money moved. Sign in as the customer, or pay in another way.")


class NothingToCover(Refusal):
    code, kind = "nothing_to_cover", Kind.CONFLICT
    message = _("Nothing in this sale can be paid this way.")
    next_step = _("Nothing was taken. Credits pay for services, the balance for anything but gift cards.")


class NotReserved(Refusal):
    code, kind = "not_reserved", Kind.CONFLICT
    message = _("This is not set aside any more.")
    next_step = _("Nothing was changed. Reload the page.")


@dataclass(frozen=True, slots=True)
class Covered:
    """What setting aside came to: the payments that it made, the order if they paid all, and what is left."""

    payments: tuple[Payment, ...]
    order: Order | None
    due: Money


@transaction.atomic
def choose(
    *,
    business: Business,
    token: str,
    payer: Profile | None,
    uses_balance: bool | None = None,
    uses_credits: bool | None = None,
) -> Cart:
    """Say whether the customer's balance and credits shall be used; they are set aside when the rest is asked for.

    A customer who is signed in and opens a cart without one becomes its buyer.
    """
    cart = locks.cart(business_id=business.id, token=token)
    if cart is None:
        raise CartNotFound
    if cart.state != CartState.OPEN:
        raise CartFrozen
    if cart.customer_id is None and payer is not None and not payer.is_staff:
        if payer.business_id != business.id:
            raise NotTheirLedger
        cart.customer, cart.guest_name, cart.guest_email = payer, "", ""
    if cart.customer_id is None:
        raise ledgers.NobodysLedger
    if not may_use(cart, payer):
        raise NotTheirLedger
    if uses_balance is not None:
        cart.uses_balance = uses_balance
    if uses_credits is not None:
        cart.uses_credits = uses_credits
    cart.save(
        update_fields=["uses_balance", "uses_credits", "customer", "guest_name", "guest_email", "updated_at"]
    )
    return cart


# --- by hand, at the till ---------------------------------------------------------------------------


@transaction.atomic
def use(
    *,
    business: Business,
    token: str,
    ledger: Ledger,
    form_token: str,
    expected_total_minor: int,
    now: datetime.datetime,
    staff: Profile,
    amount: Money | None = None,
    units: int | None = None,
) -> Covered:
    """Set aside so much of the customer's balance, or so many credits, for a sale at the till (None: all that fits).

    Where that pays all, the order is made. The same form again returns what it made.
    """
    repeated = (
        Payment.objects.filter(business=business, form_token=form_token).select_related("order").first()
    )
    reference = locks.reference_of(business_id=business.id, token=token)
    sale = None if reference is None else locks.sale(reference)
    cart = None if sale is None else sale.cart
    if sale is None or cart is None:
        order = Order.objects.filter(business=business, token=token).first()
        if order is None:
            raise CartNotFound
        if order.payments.filter(form_token=form_token).exists():
            return Covered(tuple(order.payments.all()), order, Money.zero(order.currency))
        raise AlreadyPaid(order=order)
    if repeated is None:  # twice at once: the other one was first
        repeated = Payment.objects.filter(business=business, form_token=form_token).first()
    if repeated is not None:
        if repeated.cart_reference != cart.reference:
            raise FormReused
        if repeated.state == PaymentState.CANCELLED:  # undone since: what the old page shows is not there
            raise NotReserved
        left = quote(cart).totals.total.amount - cart.committed_minor
        return Covered((repeated,), None, Money(left, cart.currency))
    if cart.customer_id is None:
        raise ledgers.NobodysLedger
    if not may_use(cart, staff):
        raise NotTheirLedger
    if sale.live:
        raise PaymentUnderWay
    priced = price(sale, expected_total_minor=expected_total_minor)
    ledgers.hold(cart, now=now, actor=history.staff(staff.id))
    wanted = _asked(cart, priced, sale.payments, ledger, amount=amount, units=units, now=now)
    if cart.state == CartState.OPEN:
        freeze(cart, priced, now=now)
    actor = history.staff(staff.id)
    made = reserve(sale, wanted, form_token=form_token, payer=staff, now=now, actor=actor, takes_token=True)
    complete(sale, now=now, actor=actor)
    left = 0 if sale.cart is None else priced.totals.total.amount - cart.committed_minor
    due = Money(left, cart.currency)
    return Covered(tuple(made), sale.order, due)


def _asked(
    cart: Cart,
    priced: Quote,
    payments: list[Payment],
    ledger: Ledger,
    *,
    amount: Money | None,
    units: int | None,
    now: datetime.datetime,
) -> Plan:
    """Say what exactly this much, or these credits, pay for; refuse what is not there or does not fit."""
    has = stored(cart.customer_id, cart.currency, now=now)
    zero = Money.zero(cart.currency)
    if ledger == Ledger.MONEY:
        if amount is not None and not zero < amount:
            raise NothingToCover
        if amount is not None and has.money < amount:
            raise ledger_book.BalanceInsufficient(free=has.money)
        if not has.money:
            raise ledger_book.BalanceInsufficient(free=has.money)
        wanted = plan(
            cart, priced, payments, units=0, balance=has.money if amount is None else min(amount, has.money)
        )
        if not wanted.balance or (amount is not None and wanted.balance != amount):
            raise NothingToCover
        return wanted
    if units is not None and units < 1:
        raise NothingToCover
    if not has.credits or (units is not None and units > has.credits):
        raise ledger_book.CreditsInsufficient(free=has.credits)
    wanted = plan(cart, priced, payments, units=has.credits if units is None else units, balance=zero)
    if not wanted.credits or (units is not None and wanted.credits != units):
        raise NothingToCover
    return wanted


@transaction.atomic
def undo(*, business: Business, payment_id: int, now: datetime.datetime, actor: str) -> Payment:
    """Give back what one payment had set aside; the cart opens again where nothing else is on it."""
    if not Payment.objects.filter(business=business, id=payment_id).exists():
        raise NotReserved
    sale, payment = locks.sale_of_payment(payment_id)
    if payment.state == PaymentState.CANCELLED:
        return payment  # pressed twice
    if payment.state != PaymentState.RESERVED:
        raise NotReserved
    if sale.live:
        raise PaymentUnderWay  # the other payment was made for exactly what this one leaves
    ledgers.release([payment], now=now, actor=actor)
    move(sale, payment, PaymentState.CANCELLED, now=now, actor=actor)
    if sale.cart is not None and not (sale.reserved or sale.succeeded or sale.held):
        reopen(sale, now=now, actor=actor)
    return payment


FORGOTTEN_AFTER = datetime.timedelta(hours=2)  # a till's sale that nobody went on with


def release_forgotten(*, limit: int, now: datetime.datetime) -> int:
    """Give back what was set aside for sales that nobody went on with; return how many sales were looked at.

    Only where nothing else is on the sale: a cart with money on it, or a payment under way, is a person's.
    """
    others = Payment.objects.filter(
        cart_reference=OuterRef("cart_reference"),
        state__in=LIVE | {PaymentState.SUCCEEDED, PaymentState.HELD},
        is_released=False,
    )
    references = list(
        Payment.objects.filter(
            ~Exists(others), state=PaymentState.RESERVED, state_changed_at__lte=now - FORGOTTEN_AFTER
        )
        .order_by("state_changed_at")
        .values_list("cart_reference", flat=True)[:limit]
    )
    for reference in sorted(set(references)):
        with transaction.atomic():
            sale = locks.sale(reference)
            if sale.live or sale.succeeded or sale.held or not sale.reserved or sale.cart is None:
                continue
            reopen(sale, now=now, actor=history.WORKER)
    return len(references)
