"""What Stripe says of an intent, brought to its payment: there is one road to "paid", and this is it.

The API's answer, a webhook event and a read all end in `settle` or `apply`.
"""

from __future__ import annotations

import datetime

from django.db import transaction
from django.db.models import QuerySet

from web.core.compiled import compiled
from web.core.crypto import seal
from web.payments import history, locks
from web.payments.jobs import READ_INTENT, enqueue_for_payment
from web.payments.locks import Sale
from web.payments.models import HeldReason, Method, Payment
from web.payments.money import Money
from web.payments.operations.payments import count_refunds, finish, freeze, move, release
from web.payments.queries.quotes import quote
from web.payments.snapshots import CardFacts, IntentSnapshot, Source
from web.payments.states import FINAL, PAYMENT_EDGES, CartState, PaymentState

BETWEEN_ODD_READS = datetime.timedelta(seconds=10)
# Stripe lets an authorisation on a reader lapse after two days; its charge does not always say when.
AUTHORISATION_LASTS = datetime.timedelta(days=2)


@transaction.atomic
def settle(
    *,
    account_id: int,
    snapshot: IntentSnapshot,
    now: datetime.datetime,
    actor: str = history.STRIPE,
) -> Payment | None:
    """Apply what Stripe says about an intent; return its payment, or None where it is not one of ours."""
    found = find(account_id=account_id, snapshot=snapshot)
    if found is None:
        return None
    sale, payment = locks.sale_of_payment(found.id)
    apply(sale, payment, snapshot, now=now, actor=actor)
    return payment


def settle_locked(sale: Sale, payment: Payment, snapshot: IntentSnapshot, *, now: datetime.datetime) -> None:
    """Apply what an event says of an intent to a sale that is locked and loaded."""
    apply(sale, payment, snapshot, now=now, actor=history.STRIPE)


@transaction.atomic
def learn_card(*, account_id: int, snapshot: CardFacts, now: datetime.datetime) -> Payment | None:
    """Note which card was charged; return the payment, or None where it is not one of ours. Moves nothing."""
    found = find(account_id=account_id, snapshot=snapshot)
    if found is None:
        return None
    sale, payment = locks.sale_of_payment(found.id)
    note_card(sale, payment, snapshot, now=now)
    return payment


def note_card(sale: Sale, payment: Payment, snapshot: CardFacts, *, now: datetime.datetime) -> None:
    """Note on a locked payment which card was charged; when it is noted changes nothing."""
    is_newer = snapshot.is_paid or not payment.is_final  # a late failure must not replace the card that paid
    if is_newer and payment.intent_id in (None, snapshot.intent_id):
        payment.charge_id = snapshot.charge_id
        payment.card_brand, payment.card_last4 = snapshot.card_brand, snapshot.card_last4
        sale.writes.payment(payment)


def find(*, account_id: int, snapshot: IntentSnapshot | CardFacts) -> Payment | None:
    """Find the payment of a snapshot: by its intent, or by our id in the metadata before we know the intent.

    The second way is how an event that overtakes the API's answer is not lost.
    """
    payment = _of_intent.first(account_id=account_id, intent_id=snapshot.intent_id)
    if payment is None and snapshot.payment_public_id:
        payments = Payment.objects.filter(account_id=account_id, public_id=snapshot.payment_public_id)
        payment = payments.first()
    return payment


@compiled
def _of_intent(account_id: int, intent_id: str) -> QuerySet[Payment]:
    return Payment.objects.filter(account_id=account_id, intent_id=intent_id)


