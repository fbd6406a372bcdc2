"""Stripe's events that were stored (arrivals.py), applied in batches, at our own pace."""

from __future__ import annotations

import datetime
import time
import uuid
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from itertools import groupby

import structlog
from django.db import DatabaseError, connection, transaction
from django.db.models import prefetch_related_objects
from psycopg.errors import LockNotAvailable

from web.core import metrics, tracing
from web.payments import history, locks, rows, writes
from web.payments.locks import Sale
from web.payments.models import Cart, Dispute, InboxEvent, Order, Payment, Payout, Refund
from web.payments.operations import balance, cards, disputes, reader_attempts, refund_news, settling
from web.payments.snapshots import (
    CardFacts,
    DisputeSnapshot,
    IntentSnapshot,
    PayoutSnapshot,
    ReaderSnapshot,
    RefundedSoFar,
    RefundSnapshot,
    SetupSnapshot,
)
from web.payments.writes import AtOnce, Gathered

BATCH = 50  # events a transaction: one commit for many; together, locks are held for well under a second
MOST_SECONDS_ALONE = 0.5  # for groups applied one by one: a till may be waiting for any sale of the batch
LONGEST_WAIT_ALONE_MS = 500  # of one of them, for a sale that somebody holds
MAX_TRIES = 10
STUCK_AFTER = datetime.timedelta(minutes=5)  # a worker takes seconds
FIRST_RETRY_SECONDS = 2

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Road:
    """Where one kind of news belongs, and what it changes.

    `find` names the payment that it is about (batches are applied sale by sale); `apply` brings the ledger to
    what it tells and returns the row that it changed or confirmed (a payment's story tells of it), None where it
    is about nothing of ours.
    """

    find: Callable[..., Payment | None]  # (account_id, snapshot)
    apply: Callable[..., Payment | Payout | None]  # (account_id, snapshot, now)
    # (sale, payment, snapshot, now): the same on a sale that is locked and loaded with others of its batch.
    apply_to: Callable[..., None] | None = None


# Every kind of news that events bring. Another kind is a line here, and one in tasks/snapshots.py.
ROADS: dict[type, Road] = {
    IntentSnapshot: Road(settling.find, settling.settle, settling.settle_locked),
    CardFacts: Road(settling.find, settling.learn_card, settling.note_card),
    RefundSnapshot: Road(refund_news.find, refund_news.settle),
    RefundedSoFar: Road(refund_news.find, refund_news.notice),
    DisputeSnapshot: Road(disputes.find, disputes.settle),
    ReaderSnapshot: Road(reader_attempts.find, reader_attempts.hear),
    SetupSnapshot: Road(cards.find, cards.settle),
    PayoutSnapshot: Road(balance.find, balance.settle_payout),
}

# Says in our own terms what an event tells (a key of ROADS); None where it is of a kind that we do not follow.
Interpreter = Callable[[InboxEvent], object | None]


