"""Payments on card readers: asked for by a till, shown by a worker, settled by their intent like any other.

A till gets its answer at once: a payment and a place in the reader's queue. Everything after that is followed.
"""

from __future__ import annotations

import datetime
import uuid
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext_lazy as _

from web.core.accounts import constraint_of
from web.core.models import Business, Profile
from web.payments import history, locks
from web.payments.errors import Kind, Refusal
from web.payments.jobs import CAPTURE_INTENT, NOBODY_WAITS, PERSON_WAITS, enqueue_for_payment, of_payment
from web.payments.locks import Sale
from web.payments.models import (
    Attempt,
    Job,
    Method,
    Operation,
    Payment,
    PaymentEvent,
    PaymentSettings,
    Reader,
    ReaderAction,
)
from web.payments.operations import lane, refund_moves
from web.payments.operations.intents import (
    PaymentNotFound,
    PaymentUnderWay,
    account_in_use,
    no_cart,
    price,
    request_cancel_of,
    requested,
    take_rest,
)
from web.payments.operations.payments import FormReused, commit, finish, move
from web.payments.states import CANCELLABLE, ActionState, PaymentState

# The customer has agreed and left with what they bought: rather than let the money lapse it is taken.
CAPTURED_BEFORE_THE_END = datetime.timedelta(hours=6)
CAPTURE_AGAIN_AFTER = datetime.timedelta(minutes=10)  # one that Stripe refused, or whose job was given up


class ReaderNotFound(Refusal):
    code, kind = "reader_not_found", Kind.MISSING
    message = _("There is no such card reader here.")
    next_step = _("No money moved. Choose another reader.")


class ReaderNotReady(Refusal):
    code, kind = "reader_not_ready", Kind.CONFLICT
    message = _("This card reader cannot take payments.")
    next_step = _("No money moved. Choose another reader, or look at it in the settings.")


class ActionNotFound(Refusal):
    code, kind = "action_not_found", Kind.MISSING
    message = _("We cannot find this payment on a reader.")
    next_step = _("No money moved by this. Open the till again.")


class ActionEnded(Refusal):
    """It has come to its end; `details["state"]` is how."""

    code, kind = "action_ended", Kind.CONFLICT
    message = _("This has already ended.")
    next_step = _("Nothing was changed. Look at how it ended; if nobody paid, start it again.")


class AlreadyOnReader(Refusal):
    code, kind = "already_on_reader", Kind.CONFLICT
    message = _("Its turn has come: the reader shows it already.")
    next_step = _(
        "Nothing was changed. Cancel it instead; that is certain only once the reader has answered."
    )


class RefundStays(Refusal):
    code, kind = "refund_stays_at_its_reader", Kind.CONFLICT
    message = _("A refund is not handed to another reader.")
    next_step = _("Nothing was changed. Cancel it, and give the money back at the other reader.")


class NotAuthorised(Refusal):
    code, kind = "not_authorised", Kind.CONFLICT
    message = _("There is no authorised money here that waits to be taken.")
    next_step = _("Nothing was charged by this.")


@dataclass(frozen=True, slots=True)
class Started:
    """What asking for a payment on a reader got: a new place in its queue, or the one that is already there."""

    action: ReaderAction
    is_new: bool


@transaction.atomic
def start(
    *,
    business: Business,
    token: str,
    reader_id: uuid.UUID,
    form_token: str,
    expected_total_minor: int,
    staff: Profile,
    now: datetime.datetime,
    asks_for_tip: bool = False,
) -> Started:
    """Ask for all that is left to pay of a cart on a reader; a worker shows it there when its turn comes.

    The same form again, and any form while this cart is at a reader, gets that place back. A payment that was
    declined or not paid in time is shown again, on this reader: the same payment, the same intent.
    """
    reference = locks.reference_of(business_id=business.id, token=token)
    sale = None if reference is None else locks.sale(reference)
    repeated = (
        ReaderAction.objects.filter(business=business, form_token=form_token)
        .select_related("payment", "reader", "holder")
        .first()
    )
    if sale is None or sale.cart is None:
        refusal = no_cart(business, token)
        order = refusal.details.get("order")
        if repeated is not None and order is not None and repeated.payment.order_id == order.pk:  # type: ignore[attr-defined]
            return Started(repeated, is_new=False)
        raise refusal
    if repeated is not None:
        if repeated.payment.cart_reference != sale.reference:
            raise FormReused
        return Started(repeated, is_new=False)
    reader = reader_of(business, reader_id)
    payment = _payment_again(sale)
    if payment is not None:
        there = locks.unfinished_action(payment.id)
        if there is not None:
            return Started(there, is_new=False)
        if payment.account_id != reader.account_id:
            raise ReaderNotReady
    else:
        payment = _new_payment(
            sale,
            reader,
            form_token=form_token,
            expected_total_minor=expected_total_minor,
            staff=staff,
            now=now,
        )
    try:
        action = lane.join(
            reader=reader,
            payment=payment,
            holder=staff,
            form_token=form_token,
            asks_for_tip=asks_for_tip,
            now=now,
            actor=history.staff(staff.id),
        )
    except IntegrityError as error:  # the same form, for another cart at this moment
        if constraint_of(error) == "a_form_starts_one_action":
            raise FormReused from error
        raise
    return Started(action, is_new=True)


