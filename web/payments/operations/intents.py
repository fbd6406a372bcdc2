"""Payments by card: asked for by a page, created at Stripe by a worker; cancelled and read again on request.

What comes of it is settling.py's.
"""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass

import structlog
from django.db import DatabaseError, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from web.core.compiled import compiled
from web.core.models import Business, Profile
from web.payments import history, locks
from web.payments.errors import Kind, Refusal
from web.payments.jobs import (
    CANCEL_INTENT,
    CHARGE_CARD,
    CREATE_INTENT,
    NOBODY_WAITS,
    PERSON_WAITS,
    READ_INTENT,
    enqueue_for_payment,
)
from web.payments.locks import Sale
from web.payments.models import (
    Cart,
    Method,
    Order,
    Payment,
    PaymentEvent,
    PaymentSettings,
    StripeAccount,
)
from web.payments.money import Money, largest_charge, smallest_charge
from web.payments.operations import lane
from web.payments.operations.carts import BuyerIncomplete, CartNotFound, CartTooLarge, hash_policy
from web.payments.operations.payments import (
    FormReused,
    commit,
    freeze,
    move,
    next_check,
)
from web.payments.operations.reserving import set_aside
from web.payments.pricing import Quote
from web.payments.queries.quotes import quote
from web.payments.states import CANCELLABLE, CHARGEABLE, FINAL, CartState, PaymentState

SHORTEST_BETWEEN_READS = datetime.timedelta(seconds=1)
# Stripe keeps an intent open for ever; a customer who has not paid for a day has left. A business may say
# otherwise (PaymentSettings.abandoned_after_hours).
ABANDONED_AFTER = datetime.timedelta(hours=24)
A_ROUND = datetime.timedelta(seconds=15)  # until a payment is due again whose sweep died before it asked
_WAITS_FOR_CUSTOMER = {PaymentState.AWAITING, PaymentState.DECLINED}

log = structlog.get_logger(__name__)


class EmptyCart(Refusal):
    code = "cart_empty"
    message = _("There is nothing in this cart.")
    next_step = _("No money moved. Add something to it first.")


class AlreadyPaid(Refusal):
    """The cart has become an order; `details["order"]` is it."""

    code, kind = "already_paid", Kind.CONFLICT
    message = _("This sale is already paid.")
    next_step = _("You were not charged again. Open the receipt.")


class TotalChanged(Refusal):
    """The page showed another total; `details["total"]` is the right one."""

    code, kind = "total_changed", Kind.CONFLICT
    message = _("The total has changed since this page was opened.")
    next_step = _("You were not charged. Look at the new total and pay again.")


class GatewayNotConfigured(Refusal):
    code, kind = "gateway_not_configured", Kind.UNAVAILABLE
    message = _("Online payments are not set up for this business.")
    next_step = _("You were not charged. Please ask at the front desk.")


class AmountTooSmall(Refusal):
    code = "amount_too_small"
    message = _("This amount is smaller than a card can be charged.")
    next_step = _("You were not charged. Add something to the cart, or pay at the front desk.")


class NothingToPay(Refusal):
    code, kind = "nothing_to_pay", Kind.CONFLICT
    message = _("There is nothing left to pay here.")
    next_step = _("You were not charged.")


class MoneyHeld(Refusal):
    code, kind, money_moved = "money_held", Kind.CONFLICT, True
    message = _("Money has already come in for this cart and is being checked.")
    next_step = _("Do not pay again. The front desk will complete the sale or give the money back.")


class BeingRefunded(Refusal):
    code, kind, money_moved = "being_refunded", Kind.CONFLICT, True
    message = _("A part of this sale was paid and is being given back.")
    next_step = _("You were not charged again. Wait until the refund is through, then pay.")


class PaymentUnderWay(Refusal):
    code, kind = "payment_under_way", Kind.CONFLICT
    message = _("Another payment of this sale is under way.")
    next_step = _("Wait for it to end, or cancel it first. Nothing was taken twice.")