@dataclass(slots=True)
class _Work:
    """An event with what it tells: in our own terms, or why that cannot be said; and the sale that it is about."""

    event: InboxEvent
    told: object | Exception | None
    sale: uuid.UUID | None = None
    payment_id: int | None = None
    traceparent: str = ""  # of the payment that it is about: what the event leads to belongs to the click

    @property
    def group(self) -> str:
        """What is applied together: a sale's events; those of no sale together, one that is unreadable alone."""
        if isinstance(self.told, Exception):
            return f"unreadable {self.event.id}"
        return "" if self.sale is None else str(self.sale)

    @property
    def order(self) -> tuple[str, datetime.datetime, int]:
        return self.group, self.event.occurred_at, self.event.id


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of a batch: how many events were applied or put off, and whether more may be due."""

    done: int
    has_more: bool


@transaction.atomic(durable=True)
def apply_batch(*, interpret: Interpreter, now: datetime.datetime, limit: int = BATCH) -> Batch:
    """Claim due events and apply them, grouped by sale.

    What most events ask for is applied to all sales of the batch together, with a statement a table. Any other
    group, and each where that failed, runs in a savepoint of its own. If one of its events raises, the group's
    events run again one by one, and only those that raise are tried again later. When that has taken its time the
    rest is left as it was. Dying anywhere in here leaves every event of the batch as it was.
    """
    events = list(
        InboxEvent.objects.select_for_update(skip_locked=True, no_key=True)
        .filter(state=InboxEvent.State.RECEIVED, due_at__lte=now)
        .order_by("due_at", "id")[:limit]
    )
    if not events:
        return Batch(0, has_more=False)
    work = _interpreted(events, interpret)
    # All sales, ascending, then all their customers: two batches at once, or a batch and a till, can wait for each
    # other, never deadlock. One sale's customer must not be locked before the next sale's cart.
    wanted = {one.sale for one in work if one.sale is not None}
    sales = _lock_all(wanted)
    work.sort(key=lambda one: one.order)
    groups = [list(group) for _key, group in groupby(work, key=lambda one: one.group)]
    alone = _apply_together(groups, sales, now=now)
    left = _apply_alone(alone, now=now, is_locked=bool(sales) or not wanted)
    done = [event for event in events if event.id not in left]
    rows.update(done, ["state", "tries", "due_at", "error", "settled_at", "payment"])
    for event in done:
        if event.settled_at is not None:
            metrics.WEBHOOK_LAG_SECONDS.observe((event.settled_at - event.received_at).total_seconds())
    return Batch(len(done), has_more=bool(left) or len(events) == limit)


def _lock_all(sales: set[uuid.UUID]) -> dict[uuid.UUID, Sale]:
    """Lock a batch's sales and customers in one order. Where that fails each group waits for its own, alone."""
    if not sales:
        return {}
    try:
        with transaction.atomic():
            locked = locks.sales(sales)
            prefetch_related_objects(
                [sale.cart for sale in locked.values() if sale.cart is not None], "lines", "customer"
            )
    except (
        DatabaseError
    ) as error:  # somebody holds one of them for too long: the others are applied all the same
        log.warning("inbox.sales_not_locked", error=type(error).__name__)
        return {}
    return locked


def _apply_together(
    groups: list[list[_Work]], sales: dict[uuid.UUID, Sale], *, now: datetime.datetime
) -> list[list[_Work]]:
    """Apply the groups that can be applied with others, and return those that are to be applied alone."""
    if not sales:
        return groups
    keys = iter(rows.new_keys(Order, sum(1 for sale in sales.values() if sale.cart is not None)))
    looked_up: dict[Hashable, object] = {}
    together: list[tuple[list[_Work], Gathered]] = []
    alone: list[list[_Work]] = []
    for group in groups:
        sale = sales.get(group[0].sale) if group[0].sale is not None else None
        gathered = None if sale is None else _gathered(group, sale, keys, looked_up, now=now)
        if gathered is None:
            alone.append(group)
        else:
            together.append((group, gathered))
    try:
        with transaction.atomic():
            writes.flush([gathered for _group, gathered in together])
    except (DatabaseError, rows.RowsMissing) as error:  # one of them: which, shows when each is applied alone
        log.warning("inbox.not_together", error=type(error).__name__, groups=len(together))
        return groups
    return alone


def _gathered(
    group: list[_Work],
    sale: Sale,
    keys: Iterator[int],
    looked_up: dict[Hashable, object],
    *,
    now: datetime.datetime,
) -> Gathered | None:
    """Apply a group to its sale in memory, and return what is to be written; None where it must be alone."""
    if any(isinstance(one.told, Exception) or ROADS[type(one.told)].apply_to is None for one in group):
        return None
    gathered = sale.writes = Gathered(sale.payments, keys, looked_up)
    try:
        with writes.nothing_is_written():
            for one in group:
                _apply(one, now=now, sale=sale)
    except Exception as error:  # noqa: BLE001 - what is wrong with it shows when it is applied alone
        log.debug("inbox.alone", reason=type(error).__name__)
        return None
    return gathered


_WAIT_NO_LONGER = """
SELECT set_config('lock_timeout', %s, true) FROM pg_settings
WHERE name = 'lock_timeout' AND setting::int NOT BETWEEN 1 AND %s
"""


