"""Charging a card that a customer has saved: asked for by staff, confirmed by a worker while the customer is away.

The customer agreed to this when the card was saved. An intent is paid once only, so that a confirmation may be
asked for again without fear; a card that is declined ends the payment, since nobody is there to try another one.
"""

from __future__ import annotations

import datetime
import uuid

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from web.core.models import Business, Item, Location, Profile
from web.payments import history, locks
from web.payments.errors import Kind, Refusal
from web.payments.jobs import CHARGE_CARD, Lease, enqueue_for_payment
from web.payments.models import Attempt, Card, Method, Operation, Payment, PaymentSettings
from web.payments.operations import attempts, carts
from web.payments.operations.cards import CardNotFound, offered
from web.payments.operations.intents import (
    PaymentUnderWay,
    Requested,
    account_in_use,
    no_cart,
    price,
    request_cancel,
    requested,
    take_rest,
)
from web.payments.operations.payments import FormReused, commit, next_check
from web.payments.queries.quotes import quote
from web.payments.states import AttemptState, PaymentState

ONE_FEE_WITHIN = datetime.timedelta(hours=24)


class CardOfAnotherAccount(Refusal):
    code, kind = "card_of_another_account", Kind.CONFLICT
    message = _("This card was saved with Stripe keys that are no longer in use.")
    next_step = _("Nothing was charged. Ask the customer to save the card again.")


class NoFee(Refusal):
    code, kind = "no_fee", Kind.MISSING
    message = _("No such fee is set up.")
    next_step = _("Nothing was charged. Choose its item in the settings.")


class FeeChargedAlready(Refusal):
    code, kind = "fee_charged_already", Kind.CONFLICT
    message = _("A fee with these words was charged to this customer today.")
    next_step = _("Nothing was charged again. If you mean another one, say so in its words.")


class FeeReasonMissing(Refusal):
    code = "fee_reason_missing"
    message = _("Say what the fee is for.")
    next_step = _("Nothing was charged. Name the class or appointment and try again.")


@transaction.atomic
def charge(
    *,
    business: Business,
    token: str,
    card_id: uuid.UUID,
    form_token: str,
    expected_total_minor: int,
    staff: Profile,
    now: datetime.datetime,
    note: str = "",
) -> Requested:
    """Ask for all that is left to pay of a cart to be charged to a saved card of its customer.

    The same form again gets the payment that it made.
    """
    offered(business)
    reference = locks.reference_of(business_id=business.id, token=token)
    sale = None if reference is None else locks.sale(reference)
    repeated = Payment.objects.filter(business=business, form_token=form_token).first()
    if repeated is not None and (sale is None or repeated.cart_reference == sale.reference):
        return Requested(repeated, is_new=False)
    if sale is None or sale.cart is None:
        raise no_cart(business, token)
    if repeated is not None:
        raise FormReused
    cart = sale.cart
    if sale.live:
        raise PaymentUnderWay
    kept = Card.objects.filter(business=business, public_id=card_id, removed_at=None)
    card = kept.filter(profile=cart.customer).first() if cart.customer is not None else None
    if card is None:
        raise CardNotFound
    account, _settings = account_in_use(business)
    if card.account_id != account.id:
        raise CardOfAnotherAccount
    actor = history.staff(staff.id)
    priced = price(sale, expected_total_minor=expected_total_minor)
    due = take_rest(sale, priced, payer=staff, form_token=form_token, now=now, actor=actor)
    payment = requested(cart, account, due, method=Method.SAVED_CARD, form_token=form_token, now=now)
    payment.created_by = staff
    payment.card, payment.card_brand, payment.card_last4 = card, card.brand, card.last4
    payment.note = note.strip()[:200]
    payment.next_check_at = next_check(payment, now=now)
    commit(cart, payment, now=now, actor=actor)
    enqueue_for_payment(CHARGE_CARD, payment, now=now)
    return Requested(payment, is_new=True)


def fees(business: Business) -> list[tuple[str, Item]]:
    """Return the fees that the business charges to saved cards: their kinds and items."""
    settings = (
        PaymentSettings.objects.filter(business=business)
        .select_related("no_show_item", "late_cancel_item")
        .first()
    )
    if settings is None or not settings.keeps_cards:
        return []
    kinds = (("no_show", settings.no_show_item), ("late_cancel", settings.late_cancel_item))
    return [(kind, item) for kind, item in kinds if item is not None and item.is_active]


