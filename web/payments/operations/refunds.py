"""Asking for money to be given back: how much, of which payments, and all the reasons to refuse.

Asking reserves the amount on the payment, under its sale's lock, before anything is sent: two people, two tabs
and two clicks meet there. A worker sends it (refund_attempts.py); whatever is heard of it is applied by
refund_news.py; every change of a refund goes through refund_moves.py.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from web.core.models import Business, Profile
from web.payments import history, locks
from web.payments.errors import Kind, Refusal
from web.payments.jobs import NOBODY_WAITS, PERSON_WAITS, SUBMIT_REFUND
from web.payments.locks import Sale
from web.payments.models import BulkRefund, Dispute, Order, OrderLine, Payment, Reader, Refund, RefundLine
from web.payments.models.payment import WITHOUT_MONEY
from web.payments.money import Money
from web.payments.operations import lane, ledger_refunds, ledgers
from web.payments.operations.intents import PaymentNotFound
from web.payments.operations.payments import FormReused
from web.payments.operations.refund_moves import call_off, enqueue_for, move, next_check, tell
from web.payments.operations.refund_shares import (
    Items,
    LineShare,
    Part,
    Percent,
    Portion,
    Share,
    Whole,
    distribute,
    line_share,
)
from web.payments.operations.terminal import ReaderNotReady, reader_of
from web.payments.states import REFUND_UNDER_WAY, PaymentState, RefundState

LARGEST_PERCENT = 100
LONGEST_REASON = 500


class RefundReasonMissing(Refusal):
    code = "refund_reason_missing"
    message = _("A refund needs a reason.")
    next_step = _("No money moved. Say why the money is given back and try again.")


class NotSettled(Refusal):
    code, kind = "payment_not_settled", Kind.CONFLICT
    message = _("This payment has not come in, so there is nothing to give back.")
    next_step = _("No money moved. Cancel the payment instead, or wait until it is through.")


class NothingToGiveBack(Refusal):
    code, kind = "nothing_to_give_back", Kind.CONFLICT
    message = _("There is no money left to give back.")
    next_step = _("No money moved.")


class AmountNotPossible(Refusal):
    code = "refund_amount_not_possible"
    message = _("This is not an amount that can be given back.")
    next_step = _("No money moved. Enter more than nothing, and at most what is left.")


class ExceedsWhatIsLeft(Refusal):
    """More than is left; `details["left"]` is how much that is."""

    code, kind = "refund_exceeds_what_is_left", Kind.CONFLICT
    message = _("This is more than is left to give back.")
    next_step = _("No money moved. Look at what is left and try again.")


class MoreThanWasSold(Refusal):
    code, kind = "more_than_was_sold", Kind.CONFLICT
    message = _("More of an item would be given back than was sold.")
    next_step = _("No money moved. Look at what was given back already.")


class RefundUnderWay(Refusal):
    """Another refund of the payment has no certain answer yet; `refund` is that one."""

    code, kind = "refund_under_way", Kind.CONFLICT
    message = _("Another refund of this payment is under way.")
    next_step = _(
        "Nothing was given back twice. Wait until it is through; then ask again if you meant a second one."
    )

    def __init__(self, refund: Refund) -> None:
        super().__init__(amount=refund.amount)
        self.refund = refund


class PaymentDisputed(Refusal):
    """The cardholder's bank has taken, or may take, the money back; `dispute` is why."""

    code, kind = "payment_disputed", Kind.CONFLICT
    message = _("The cardholder disputes this payment: a refund would give the money back twice.")
    next_step = _("No money moved. Answer the dispute, or accept it, at Stripe.")

    def __init__(self, dispute: Dispute) -> None:
        super().__init__()
        self.dispute = dispute


class StillBeingPaid(Refusal):
    code, kind = "still_being_paid", Kind.CONFLICT
    message = _("Another payment of this sale is under way.")
    next_step = _("No money moved. Cancel that payment first, or wait until it has ended.")


class PaidInCash(Refusal):
    code, kind = "paid_in_cash", Kind.CONFLICT
    message = _(
        "This money did not come through us (cash, or paid elsewhere): it can only be given back by hand."
    )
    next_step = _("No money moved. Pay it out and record it on the page of the order.")


class OnTheReader(Refusal):
    code, kind = "refund_on_the_reader", Kind.CONFLICT
    message = _("This card (Interac) can only be refunded with the card on a reader.")
    next_step = _("No money moved. Choose a reader, with the customer and the card there.")