class PaymentNotFound(Refusal):
    code, kind = "payment_not_found", Kind.MISSING
    message = _("We cannot find this payment.")
    next_step = _("Nothing was charged by this. Open the checkout again.")


class PolicyNotAccepted(Refusal):
    code = "policy_not_accepted"
    message = _("The refund policy has to be accepted first.")
    next_step = _("You were not charged. Read it, tick the box and pay again.")


class SignInFirst(Refusal):
    code, kind = "sign_in_first", Kind.CONFLICT
    message = _("This business takes online payments from signed-in customers only.")
    next_step = _("You were not charged. Sign in or create an account, then pay.")


@dataclass(frozen=True, slots=True)
class Requested:
    """What a request for a payment got: a new payment, or the one that is already there."""

    payment: Payment
    is_new: bool


def hash_payer_key(key: str) -> str:
    """Return what we keep of a browser's payer key: enough to recognise it, not to copy it."""
    return hashlib.sha256(key.encode()).hexdigest()


@transaction.atomic
def request(
    *,
    business: Business,
    token: str,
    form_token: str,
    expected_total_minor: int,
    payer_key: str,
    now: datetime.datetime,
    actor: str = history.CUSTOMER,
    created_by: Profile | None = None,
    payer: Profile | None = None,
    expected_due_minor: int | None = None,
) -> Requested:
    """Ask for an online payment of all that is left to pay; a worker creates it at Stripe.

    What the cart shall use of its customer's balance and credits is set aside first, where the payer may do so.
    The same form again, and any form while a payment of this cart is live, gets that payment back.
    """
    reference = locks.reference_of(business_id=business.id, token=token)
    sale = None if reference is None else locks.sale(reference)
    if sale is None or sale.cart is None:
        raise no_cart(business, token)
    cart = sale.cart
    repeated = _payment_of_form.first(business=business.id, form_token=form_token)
    if repeated is not None and repeated.cart_reference != cart.reference:
        raise FormReused
    live = next((payment for payment in sale.live if payment.method == Method.ONLINE), None)
    if live is not None:
        return Requested(live, is_new=False)
    if repeated is not None:  # it ended without money; a new try needs a new form
        return Requested(repeated, is_new=False)
    account, settings = account_in_use(business)
    priced = price(sale, expected_total_minor=expected_total_minor)
    if cart.customer_id is None and cart.created_by_id is None and not settings.guests_may_pay:
        raise SignInFirst
    if cart.customer_id is None and not (cart.guest_name and cart.guest_email):
        raise BuyerIncomplete
    if settings.refund_popup and settings.refund_policy and not _accepted(cart, settings.refund_policy):
        raise PolicyNotAccepted
    due = take_rest(
        sale,
        priced,
        payer=payer,
        form_token=form_token,
        expected_due_minor=expected_due_minor,
        now=now,
        actor=actor,
    )
    payment = requested(cart, account, due, method=Method.ONLINE, form_token=form_token, now=now)
    payment.created_by = created_by
    payment.payer_key_hash = hash_payer_key(payer_key)
    payment.next_check_at = next_check(payment, now=now)
    commit(cart, payment, now=now, actor=actor)
    enqueue_for_payment(CREATE_INTENT, payment, now=now)
    return Requested(payment, is_new=True)


@compiled
def _payment_of_form(business: int, form_token: str) -> QuerySet[Payment]:
    return Payment.objects.filter(business=business, form_token=form_token)


def requested(
    cart: Cart, account: StripeAccount, due: Money, *, method: Method, form_token: str, now: datetime.datetime
) -> Payment:
    """Return a payment of `due` that a worker shall ask Stripe for; `commit` stores it."""
    return Payment(
        business_id=cart.business_id,
        account=account,
        cart_reference=cart.reference,
        customer_id=cart.customer_id,
        method=method,
        state=PaymentState.REQUESTED,
        state_changed_at=now,
        amount_minor=due.amount,
        currency=due.currency,
        form_token=form_token,
        created_at=now,
    )


