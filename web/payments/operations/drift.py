"""Stripe's books against ours: every difference is kept once, healed by a read where one can, closed when it vanishes.

What is somebody else's on the same account (no payment of ours, no mark of ours) is no difference. A judgement is
of one object at a time, so that a look again at an open difference is the same as the first look.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q, Sum
from django.utils.translation import gettext_lazy as _

from web.payments import locks
from web.payments.errors import Kind, Refusal
from web.payments.jobs import CHECK_DRIFT, NOBODY_WAITS, READ_INTENT, enqueue_for_payment
from web.payments.models import AuditEntry, Drift, DriftCursor, Payment, Refund, StripeAccount
from web.payments.money import Money
from web.payments.operations import audit
from web.payments.operations.refund_news import import_soon
from web.payments.operations.rounds import Round
from web.payments.states import PaymentState, RefundState

ROUND = Round(DriftCursor, CHECK_DRIFT, every=datetime.timedelta(minutes=10))
# What happened just now is on its way here by webhook: compared only after this long.
SETTLES_WITHIN = datetime.timedelta(minutes=10)
SHORTEST_SLICE = 60  # seconds
LONGEST_SLICE = 86_400
RECHECKED_AT_ONCE = 50
MOST_READ_ALONE = 50

_MONEY_IS_HERE = (PaymentState.SUCCEEDED, PaymentState.HELD)
_GIVEN_BACK = (RefundState.PENDING, RefundState.SUCCEEDED)


LONGEST_NOTE = 200


class NoteNeeded(Refusal):
    code = "drift_note_needed"
    message = _("Say why this difference may stay.")
    next_step = _("Nothing was changed. Write what you found out, and accept it again.")


class DifferenceGone(Refusal):
    code, kind = "difference_gone", Kind.CONFLICT
    message = _("The books agree here again.")
    next_step = _("Nothing was changed, and nothing has to be done.")


@dataclass(frozen=True, slots=True)
class IntentRecord:
    """What Stripe's books say of an intent. `received` is None while it is not paid."""

    intent_id: str
    received: Money | None
    refunded: Money | None
    paid_at: datetime.datetime | None
    payment_public_id: str = ""  # our mark, where it has one
    business_id: str = ""


@dataclass(frozen=True, slots=True)
class RefundRecord:
    """What Stripe's books say of a refund. `stands` is False once it failed or was cancelled."""

    refund_id: str
    intent_id: str
    amount: Money | None
    stands: bool
    created_at: datetime.datetime


@dataclass(frozen=True, slots=True)
class _Difference:
    kind: Drift.Kind
    ours: str
    theirs: str
    at_risk: Money


@dataclass(frozen=True, slots=True)
class Slice:
    """A piece of an account's books: what was made at Stripe from `since` until `until`."""

    since: datetime.datetime
    until: datetime.datetime


# --- how far ------------------------------------------------------------------------------------------


def begin_again(*, account: StripeAccount, since: datetime.datetime, now: datetime.datetime) -> None:
    """Go over an account's books again from a time; nobody is asked to do it."""
    DriftCursor.objects.update_or_create(
        account=account, defaults={"through_at": since, "due_at": now, "slice_seconds": LONGEST_SLICE}
    )


def next_slice(*, stripe_account_id: int, now: datetime.datetime) -> Slice | None:
    """Return the next piece to compare; None where all that has settled down is compared."""
    cursor = DriftCursor.objects.get(account_id=stripe_account_id)
    longest = cursor.through_at + datetime.timedelta(seconds=cursor.slice_seconds)
    until = min(longest, now - SETTLES_WITHIN)
    return Slice(cursor.through_at, until) if until > cursor.through_at else None