class DestinationNotPossible(Refusal):
    code, kind = "destination_not_possible", Kind.CONFLICT
    message = _("The money cannot be given back there.")
    next_step = _("No money moved. Choose the original method.")


class ShareChanged(Refusal):
    code, kind = "refund_share_changed", Kind.CONFLICT
    message = _("What would be given back is no longer what the page showed.")
    next_step = _("No money moved. Look at the new amount and confirm again.")


class RefundNotFound(Refusal):
    code, kind = "refund_not_found", Kind.MISSING
    message = _("We cannot find this refund.")
    next_step = _("No money moved.")


class TooLateToWithdraw(Refusal):
    code, kind = "too_late_to_withdraw", Kind.CONFLICT
    message = _("This refund was already sent.")
    next_step = _("It cannot be taken back. Its state is shown on the purchase.")


@dataclass(frozen=True, slots=True)
class Asked:
    """What asking for a refund got: new refunds, one for each payment, or the ones that the form made before."""

    refunds: Sequence[Refund]
    is_new: bool

    @property
    def amount(self) -> Money:
        first, *rest = [refund.amount for refund in self.refunds]
        return sum(rest, first)


@transaction.atomic
def request(
    *,
    business: Business,
    reference: uuid.UUID,
    share: Share,
    reason: str,
    form_token: str,
    now: datetime.datetime,
    staff: Profile | None,
    payment_id: int | None = None,
    destination: Refund.Destination = Refund.Destination.METHOD,
    bulk: BulkRefund | None = None,
    expected: Money | None = None,
    units: int | None = None,
    reader_id: uuid.UUID | None = None,
    actor: str = "",
) -> Asked:
    """Ask for a sale's money, or a part of it, to be given back. The same form again finds what it made.

    `reference` is the sale's (of its cart, and of the order that it became). A refund of an order is spread over
    its payments in a said order (refund_shares.py); `payment_id` names one instead, and has to where the
    payment is held or belongs to no order. `expected` is what a page showed;
    `units` is how many service credits are given, where they are the destination; `reader_id` where the card is
    held to, if it has to be there; `actor` where a program asks for them. Who may ask is the
    view's to check.
    """
    reason = reason.strip()[:LONGEST_REASON]
    if not reason:
        raise RefundReasonMissing
    sale = locks.sale(reference)
    mine = [payment for payment in sale.payments if payment.business_id == business.id]
    if not mine or (payment_id is not None and payment_id not in {payment.id for payment in mine}):
        raise PaymentNotFound
    made = list(Refund.objects.filter(business=business, form_token=form_token).select_related("payment"))
    if made:
        if any(refund.payment.cart_reference != reference for refund in made):
            raise FormReused
        return Asked(made, is_new=False)
    portions = _portions(sale, _given_back_from(sale, mine, payment_id), share)
    if expected is not None and expected != _sum(portions):
        raise ShareChanged
    if destination == Refund.Destination.CREDITS and (len(portions) != 1 or not units or units < 1):
        raise DestinationNotPossible
    is_last = _sum(portions) == _left(sale, portions)
    actor = actor or (history.WORKER if staff is None else history.staff(staff.id))
    reader = None if reader_id is None else reader_of(business, reader_id)
    refunds = [
        _reserve(
            sale,
            portion,
            reason=reason,
            form_token=form_token,
            destination=destination,
            staff=staff,
            bulk=bulk,
            units=units,
            reader=reader,
            now=now,
            actor=actor,
        )
        for portion in portions
    ]
    if sale.order is not None and (is_last or isinstance(share, Items)):
        _take_back(sale.order, refunds[0], None if is_last else share, now=now, actor=actor)
    return Asked(refunds, is_new=True)


def _left(sale: Sale, portions: Sequence[Portion]) -> Money:
    """Return what is left of all the order's payments: a refund of as much takes back all that it sold."""
    currency = portions[0].amount.currency
    mine = [payment for payment in sale.succeeded if payment.method not in WITHOUT_MONEY]
    if portions[0].payment not in mine:  # held money is no order's
        return Money(-1, currency)
    return sum((payment.refundable for payment in mine), Money.zero(currency))