def price(sale: Sale, *, expected_total_minor: int) -> Quote:
    """Price a locked sale that somebody wants to pay; refuse where that cannot be, or the page is old."""
    assert sale.cart is not None
    if sale.held:
        raise MoneyHeld
    if sale.being_refunded:
        raise BeingRefunded
    priced = quote(sale.cart)
    if not priced.totals.lines:
        raise EmptyCart
    if expected_total_minor != priced.totals.total.amount:
        raise TotalChanged(total=priced.totals.total)
    return priced


def take_rest(
    sale: Sale,
    priced: Quote,
    *,
    payer: Profile | None,
    form_token: str,
    now: datetime.datetime,
    actor: str,
    expected_due_minor: int | None = None,
) -> Money:
    """Freeze the cart, set aside what its customer has stored, and return what is left for a card to pay."""
    cart = sale.cart
    assert cart is not None
    if cart.state == CartState.OPEN:
        freeze(cart, priced, now=now)
    least = smallest_charge(cart.currency)
    due = set_aside(sale, priced, payer=payer, form_token=form_token, now=now, actor=actor, least=least)
    if expected_due_minor is not None and expected_due_minor != due.amount:
        raise TotalChanged(total=priced.totals.total, due=due)  # the balance was used elsewhere meanwhile
    if not due:
        raise NothingToPay
    if least is not None and due < least:
        raise AmountTooSmall
    if due > largest_charge(cart.currency):
        raise CartTooLarge
    return due


def no_cart(business: Business, token: str) -> Refusal:
    """Return what to say of a cart that is not there: it never was, or it has become an order."""
    order = Order.objects.filter(business=business, token=token).first()
    return CartNotFound() if order is None else AlreadyPaid(order=order)


def _accepted(cart: Cart, policy: str) -> bool:
    """Say whether the buyer accepted the refund policy as it reads now; who was chosen later did not."""
    events = PaymentEvent.objects.filter(cart_reference=cart.reference)
    chosen = events.filter(kind=history.CUSTOMER_CHOSEN).order_by("-id").values_list("id", flat=True).first()
    return events.filter(
        id__gt=chosen or 0, kind=history.POLICY_ACCEPTED, data__policy=hash_policy(policy)
    ).exists()


@compiled
def _settings_of(business: int) -> QuerySet[PaymentSettings]:
    return PaymentSettings.objects.filter(business=business)


@compiled
def _active_account_of(business: int, state: str) -> QuerySet[StripeAccount]:
    return StripeAccount.objects.filter(business=business, state=state)


def account_in_use(business: Business) -> tuple[StripeAccount, PaymentSettings]:
    """Return the account that the business sells on now; GatewayNotConfigured where there is none."""
    settings = _settings_of.first(business=business.id)
    account = _active_account_of.first(business=business.id, state=StripeAccount.State.ACTIVE)
    if account is None or settings is None or settings.gateway != PaymentSettings.Gateway.STRIPE:
        raise GatewayNotConfigured
    return account, settings


@transaction.atomic
def request_cancel(*, payment_id: int, now: datetime.datetime, actor: str) -> Payment:
    """Ask for a payment to be cancelled. The cart stays frozen until Stripe says `canceled`."""
    sale, payment = locks.sale_of_payment(payment_id)
    if payment.state in CANCELLABLE:
        request_cancel_of(sale, payment, now=now, actor=actor)
    return payment


def request_cancel_of(sale: Sale, payment: Payment, *, now: datetime.datetime, actor: str) -> None:
    """Ask for a locked payment to be cancelled. One that is on a reader is taken off it first."""
    move(sale, payment, PaymentState.CANCELLING, now=now, actor=actor)
    if not lane.is_on_reader(payment):
        enqueue_for_payment(CANCEL_INTENT, payment, now=now)