def too_much(*, stripe_account_id: int) -> bool:
    """Halve the slices of an account: one held more than a run reads. False where they are as short as can be."""
    cursor = DriftCursor.objects.get(account_id=stripe_account_id)
    if cursor.slice_seconds <= SHORTEST_SLICE:
        return False
    cursor.slice_seconds = max(cursor.slice_seconds // 2, SHORTEST_SLICE)
    cursor.save(update_fields=["slice_seconds"])
    return True


def finish(*, stripe_account_id: int, done: Slice, was_small: bool) -> None:
    """Note that a slice is compared; small ones let the next be longer."""
    cursor = DriftCursor.objects.get(account_id=stripe_account_id)
    seconds = min(cursor.slice_seconds * 2, LONGEST_SLICE) if was_small else cursor.slice_seconds
    DriftCursor.objects.filter(account_id=stripe_account_id, through_at=done.since).update(
        through_at=done.until, slice_seconds=seconds, problem=""
    )


# --- what to look at ----------------------------------------------------------------------------------


def intents_to_read_alone(*, stripe_account_id: int, done: Slice, seen: Iterable[str]) -> list[str]:
    """Return intents of payments that came to be in a slice and are paid here, but were not in Stripe's list of it."""
    paid = Payment.objects.filter(
        account_id=stripe_account_id,
        intent_id__isnull=False,
        state__in=_MONEY_IS_HERE,
        created_at__gte=done.since,
        created_at__lt=done.until,
    )
    known = paid.order_by("id").values_list("intent_id", flat=True)
    missing = set(known) - set(seen)
    return sorted(one for one in missing if one is not None)[:MOST_READ_ALONE]


def refunds_to_read_alone(*, stripe_account_id: int, done: Slice, seen: Iterable[str]) -> list[str]:
    """Return refunds made here in a slice that were not in Stripe's list of it."""
    made = Refund.objects.filter(
        payment__account_id=stripe_account_id,
        stripe_refund_id__isnull=False,
        state__in=_GIVEN_BACK,
        created_at__gte=done.since,
        created_at__lt=done.until,
    )
    missing = set(made.values_list("stripe_refund_id", flat=True)) - set(seen)
    return sorted(one for one in missing if one is not None)[:MOST_READ_ALONE]


def to_recheck(*, stripe_account_id: int) -> list[str]:
    """Return the objects of open differences, those looked at the longest ago first."""
    rows = Drift.objects.filter(account_id=stripe_account_id, resolved_at=None).order_by("checked_at", "id")
    return list(dict.fromkeys(rows.values_list("object_id", flat=True)[:RECHECKED_AT_ONCE]))


# --- judging ------------------------------------------------------------------------------------------


@transaction.atomic
def judge_intent(
    *, account: StripeAccount, intent_id: str, record: IntentRecord | None, now: datetime.datetime
) -> None:
    """Compare an intent (None: Stripe does not know it) with its payment; keep or close what differs."""
    payments = Payment.objects.filter(account=account)
    payment = payments.filter(intent_id=intent_id).first()
    if payment is None and record is not None and record.payment_public_id:
        payment = payments.filter(public_id=record.payment_public_id, intent_id=None).first()
    found = list(_differences_of_intent(account, payment, record, now=now))
    _keep(account, intent_id, payment, found, now=now)
    if payment is not None:
        _heal(payment, {one.kind for one in found}, now=now)


def _differences_of_intent(
    account: StripeAccount, payment: Payment | None, record: IntentRecord | None, *, now: datetime.datetime
) -> Iterable[_Difference]:
    theirs = None if record is None else record.received
    if payment is None:
        ours = record is not None and bool(record.payment_public_id)
        if theirs and ours and record is not None and record.business_id == str(account.business.business_id):
            yield _Difference(Drift.Kind.UNKNOWN_CHARGE, "no payment", f"received {theirs}", theirs)
        return
    received = Money(payment.amount_received_minor, payment.currency)
    is_here = payment.state in _MONEY_IS_HERE
    if theirs and not is_here:
        paid_at = record.paid_at if record is not None else None
        if paid_at is None or now - paid_at > SETTLES_WITHIN:
            yield _Difference(Drift.Kind.NOT_SETTLED, payment.state, f"received {theirs}", theirs)
    elif is_here and not theirs:
        yield _Difference(Drift.Kind.NOT_PAID, f"received {received}", "not paid", received)
    elif is_here and theirs:
        if theirs != received:
            risk = (
                Money(abs(theirs.amount - received.amount), received.currency)
                if theirs.currency == received.currency
                else received
            )
            yield _Difference(Drift.Kind.AMOUNT, f"received {received}", f"received {theirs}", risk)
        yield from _differences_of_refunds(payment, record, now=now)


def _differences_of_refunds(
    payment: Payment, record: IntentRecord | None, *, now: datetime.datetime
) -> Iterable[_Difference]:
    """Compare sums, unless a refund is under way or was just now: its news is on the way here."""
    if record is None or record.refunded is None or record.refunded.currency != payment.currency:
        return
    mine = Refund.objects.filter(payment=payment, destination=Refund.Destination.METHOD)
    settled = Q(state__in=[*_GIVEN_BACK, RefundState.FAILED, RefundState.CANCELLED])
    if mine.filter(~settled | Q(state_changed_at__gt=now - SETTLES_WITHIN)).exists():
        return
    at_stripe = mine.filter(state__in=_GIVEN_BACK, stripe_refund_id__isnull=False)
    ours = Money(at_stripe.aggregate(sum=Sum("amount_minor"))["sum"] or 0, payment.currency)
    if ours != record.refunded:
        risk = Money(abs(ours.amount - record.refunded.amount), payment.currency)
        yield _Difference(Drift.Kind.REFUNDED_TOTAL, f"refunded {ours}", f"refunded {record.refunded}", risk)


@transaction.atomic
def judge_refund(
    *, account: StripeAccount, refund_id: str, record: RefundRecord | None, now: datetime.datetime
) -> None:
    """Compare a refund (None: Stripe does not know it) with ours; keep or close what differs."""
    row = (
        Refund.objects.filter(payment__account=account, stripe_refund_id=refund_id)
        .select_related("payment")
        .first()
    )
    payment = row.payment if row is not None else None
    if payment is None and record is not None and record.intent_id:
        payment = Payment.objects.filter(account=account, intent_id=record.intent_id).first()
    found = []
    stands = record is not None and record.stands
    if row is None and payment is not None and record is not None and stands and record.amount is not None:
        found.append(
            _Difference(
                Drift.Kind.REFUND_UNKNOWN_HERE, "no refund", f"refunded {record.amount}", record.amount
            )
        )
    elif row is not None and row.state in _GIVEN_BACK and not stands:
        ours = Money(row.amount_minor, row.currency)
        theirs = "no refund" if record is None else "failed or cancelled"
        found.append(_Difference(Drift.Kind.REFUND_UNKNOWN_THERE, f"refunded {ours}", theirs, ours))
    _keep(account, refund_id, payment, found, now=now)
    if payment is not None and found:
        import_soon(payment, now=now)


def _keep(
    account: StripeAccount,
    object_id: str,
    payment: Payment | None,
    found: list[_Difference],
    *,
    now: datetime.datetime,
) -> None:
    """Write down what was found, once each, and close what was open and is gone."""
    still = Drift.objects.filter(account=account, object_id=object_id, resolved_at=None)
    still.exclude(kind__in=[one.kind for one in found]).update(resolved_at=now, checked_at=now)
    for one in found:
        shown = {
            "ours": one.ours[:80],
            "theirs": one.theirs[:80],
            "at_risk_minor": one.at_risk.amount,
            "currency": one.at_risk.currency,
            "checked_at": now,
        }
        Drift.objects.bulk_create(
            [
                Drift(
                    account=account,
                    business_id=account.business_id,
                    kind=one.kind,
                    object_id=object_id,
                    payment=payment,
                    found_at=now,
                    **shown,
                )
            ],
            ignore_conflicts=True,
        )
        known = still.filter(kind=one.kind)
        same = {name: value for name, value in shown.items() if name != "checked_at"}
        known.exclude(**same).update(accepted_at=None)  # what was accepted was another difference
        known.update(**shown)


def _heal(payment: Payment, kinds: set[Drift.Kind], *, now: datetime.datetime) -> None:
    if Drift.Kind.NOT_SETTLED in kinds:
        enqueue_for_payment(READ_INTENT, payment, now=now, priority=NOBODY_WAITS)
    if Drift.Kind.REFUNDED_TOTAL in kinds:
        import_soon(payment, now=now)


@transaction.atomic
def decide(*, drift_id: int, note: str, accepts: bool, actor: str, now: datetime.datetime) -> Drift:
    """Keep what a person found out about a difference, and whether it may stay; accepting needs the reason.

    The note's words are not in the audit, which is kept for ever: they may name somebody.
    """
    drift = locks.drift(drift_id)
    note = note.strip()[:LONGEST_NOTE]
    if drift.resolved_at is not None:
        raise DifferenceGone
    if accepts and not note:
        raise NoteNeeded
    if (note, accepts) == (drift.note, drift.accepted_at is not None):  # the same click twice
        return drift
    drift.note, drift.accepted_at = note, now if accepts else None
    drift.save(update_fields=["note", "accepted_at"])
    audit.record(
        AuditEntry.Action.DRIFT_NOTED,
        business_id=drift.business_id,
        actor=actor,
        now=now,
        subject=drift.object_id,
        changes={"kind": drift.kind, "accepted": accepts},
    )
    return drift