def _apply_alone(groups: list[list[_Work]], *, now: datetime.datetime, is_locked: bool) -> set[int]:
    """Apply groups one after the other for as long as others can wait; return the ids of the events that are left.

    The group of the oldest event comes first and is always applied, however long it takes: claims go by age, so
    whatever is left becomes the oldest. Where the sales are not locked yet, each group locks its own and keeps it:
    from there on upwards only, and those below are left.
    """
    if not groups:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(_WAIT_NO_LONGER, [str(LONGEST_WAIT_ALONE_MS), LONGEST_WAIT_ALONE_MS])
    oldest = groups.index(min(groups, key=_age))
    turns = sorted(groups, key=_age) if is_locked else groups[oldest:]
    until = time.monotonic() + MOST_SECONDS_ALONE
    left = {one.event.id for group in groups for one in group}
    for group in turns:
        _apply_group(group, now=now)
        left -= {one.event.id for one in group}
        if time.monotonic() >= until:
            break
    if left:
        log.info("inbox.left", events=len(left))
    return left


def _age(group: list[_Work]) -> tuple[datetime.datetime, int]:
    return min((one.event.due_at, one.event.id) for one in group)


def _apply_group(group: list[_Work], *, now: datetime.datetime) -> None:
    try:
        with transaction.atomic():
            for one in group:
                _apply(one, now=now)
    except Exception as error:
        if isinstance(error.__cause__, LockNotAvailable):  # each of its events would wait for it again
            log.warning("inbox.sale_not_locked", events=len(group))
            for one in group:
                _put_off(one.event, error, now=now)
        elif len(group) > 1:
            for one in group:
                _apply_group([one], now=now)
        else:
            log.exception("inbox.failed", event_id=group[0].event.event_id)
            _put_off(group[0].event, error, now=now)


def _interpreted(events: list[InboxEvent], interpret: Interpreter) -> list[_Work]:
    """Say what events tell; one that cannot be read keeps its exception, to be raised in its turn."""
    work = [_told(event, interpret) for event in events]
    intents = {one.told.intent_id for one in work if isinstance(one.told, IntentSnapshot | CardFacts)}
    known = {
        (payment.account_id, payment.intent_id): payment
        for payment in Payment.objects.filter(
            account_id__in={event.account_id for event in events}, intent_id__in=intents
        )
        if intents
    }
    for one in work:
        if one.told is None or isinstance(one.told, Exception):
            continue
        payment = known.get((one.event.account_id, getattr(one.told, "intent_id", None)))
        if payment is None or not isinstance(one.told, IntentSnapshot | CardFacts):
            try:
                with (
                    transaction.atomic()
                ):  # one that the database refuses must not end the batch's transaction
                    payment = ROADS[type(one.told)].find(account_id=one.event.account_id, snapshot=one.told)
            except Exception as error:  # noqa: BLE001 - an odd shape must not hold up the batch
                one.told, payment = error, None
        if payment is not None:
            one.sale, one.payment_id = payment.cart_reference, payment.id
            one.traceparent = payment.traceparent
    return work


def _told(event: InboxEvent, interpret: Interpreter) -> _Work:
    try:
        return _Work(event, interpret(event))
    except Exception as error:  # noqa: BLE001 - an odd shape must not hold up the batch
        return _Work(event, error)


def _apply(one: _Work, *, now: datetime.datetime, sale: Sale | None = None) -> None:
    """Apply one event; to its sale where that is locked and loaded, else by looking everything up."""
    event, told = one.event, one.told
    if isinstance(told, Exception):
        raise told
    changed = None
    if told is not None:
        road = ROADS[type(told)]
        with (
            structlog.contextvars.bound_contextvars(event_id=event.event_id),
            tracing.span(f"event {event.event_type}", parent=one.traceparent, event_id=event.event_id),
        ):
            if sale is None:
                changed = road.apply(account_id=event.account_id, snapshot=told, now=now)
            else:
                assert road.apply_to is not None
                assert one.payment_id is not None
                changed = sale.payment(one.payment_id)
                road.apply_to(sale, changed, told, now=now)
    event.settled_at, event.error = now, ""
    event.state = InboxEvent.State.IGNORED if changed is None else InboxEvent.State.APPLIED
    event.payment = payment = changed if isinstance(changed, Payment) else None
    if payment is not None:
        lag = now - event.received_at
        said = history.line(
            history.WEBHOOK,
            business_id=payment.business_id,
            cart_reference=payment.cart_reference,
            payment=payment,
            actor=history.STRIPE,
            now=now,
            data={
                "event": event.event_id,
                "type": event.event_type,
                "received_at": event.received_at.isoformat(),
                "lag_ms": round(lag.total_seconds() * 1000),
            },
        )
        (AtOnce() if sale is None else sale.writes).history(said)