def read_soon(payment: Payment, *, now: datetime.datetime) -> None:
    """Queue a read of the payment, in the transaction at hand."""
    enqueue_for_payment(READ_INTENT, payment, now=now)


def cancel_if_asked(payment: Payment, *, now: datetime.datetime) -> None:
    """Queue the cancellation of a payment that waits for it, in the transaction at hand."""
    if payment.state == PaymentState.CANCELLING:
        enqueue_for_payment(CANCEL_INTENT, payment, now=now)


@transaction.atomic
def request_read(*, payment_id: int, now: datetime.datetime, priority: int = PERSON_WAITS) -> None:
    """Ask for the payment to be read at Stripe, because somebody came back and no event has."""
    payment = Payment.objects.select_for_update(no_key=True).get(id=payment_id)
    if payment.state in FINAL or not payment.intent_id:
        return
    # However often a page asks, a payment is read once a second at most: Stripe's budget is everybody's.
    at = now
    if payment.read_at is not None and payment.read_at + SHORTEST_BETWEEN_READS > now:
        at = min(payment.read_at, now) + SHORTEST_BETWEEN_READS
    payment.read_at = at
    payment.save(update_fields=["read_at"])
    enqueue_for_payment(READ_INTENT, payment, now=now, priority=priority, due_at=at)


def check_again(*, limit: int, now: datetime.datetime) -> int:
    """Queue the next step for payments that have been silent for too long; return how many.

    One that has waited for its customer for too long is given up: its cancellation is asked for, and the cart
    is free once Stripe says so. Dying in between costs one round: the payment is due again.
    """
    due, given_up = _put_off_checks(limit=limit, now=now)
    for payment_id in given_up:
        try:
            request_cancel(payment_id=payment_id, now=now, actor=history.WORKER)
        except DatabaseError as error:
            # Somebody holds its cart: it is due again soon, and the others are not held up.
            log.warning("payment.not_given_up", payment_id=payment_id, error=type(error).__name__)
    return len(due)


@transaction.atomic
def _put_off_checks(*, limit: int, now: datetime.datetime) -> tuple[list[Payment], list[int]]:
    """Queue a step for each payment that is due; return them, and the ids of those whose customer is given up."""
    due = list(
        Payment.objects.select_for_update(skip_locked=True, no_key=True)
        .filter(next_check_at__lte=now)
        .order_by("next_check_at")[:limit]
    )
    patience = _patience({one.business_id for one in due if one.state in _WAITS_FOR_CUSTOMER})
    given_up = []
    for payment in due:
        payment.checks = min(payment.checks + 1, 1000)
        payment.next_check_at = next_check(payment, now=now)
        is_given_up = False
        if payment.state in _WAITS_FOR_CUSTOMER:
            given_up_at = payment.state_changed_at + patience.get(payment.business_id, ABANDONED_AFTER)
            is_given_up = now >= given_up_at
            payment.next_check_at = min(payment.next_check_at, max(given_up_at, now + A_ROUND))
        payment.save(update_fields=["checks", "next_check_at"])
        if is_given_up:
            given_up.append(payment.id)
            continue
        if payment.state == PaymentState.CANCELLING:
            kind = CANCEL_INTENT
        elif payment.method == Method.SAVED_CARD and payment.state in CHARGEABLE:
            kind = CHARGE_CARD  # also ends it where the card was declined: nobody is there to try another
        elif payment.intent_id:
            kind = READ_INTENT
        else:
            kind = CREATE_INTENT
        enqueue_for_payment(kind, payment, now=now, priority=NOBODY_WAITS)
    return due, given_up


def _patience(businesses: set[int]) -> dict[int, datetime.timedelta]:
    """Return how long each of these waits for its customers."""
    rows = PaymentSettings.objects.filter(business_id__in=businesses)
    return {
        business: datetime.timedelta(hours=hours)
        for business, hours in rows.values_list("business_id", "abandoned_after_hours")
    }