def charge_fee(
    *,
    business: Business,
    customer: Profile,
    kind: str,
    card_id: uuid.UUID,
    note: str,
    form_token: str,
    staff: Profile,
    now: datetime.datetime,
) -> Requested:
    """Charge a no-show or late-cancel fee to a customer's saved card: a sale of its item, in one transaction.

    The same form again, also twice at once, gets the payment that it made.
    """
    if not note.strip():
        raise FeeReasonMissing
    item = dict(fees(business)).get(kind)
    location = None if item is None else item.location or _first_place(business, item)
    if item is None or location is None:
        raise NoFee
    repeated = Payment.objects.filter(business=business, form_token=form_token).first()
    if repeated is not None:
        return Requested(repeated, is_new=False)
    try:
        with transaction.atomic():
            # Two members of staff at once take turns here. That the cart is locked after its customer's cards turns
            # the usual order round; nobody else knows this cart yet, so nobody can hold it and wait for the cards.
            kept = locks.cards_of(customer.id)
            if not any(card.public_id == card_id for card in kept):
                raise CardNotFound
            _refuse_twin(customer, note, now=now)
            cart = carts.open_cart(
                business=business,
                location=location,
                now=now,
                customer=customer,
                created_by=staff,
                language=customer.language,
            )
            carts.set_quantity(
                business=business, token=cart.token, item_id=item.id, quantity=1, over_the_counter=True
            )
            return charge(
                business=business,
                token=cart.token,
                card_id=card_id,
                form_token=form_token,
                expected_total_minor=quote(cart).totals.total.amount,
                staff=staff,
                now=now,
                note=note,
            )
    except IntegrityError:  # the same form, twice at once: the other one was first
        return Requested(Payment.objects.get(business=business, form_token=form_token), is_new=False)


def _refuse_twin(customer: Profile, note: str, *, now: datetime.datetime) -> None:
    """Refuse the fee that a colleague, or a reloaded page, has charged already."""
    twins = Payment.objects.filter(
        customer=customer,
        method=Method.SAVED_CARD,
        note=note.strip()[:200],
        created_at__gt=now - ONE_FEE_WITHIN,
    )
    if twins.exclude(state__in=[PaymentState.CANCELLED, PaymentState.FAILED]).exists():
        raise FeeChargedAlready


def _first_place(business: Business, item: Item) -> Location | None:
    return Location.objects.filter(business=business, currency=item.currency).order_by("id").first()


# --- what a worker asks of Stripe ---------------------------------------------------------------------------


@transaction.atomic(durable=True)
def begin_confirm(*, payment_id: int, lease: Lease, now: datetime.datetime) -> Attempt | None:
    """Open (or find) the attempt that charges the card; None where there is nothing (more) to charge."""
    _sale, payment = locks.sale_of_payment(payment_id)
    found = locks.open_attempt(operation=Operation.CONFIRM_INTENT, payment_id=payment_id)
    if payment.state != PaymentState.AWAITING:
        if found is not None and payment.is_final:  # an event told us of the end before any answer did
            is_done = payment.state in (PaymentState.SUCCEEDED, PaymentState.HELD)
            attempts.close(found, AttemptState.SUCCEEDED if is_done else AttemptState.REFUSED, now=now)
        return None
    card = payment.card
    if card is None or card.removed_at is not None:
        return (
            None  # its owner has taken it back since: give_up() ends the payment, also one that was asked for
        )
    parameters: dict[str, object] = {"off_session": True, "payment_method": card.payment_method_id}
    return attempts.begin(
        payment, Operation.CONFIRM_INTENT, found=found, parameters=parameters, lease=lease, now=now
    )


def give_up(*, payment_id: int, now: datetime.datetime) -> None:
    """End a payment whose card was declined, refused or removed: nobody is there to try another.

    Safe to run again, and safe where a confirmation is still unanswered: the intent says whether it was paid first.
    """
    payment = Payment.objects.select_related("card").get(id=payment_id)
    newest = payment.attempts.filter(operation=Operation.CONFIRM_INTENT).last()
    is_gone = payment.card is None or payment.card.removed_at is not None
    is_refused = newest is not None and newest.state == AttemptState.REFUSED
    is_over = payment.state == PaymentState.AWAITING and (is_gone or is_refused)
    if is_over or payment.state == PaymentState.DECLINED:
        request_cancel(payment_id=payment_id, now=now, actor=history.WORKER)