def apply(
    sale: Sale, payment: Payment, snapshot: IntentSnapshot, *, now: datetime.datetime, actor: str
) -> None:
    """Bring a locked payment to what the snapshot says, and draw the consequences for its cart."""
    if payment.intent_id is None:
        payment.intent_id = snapshot.intent_id
    elif payment.intent_id != snapshot.intent_id:
        raise TwoIntents(f"payment {payment.id} has {payment.intent_id}, not {snapshot.intent_id}")
    # What is paid on a reader is paid nowhere else: nobody needs its secret.
    if snapshot.client_secret and payment.state not in FINAL and payment.method != Method.TERMINAL:
        payment.client_secret_sealed = seal(snapshot.client_secret)
    target = _target(payment, snapshot)
    is_stale = snapshot.source is Source.EVENT and (
        snapshot.occurred_at is not None
        and payment.snapshot_at is not None
        and snapshot.occurred_at <= payment.snapshot_at  # whole seconds: a tie proves nothing
        and target not in FINAL
    )
    is_news = target != payment.state
    # A read is odd too where an event overtook it.
    is_odd = is_news and (payment.state, target) not in PAYMENT_EDGES
    is_stale = is_stale or (is_odd and target not in FINAL)
    if is_stale and is_news and payment.state not in FINAL:
        # Old or odd news that disagrees: ask instead of guessing, and not at once what was asked just now.
        pause = datetime.timedelta(0) if snapshot.source is Source.EVENT else BETWEEN_ODD_READS
        enqueue_for_payment(READ_INTENT, payment, now=now, due_at=now + pause)
    if not is_stale and payment.state not in FINAL:
        _copy_facts(payment, snapshot)
    if is_stale or not is_news:
        sale.writes.payment(payment)
        return
    if target == PaymentState.SUCCEEDED:
        _receive(sale, payment, snapshot, now=now)
        target = PaymentState.HELD if payment.held_reason else target
    if target == PaymentState.AUTHORISED and payment.capture_before is None:
        payment.capture_before = (snapshot.occurred_at or now) + AUTHORISATION_LASTS
    facts: dict[str, object] = {"intent": snapshot.intent_id, "source": snapshot.source.value}
    move(sale, payment, target, now=now, actor=actor, data=facts)
    finish(sale, now=now, actor=actor)
    release(sale, payment, now=now, actor=actor)


class TwoIntents(Exception):
    """Two intents claim one payment; nothing was changed and a person must look. A defect of ours."""


def _target(payment: Payment, snapshot: IntentSnapshot) -> str:
    """Say where the snapshot takes the payment: nowhere from a final state, unless money came in."""
    state = snapshot.state
    if payment.state in (PaymentState.SUCCEEDED, PaymentState.HELD):
        return payment.state
    if state == PaymentState.SUCCEEDED:
        return PaymentState.SUCCEEDED
    if payment.state in FINAL:
        return payment.state
    if payment.state == PaymentState.CANCELLING and state not in FINAL:
        return payment.state
    return state


def _copy_facts(payment: Payment, snapshot: IntentSnapshot) -> None:
    if snapshot.occurred_at is not None:
        payment.snapshot_at = max(payment.snapshot_at or snapshot.occurred_at, snapshot.occurred_at)
    payment.charge_id = snapshot.charge_id or payment.charge_id
    payment.card_brand = snapshot.card_brand or payment.card_brand
    payment.card_last4 = snapshot.card_last4 or payment.card_last4
    payment.decline_code = snapshot.decline_code
    payment.failure_code = snapshot.failure_code
    payment.capture_before = snapshot.capture_before or payment.capture_before


def _receive(sale: Sale, payment: Payment, snapshot: IntentSnapshot, *, now: datetime.datetime) -> None:
    """Record money that came in, and why it must be held, if it must. May freeze a cart that was reopened."""
    received = snapshot.amount_received
    asked = Money(payment.amount_minor, payment.currency)
    tip = snapshot.tip if payment.method == Method.TERMINAL else None
    if tip is not None and tip.currency == asked.currency and tip.amount > 0:
        payment.reader_tip_minor = tip.amount
        asked += tip
    payment.amount_received_minor = received.amount if received is not None else 0
    is_foreign = received is not None and received.currency != asked.currency
    payment.received_currency = received.currency if received is not None and is_foreign else ""
    count_refunds(payment)  # one made in Stripe's dashboard may have been heard of first
    payment.held_reason = ""
    if received is None or received.currency != asked.currency:
        payment.held_reason = HeldReason.CURRENCY
    elif received != asked:
        payment.held_reason = HeldReason.AMOUNT
    elif sale.cart is None:
        payment.held_reason = HeldReason.SECOND_SUCCESS if sale.order else HeldReason.CART_GONE
    elif payment.state in FINAL:  # cancelled or failed: it no longer counts, does it still fit?
        payment.held_reason = fit_again(sale, payment, now=now)


def fit_again(sale: Sale, payment: Payment, *, now: datetime.datetime) -> str:
    """Say why money that came in late does not fit its cart, "" where it does. May freeze a cart that is open."""
    cart = sale.cart
    assert cart is not None
    if cart.state == CartState.OPEN:
        priced = quote(cart)
        if not priced.totals.lines or priced.totals.total.amount != payment.amount_minor:
            return HeldReason.CART_CHANGED
        freeze(cart, priced, now=now)
        return ""
    assert cart.frozen_total_minor is not None
    if sale.being_refunded:  # what is given back at this moment must not pay an order
        return HeldReason.CART_CHANGED
    fits = cart.committed_minor + payment.amount_minor <= cart.frozen_total_minor
    return "" if fits else HeldReason.SECOND_SUCCESS