def reader_of(business: Business, reader_id: uuid.UUID) -> Reader:
    """Return a reader of the business that can take payments, whatever it was last seen doing."""
    reader = Reader.objects.filter(business=business, public_id=reader_id).first()
    if reader is None or reader.state == Reader.State.REMOVED:
        raise ReaderNotFound
    if reader.state != Reader.State.READY:
        raise ReaderNotReady
    return reader


def _payment_again(sale: Sale) -> Payment | None:
    """Return the live payment of this cart that a reader may show again; refuse where another kind is under way."""
    live = sale.live
    if not live:
        return None
    (payment, *others) = live
    if others or payment.method != Method.TERMINAL:
        raise PaymentUnderWay
    may_be_shown = (
        PaymentState.REQUESTED,
        PaymentState.UNKNOWN,
        PaymentState.AWAITING,
        PaymentState.DECLINED,
    )
    has_place = ReaderAction.objects.filter(payment=payment, finished_at=None).exists()
    if payment.state not in may_be_shown and not has_place:
        raise PaymentUnderWay
    return payment


def _new_payment(
    sale: Sale,
    reader: Reader,
    *,
    form_token: str,
    expected_total_minor: int,
    staff: Profile,
    now: datetime.datetime,
) -> Payment:
    cart = sale.cart
    assert cart is not None
    business = reader.business
    if Payment.objects.filter(business=business, form_token=form_token).exists():
        raise FormReused
    account, settings = account_in_use(business)
    if reader.account_id != account.id:
        raise ReaderNotReady
    actor = history.staff(staff.id)
    priced = price(sale, expected_total_minor=expected_total_minor)
    due = take_rest(sale, priced, payer=staff, form_token=form_token, now=now, actor=actor)
    payment = requested(cart, account, due, method=Method.TERMINAL, form_token=form_token, now=now)
    payment.created_by = staff
    payment.is_captured_later = settings.capture_mode == PaymentSettings.CaptureMode.MANUAL
    commit(cart, payment, now=now, actor=actor)
    sale.payments.append(payment)
    return payment


# --- leaving -------------------------------------------------------------------------------------------


def _locked(business: Business, action_id: uuid.UUID) -> tuple[Sale, Payment, ReaderAction]:
    """Lock an action's sale and return the action as it is now; ActionNotFound for another business's."""
    found = ReaderAction.objects.filter(business=business, public_id=action_id).first()
    if found is None:
        raise ActionNotFound
    sale, payment = locks.sale_of_payment(found.payment_id)
    refund = None if found.refund_id is None else locks.refund(found.refund_id)
    action = locks.action(found.id)
    action.payment, action.refund = payment, refund
    return sale, payment, action


@transaction.atomic
def request_cancel(
    *, business: Business, action_id: uuid.UUID, staff: Profile, now: datetime.datetime
) -> ReaderAction:
    """Ask for the payment to be cancelled, wherever it is: in the queue, on the reader, or after a decline.

    A request: only what never reached Stripe ends at once. If the customer pays first, the order is made.
    """
    sale, payment, action = _locked(business, action_id)
    _leave(sale, payment, action, now=now, actor=history.staff(staff.id))
    action.refresh_from_db()
    return action


def _leave(sale: Sale, payment: Payment, action: ReaderAction, *, now: datetime.datetime, actor: str) -> None:
    if action.refund is None:
        _cancel(sale, payment, now=now, actor=actor)
    else:
        refund_moves.call_off(sale, payment, action.refund, action, now=now, actor=actor)


def _cancel(sale: Sale, payment: Payment, *, now: datetime.datetime, actor: str) -> None:
    was_never_asked = (
        payment.state == PaymentState.REQUESTED
        and payment.intent_id is None
        and not Attempt.objects.filter(payment=payment).exists()
    )
    in_queue = ReaderAction.objects.filter(payment=payment, state=ActionState.QUEUED).exists()
    if was_never_asked and in_queue:
        move(sale, payment, PaymentState.CANCELLED, now=now, actor=actor)
        finish(sale, now=now, actor=actor)
    elif payment.state in CANCELLABLE:
        request_cancel_of(sale, payment, now=now, actor=actor)