def _take_back(
    order: Order, refund: Refund, share: Share | None, *, now: datetime.datetime, actor: str
) -> None:
    """Take back what the order's gift cards and passes gave and is not spent: all, or what the items come to."""
    shares = None
    if isinstance(share, Items):
        sold = dict(order.lines.values_list("id", "quantity"))
        shares = {line: Fraction(number, sold[line]) for line, number in share.quantities.items() if number}
    ledger_refunds.take_back(order=order, refund=refund, shares=shares, now=now, actor=actor)


@transaction.atomic
def preview(
    *,
    business: Business,
    reference: uuid.UUID,
    share: Share,
    payment_id: int | None = None,
) -> list[Portion]:
    """Work out what a refund would give back of each payment, and refuse what `request` would refuse."""
    sale = locks.sale(reference)
    mine = [payment for payment in sale.payments if payment.business_id == business.id]
    if not mine or (payment_id is not None and payment_id not in {payment.id for payment in mine}):
        raise PaymentNotFound
    return _portions(sale, _given_back_from(sale, mine, payment_id), share)


def _sum(portions: Sequence[Portion]) -> Money:
    first, *rest = [portion.amount for portion in portions]
    return sum(rest, first)


def _given_back_from(sale: Sale, mine: list[Payment], payment_id: int | None) -> list[Payment]:
    """Return the payments that may give something back; refuse where none of them can."""
    if payment_id is not None:
        chosen = [payment for payment in mine if payment.id == payment_id]
    elif sale.order is not None:
        chosen = [payment for payment in mine if payment.order_id == sale.order.id]
    else:
        chosen = [payment for payment in mine if payment.state == PaymentState.SUCCEEDED]
    settled = [payment for payment in chosen if payment.state in (PaymentState.SUCCEEDED, PaymentState.HELD)]
    if not settled:
        raise NotSettled
    if sale.cart is not None and sale.live:
        raise StillBeingPaid
    payments = [payment for payment in settled if payment.method not in WITHOUT_MONEY]
    if not any(payment.amount_received_minor for payment in payments):
        raise NothingToGiveBack
    return payments


def _portions(sale: Sale, payments: list[Payment], share: Share) -> list[Portion]:
    """Work out what each payment gives back, and refuse what must not be."""
    currency = payments[0].received.currency
    zero = Money.zero(currency)
    left = sum((payment.refundable for payment in payments), zero)
    lines: list[LineShare] = []
    if isinstance(share, Whole):
        amount = left
    elif isinstance(share, Part):
        if share.amount.currency != currency:
            raise AmountNotPossible
        amount = share.amount
    elif isinstance(share, Percent):
        if not 0 < share.rate <= LARGEST_PERCENT:
            raise AmountNotPossible
        amount = sum((payment.received for payment in payments), zero).percent(share.rate)
    else:
        lines = _lines(sale, share)
        amount = Money(sum(one.amount_minor for one in lines), currency)
    if amount < zero or (not amount and not isinstance(share, Whole)):
        raise AmountNotPossible
    if not amount or left < amount:
        for payment in payments:  # says why there is so little left, where that is still open
            _refuse_while_under_way(payment)
        raise ExceedsWhatIsLeft(left=left) if amount else NothingToGiveBack()
    portions = distribute(amount, payments, lines)
    for portion in portions:
        _refuse_while_under_way(portion.payment)
        _refuse_disputed(portion.payment)
    return portions


def _lines(sale: Sale, share: Items) -> list[LineShare]:
    wanted = {line_id: quantity for line_id, quantity in share.quantities.items() if quantity}
    if sale.order is None or not wanted or any(quantity < 0 for quantity in wanted.values()):
        raise AmountNotPossible
    lines = {line.id: line for line in locks.order_lines(sale.order.id)}
    if set(wanted) - set(lines):
        raise MoreThanWasSold
    shares = []
    for line_id, quantity in sorted(wanted.items()):
        line = lines[line_id]
        line.order = sale.order
        if line.refunded_quantity + quantity > line.quantity:
            raise MoreThanWasSold
        shares.append(line_share(line, quantity))
    return shares


def _refuse_while_under_way(payment: Payment) -> None:
    under_way = Refund.objects.filter(payment=payment, state__in=REFUND_UNDER_WAY).first()
    if under_way is not None:
        raise RefundUnderWay(under_way)


def _refuse_disputed(payment: Payment) -> None:
    dispute = blocking_dispute(payment)
    if dispute is not None:
        raise PaymentDisputed(dispute)