def _put_off(event: InboxEvent, error: Exception, *, now: datetime.datetime) -> None:
    event.tries += 1
    event.payment, event.settled_at = None, None
    event.error = type(error).__name__
    if event.tries >= MAX_TRIES:
        event.state = InboxEvent.State.DEAD
    else:
        event.state = InboxEvent.State.RECEIVED
        event.due_at = now + datetime.timedelta(seconds=min(FIRST_RETRY_SECONDS * 2**event.tries, 600))


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What applying an event would do: its new state, and of each row of its sale what differs after it."""

    outcome: str
    changes: list[tuple[str, str, str]]  # what, before, after


def rehearse(*, inbox_event_id: int, interpret: Interpreter, now: datetime.datetime) -> Rehearsal:
    """Apply an event as a batch would, look at what changed, and take all of it back."""
    with transaction.atomic(durable=True):
        event = InboxEvent.objects.get(id=inbox_event_id)
        (work,) = _interpreted([event], interpret)
        sale = work.sale or (event.payment.cart_reference if event.payment is not None else None)
        if sale is not None:
            locks.sales({sale})
        before = _picture(sale)
        try:
            with transaction.atomic():
                _apply(work, now=now)
            outcome = event.state
        except Exception as error:  # noqa: BLE001 - what a replay would meet is what is asked for
            outcome = f"failed: {type(error).__name__}"
        after = _picture(sale)
        transaction.set_rollback(True)
    changes = [
        (what, before.get(what, "none"), after.get(what, "none"))
        for what in sorted({*before, *after})
        if before.get(what) != after.get(what)
    ]
    return Rehearsal(outcome, changes)


def _picture(sale: uuid.UUID | None) -> dict[str, str]:
    """Describe the rows of a sale that an event may change, without anything personal or secret."""
    if sale is None:
        return {}
    seen: dict[str, str] = {}
    for payment in Payment.objects.filter(cart_reference=sale).order_by("id"):
        name = f"payment {payment.intent_id or payment.public_id}"
        held = f", held: {payment.held_reason}" if payment.held_reason else ""
        seen[name] = (
            f"{payment.state}{held}, received {payment.amount_received_minor} {payment.currency}, "
            f"given back {payment.refunded_minor}"
        )
    for refund in Refund.objects.filter(payment__cart_reference=sale).order_by("id"):
        seen[f"refund {refund.stripe_refund_id or refund.public_id}"] = (
            f"{refund.state}, {refund.amount_minor} {refund.currency}"
        )
    for dispute in Dispute.objects.filter(payment__cart_reference=sale).order_by("id"):
        seen[f"dispute {dispute.stripe_dispute_id}"] = f"{dispute.status}, taken {dispute.taken_minor}"
    for order in Order.objects.filter(cart_reference=sale):
        seen[f"order {order.number}"] = f"{order.total_minor} {order.currency}"
    for cart in Cart.objects.filter(reference=sale):
        seen["cart"] = f"{cart.state}, committed {cart.committed_minor}"
    return seen


def replay(*, now: datetime.datetime) -> int:
    """Let events that were given up be tried again; return how many."""
    return InboxEvent.objects.filter(state=InboxEvent.State.DEAD).update(
        state=InboxEvent.State.RECEIVED, tries=0, due_at=now, settled_at=None
    )


def has_due(*, now: datetime.datetime) -> bool:
    """Return whether events wait to be applied."""
    return InboxEvent.objects.filter(state=InboxEvent.State.RECEIVED, due_at__lte=now).exists()


@dataclass(frozen=True, slots=True)
class Stuck:
    """Events that nothing will apply by itself, and events that wait for longer than a worker takes."""

    dead: int
    waiting: int

    def __bool__(self) -> bool:
        return bool(self.dead or self.waiting)


def stuck(*, now: datetime.datetime) -> Stuck:
    """Count what should have been applied by now and is not."""
    old = InboxEvent.objects.filter(state=InboxEvent.State.RECEIVED, due_at__lt=now - STUCK_AFTER)
    return Stuck(InboxEvent.objects.filter(state=InboxEvent.State.DEAD).count(), old.count())
