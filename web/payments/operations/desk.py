"""Sales that need no Stripe: cash, complimentary, and carts that cost nothing. Paid and ordered in one transaction."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from web.core.models import Business, Profile
from web.payments import history, locks
from web.payments.errors import Refusal
from web.payments.models import Cart, Method, Order, Payment
from web.payments.money import Money
from web.payments.operations.carts import CartNotFound, confirm_buyer
from web.payments.operations.intents import AlreadyPaid, PaymentUnderWay, TotalChanged, price
from web.payments.operations.payments import FormReused, commit, complete, freeze
from web.payments.operations.reserving import set_aside
from web.payments.queries.quotes import quote
from web.payments.states import CartState, PaymentState


class ReasonMissing(Refusal):
    code = "reason_missing"
    message = _("A complimentary sale needs a reason.")
    next_step = _("No money moved. Say why it is complimentary and try again.")


class NoteMissing(Refusal):
    code = "note_missing"
    message = _("Say where it was paid already.")
    next_step = _("No money moved. Write down where, such as the other system's receipt, and try again.")


class BadTender(Refusal):
    """`details["due"]` is what is left to pay."""

    code = "bad_tender"
    message = _("This is not an amount that can be taken for this sale.")
    next_step = _("No money moved. Enter more than zero, and no more than what is left to pay.")


@dataclass(frozen=True, slots=True)
class Taken:
    """What taking money came to: the payment (None where nothing was left), the order if all is paid, the rest."""

    payment: Payment | None
    order: Order | None
    due: Money


# Why each method needs a note, if it does: somebody will ask.
_NOTES: dict[str, type[Refusal]] = {Method.COMPLIMENTARY: ReasonMissing, Method.ALREADY_PAID: NoteMissing}
TAKEN_AT_THE_DESK = frozenset({Method.CASH, Method.ALREADY_PAID, Method.COMPLIMENTARY, Method.NO_CHARGE})


def sell(
    *,
    business: Business,
    token: str,
    method: Method,
    form_token: str,
    expected_total_minor: int,
    now: datetime.datetime,
    staff: Profile | None,
    note: str = "",
    payer: Profile | None = None,
) -> Order:
    """Take all that is left to pay by `method` and make the order. The same form again returns the same order."""
    taken = take(
        business=business,
        token=token,
        method=method,
        form_token=form_token,
        expected_total_minor=expected_total_minor,
        now=now,
        staff=staff,
        note=note,
        payer=payer,
    )
    if taken.order is None:
        raise FormReused  # the form has taken a part of the total before
    return taken.order


@transaction.atomic
def take(
    *,
    business: Business,
    token: str,
    method: Method,
    form_token: str,
    expected_total_minor: int,
    now: datetime.datetime,
    staff: Profile | None,
    note: str = "",
    amount: Money | None = None,
    payer: Profile | None = None,
) -> Taken:
    """Take an amount by `method`, or all that is left to pay; with the last of it the order is made.

    What the cart shall use of its customer's balance and credits is set aside first. The same form again returns
    what it took.
    """
    if method not in TAKEN_AT_THE_DESK:
        raise BadTender
    if method in _NOTES and not note.strip():
        raise _NOTES[method]
    repeated = (
        Payment.objects.filter(business=business, form_token=form_token).select_related("order").first()
    )
    if repeated is not None and repeated.order is not None and repeated.order.token == token:
        return Taken(repeated, repeated.order, Money.zero(repeated.currency))
    reference = locks.reference_of(business_id=business.id, token=token)
    sale = None if reference is None else locks.sale(reference)
    cart = None if sale is None else sale.cart
    if sale is None or cart is None:
        return _already_ordered(business, token, form_token)
    known = next((payment for payment in sale.payments if payment.form_token == form_token), None)
    if known is not None and known.state == PaymentState.SUCCEEDED:
        left = quote(cart).totals.total.amount - cart.committed_minor
        return Taken(known, None, Money(left, cart.currency))
    if repeated is not None or known is not None:
        raise FormReused
    if sale.live:
        raise PaymentUnderWay
    priced = price(sale, expected_total_minor=expected_total_minor)
    if cart.state == CartState.OPEN:
        freeze(cart, priced, now=now)
    actor = history.CUSTOMER if staff is None else history.staff(staff.id)
    due = set_aside(sale, priced, payer=staff or payer, form_token=form_token, now=now, actor=actor)
    if method is Method.NO_CHARGE and due:
        raise TotalChanged(total=priced.totals.total, due=due)
    if amount is not None and not Money.zero(due.currency) < amount <= due:
        raise BadTender(due=due)
    payment = None
    if due or not sale.reserved:  # nothing is left where what is set aside pays all
        taken = due if amount is None else amount
        payment = Payment(
            business=business,
            cart_reference=cart.reference,
            customer_id=cart.customer_id,
            created_by=staff,
            method=method,
            state=PaymentState.SUCCEEDED,
            state_changed_at=now,
            amount_minor=taken.amount,
            amount_received_minor=taken.amount,
            currency=cart.currency,
            form_token=form_token,
            note=note.strip()[:200],
            created_at=now,
        )
        commit(cart, payment, now=now, actor=actor)
        sale.payments.append(payment)
        due -= taken
    complete(sale, now=now, actor=actor)
    return Taken(payment, sale.order, due)


@transaction.atomic
def complete_free(
    *,
    business: Business,
    token: str,
    form_token: str,
    now: datetime.datetime,
    signed_in: Profile | None,
    name: str,
    email: str,
    accepts_policy: bool,
    expected_total_minor: int = 0,
) -> Order:
    """Let a customer complete a cart that costs nothing, or that their balance and credits pay for.

    TotalChanged where something is left to pay after all.
    """
    if Cart.objects.filter(business=business, token=token, state=CartState.OPEN).exists():
        confirm_buyer(
            business=business,
            token=token,
            signed_in=signed_in,
            name=name,
            email=email,
            accepts_policy=accepts_policy,
            now=now,
        )
    return sell(
        business=business,
        token=token,
        method=Method.NO_CHARGE,
        form_token=form_token,
        expected_total_minor=expected_total_minor,
        now=now,
        staff=None,
        payer=signed_in,
    )


def _already_ordered(business: Business, token: str, form_token: str) -> Taken:
    order = Order.objects.filter(business=business, token=token).first()
    if order is None:
        raise CartNotFound
    known = order.payments.filter(form_token=form_token).first()
    if known is not None:
        return Taken(
            known, order, Money.zero(order.currency)
        )  # the same form, twice at once: the other one was first
    raise AlreadyPaid(order=order)