def blocking_dispute(payment: Payment) -> Dispute | None:
    """Return a dispute that forbids to refund the payment: open or lost, and not a mere inquiry."""
    disputes = Dispute.objects.filter(payment=payment, is_refundable=False)
    return disputes.exclude(
        status__in=[Dispute.Status.WON, Dispute.Status.WARNING_CLOSED, Dispute.Status.PREVENTED]
    ).first()


def needs_its_reader(payment: Payment) -> bool:
    """Return whether the card itself has to be there: an Interac card is only refunded on a reader."""
    return payment.card_brand == "interac"


def _reserve(
    sale: Sale,
    portion: Portion,
    *,
    reason: str,
    form_token: str,
    destination: Refund.Destination,
    staff: Profile | None,
    bulk: BulkRefund | None,
    units: int | None,
    reader: Reader | None,
    now: datetime.datetime,
    actor: str,
) -> Refund:
    """Write the refund of one payment, its reservation, its first line of history, and what takes it further."""
    payment = portion.payment
    is_to_method = destination == Refund.Destination.METHOD
    is_on_reader = is_to_method and needs_its_reader(payment)
    if is_on_reader and reader is None:
        raise OnTheReader
    if is_on_reader and reader is not None and reader.account_id != payment.account_id:
        raise ReaderNotReady
    is_by_hand = payment.account_id is None and payment.method not in ledgers.LEDGER_OF_METHOD
    if is_to_method and is_by_hand and bulk is not None:  # nobody stood at the till with the money
        raise PaidInCash
    payment.refunded_minor += portion.amount.amount  # not clamped: the database refuses more than came in
    payment.save(update_fields=["refunded_minor"])
    refund = Refund(
        business_id=payment.business_id,
        payment=payment,
        bulk=bulk,
        amount_minor=portion.amount.amount,
        currency=portion.amount.currency,
        destination=destination,
        reason=reason,
        state=RefundState.REQUESTED,
        state_changed_at=now,
        form_token=form_token,
        created_by=staff,
        created_at=now,
    )
    refund.next_check_at = next_check(refund, now=now)
    refund.save(force_insert=True)
    for one in portion.lines:
        OrderLine.objects.filter(id=one.line.id).update(
            refunded_quantity=one.line.refunded_quantity + one.quantity,
            refunded_minor=one.line.refunded_minor + one.amount_minor,
        )
        one.line.refunded_quantity += one.quantity
        one.line.refunded_minor += one.amount_minor
    RefundLine.objects.bulk_create(
        RefundLine(refund=refund, order_line=one.line, quantity=one.quantity, amount_minor=one.amount_minor)
        for one in portion.lines
    )
    tell(
        history.REFUND_REQUESTED, payment, refund, now=now, actor=actor, to_state=refund.state,
        data={"destination": destination},
    )  # fmt: skip
    if not is_to_method or payment.method in ledgers.LEDGER_OF_METHOD:
        ledger_refunds.credit(refund=refund, units=units if not is_to_method else None, now=now, actor=actor)
        move(sale, payment, refund, RefundState.SUCCEEDED, now=now, actor=actor, data={"to": "ledger"})
    elif payment.account_id is None:  # cash: whoever asks has paid it out by hand
        move(sale, payment, refund, RefundState.SUCCEEDED, now=now, actor=actor)
    elif is_on_reader and reader is not None:
        lane.join(
            reader=reader, payment=payment, refund=refund, holder=staff, form_token=refund.public_id.hex,
            asks_for_tip=False, now=now, actor=actor,
        )  # fmt: skip
    else:
        enqueue_for(
            SUBMIT_REFUND, refund, payment, now=now, priority=PERSON_WAITS if bulk is None else NOBODY_WAITS
        )
    return refund


@transaction.atomic
def withdraw(
    *, business: Business, refund_public_id: uuid.UUID, now: datetime.datetime, actor: str
) -> Refund:
    """Take a refund back that no worker has sent yet; ask for one that is at a reader to be taken off there."""
    found = Refund.objects.filter(business=business, public_id=refund_public_id).first()
    if found is None:
        raise RefundNotFound
    sale, payment, refund = locks.sale_of_refund(found.id)
    if refund.state == RefundState.CANCELLED:
        return refund
    place = locks.unfinished_action_of(refund.id)
    if place is not None:
        call_off(sale, payment, refund, place, now=now, actor=actor)
    elif refund.state != RefundState.REQUESTED:
        raise TooLateToWithdraw
    else:
        move(sale, payment, refund, RefundState.CANCELLED, now=now, actor=actor)
    return refund