@transaction.atomic
def take_back(
    *, business: Business, action_id: uuid.UUID, staff: Profile, now: datetime.datetime
) -> ReaderAction:
    """Leave the queue before the turn comes; the cart can be changed, or paid in another way, at once."""
    sale, payment, action = _locked(business, action_id)
    if action.is_final:
        raise ActionEnded(state=action.state)
    if action.state != ActionState.QUEUED:
        raise AlreadyOnReader
    _leave(sale, payment, action, now=now, actor=history.staff(staff.id))
    action.refresh_from_db()
    return action


@transaction.atomic
def hand_over(
    *,
    business: Business,
    action_id: uuid.UUID,
    reader_id: uuid.UUID,
    staff: Profile,
    now: datetime.datetime,
) -> ReaderAction:
    """Bring the payment to another reader; return its place there, or here while this reader is being cleared.

    From the queue at once. From the reader itself it is taken off first: the customer may have paid already.
    """
    _sale, payment, action = _locked(business, action_id)
    reader = reader_of(business, reader_id)
    if reader.account_id != payment.account_id:
        raise ReaderNotReady
    if action.is_final:
        raise ActionEnded(state=action.state)
    if action.refund_id is not None:
        raise RefundStays
    actor = history.staff(staff.id)
    if reader.id == action.reader_id:
        return action
    if action.state == ActionState.CANCELLING and action.cancel_reason != ReaderAction.Reason.HANDED_OVER:
        raise ActionEnded(state=action.state)
    action.next_reader = reader
    if action.state == ActionState.QUEUED:
        action.cancel_reason = ReaderAction.Reason.HANDED_OVER
        lane.end(action, ActionState.CANCELLED, now=now, actor=actor)
        return locks.unfinished_action(payment.id) or action
    if action.state == ActionState.CANCELLING:
        action.save(update_fields=["next_reader"])
    else:
        lane.ask_off(action, ReaderAction.Reason.HANDED_OVER, now=now, actor=actor)
    return action


# --- authorised first, taken later ---------------------------------------------------------------------


@transaction.atomic
def request_capture(
    *, business: Business, payment_id: uuid.UUID, staff: Profile, now: datetime.datetime
) -> Payment:
    """Ask for authorised money to be taken; the order is made once Stripe has taken it."""
    found = Payment.objects.filter(business=business, public_id=payment_id, method=Method.TERMINAL).first()
    if found is None:
        raise PaymentNotFound
    _sale, payment = locks.sale_of_payment(found.id)
    if payment.state != PaymentState.AUTHORISED:
        if payment.state == PaymentState.SUCCEEDED:
            return payment
        raise NotAuthorised
    _capture(payment, now=now, actor=history.staff(staff.id))
    return payment


def _capture(
    payment: Payment,
    *,
    now: datetime.datetime,
    actor: str,
    priority: int = PERSON_WAITS,
) -> None:
    asked = PaymentEvent.objects.filter(payment=payment, kind=history.CAPTURE_ASKED, actor=actor)
    if (
        not asked.exists()
    ):  # who presses the button twice, or a sweep that comes again, is one line of history
        history.record(
            history.CAPTURE_ASKED,
            business_id=payment.business_id,
            cart_reference=payment.cart_reference,
            payment=payment,
            actor=actor,
            now=now,
        )
    enqueue_for_payment(CAPTURE_INTENT, payment, now=now, priority=priority)


def capture_expiring(*, limit: int, now: datetime.datetime) -> int:
    """Queue the capture of authorisations that are about to run out; return how many.

    Not of those that somebody is at, or was a moment ago: so they do not keep the others out of the limit either.
    """
    lately = now - CAPTURE_AGAIN_AFTER
    # Each state by itself: so its own partial index serves it.
    tasks = of_payment(CAPTURE_INTENT.name, "id").filter(queue=CAPTURE_INTENT.queue)
    sent = Attempt.objects.filter(
        payment_id=OuterRef("id"), operation=Operation.CAPTURE_INTENT, sent_at__gt=lately
    )
    expiring = (
        Payment.objects.filter(
            method=Method.TERMINAL,
            state=PaymentState.AUTHORISED,
            capture_before__lte=now + CAPTURED_BEFORE_THE_END,
        )
        .exclude(Exists(tasks.filter(state=Job.State.WAITING)))
        .exclude(Exists(tasks.filter(state=Job.State.RUNNING)))
        .exclude(Exists(tasks.filter(state=Job.State.DEAD, finished_at__gt=lately)))
        .exclude(Exists(sent))
        .order_by("capture_before")
    )
    ids = list(expiring.values_list("id", flat=True)[:limit])
    for payment_id in ids:
        with transaction.atomic():
            _sale, payment = locks.sale_of_payment(payment_id)
            if payment.state == PaymentState.AUTHORISED:
                _capture(payment, now=now, actor=history.WORKER, priority=NOBODY_WAITS)
    return len(ids)
