"""How long rows are kept: what is past its time and belongs to nothing open goes, a batch a transaction.

What tells of money stays for ever: payments, orders, refunds, ledgers, receipts, attempts (their keys and answers) and
the whole history of each sale; triggers refuse to delete them. What goes is what only ever served the work itself.
A batch is small, so that it holds its locks for a moment and ends within the statement timeout on any machine.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass

from django.contrib.sessions.models import Session
from django.db.models import Q, QuerySet

from web.payments.models import (
    ApiRequest,
    Attempt,
    ConnectionToken,
    InboxEvent,
    Job,
    OutgoingDelivery,
    OutgoingEvent,
    WebhookSecret,
    WorkerPulse,
)
from web.payments.states import FINAL, LIVE, OPEN_ATTEMPT

BATCH = 1000
MOST_BATCHES = 200  # of one kind in one run: beat asks again in an hour


@dataclass(frozen=True, slots=True)
class Kept:
    """A kind of rows, how long they are kept after what, and why so long."""

    name: str
    days: int
    why: str
    old: Callable[[datetime.datetime], QuerySet]  # type: ignore[type-arg]  # rows past their time, oldest first
    forget: Callable[[QuerySet], int]  # type: ignore[type-arg]


def _delete(rows: QuerySet) -> int:  # type: ignore[type-arg]
    return int(rows.delete()[0])


def _empty_parameters(rows: QuerySet) -> int:  # type: ignore[type-arg]
    return int(rows.update(parameters={}))


def _jobs(before: datetime.datetime) -> QuerySet[Job]:
    return Job.objects.filter(state=Job.State.DONE, finished_at__lt=before).order_by("finished_at")


def _discarded(before: datetime.datetime) -> QuerySet[Job]:
    return Job.objects.filter(state=Job.State.DROPPED, finished_at__lt=before).order_by("finished_at")


def _events(before: datetime.datetime) -> QuerySet[InboxEvent]:
    settled = [InboxEvent.State.APPLIED, InboxEvent.State.IGNORED]
    rows = InboxEvent.objects.filter(received_at__lt=before, state__in=settled)
    return rows.exclude(payment__state__in=LIVE).order_by("received_at")


def _attempts(before: datetime.datetime) -> QuerySet[Attempt]:
    rows = Attempt.objects.exclude(state__in=OPEN_ATTEMPT).exclude(parameters={})
    rows = rows.filter(state_changed_at__lt=before)
    return rows.filter(Q(payment=None) | Q(payment__state__in=FINAL)).order_by("state_changed_at")


def _pulses(before: datetime.datetime) -> QuerySet[WorkerPulse]:
    return WorkerPulse.objects.filter(seen_at__lt=before).order_by("seen_at")


def _secrets(before: datetime.datetime) -> QuerySet[WebhookSecret]:
    return WebhookSecret.objects.filter(expires_at__lt=before).order_by("expires_at")


def _tokens(before: datetime.datetime) -> QuerySet[ConnectionToken]:
    return ConnectionToken.objects.filter(created_at__lt=before).order_by("created_at")


def _keys(before: datetime.datetime) -> QuerySet[ApiRequest]:
    return ApiRequest.objects.filter(created_at__lt=before).order_by("created_at")


def _told(before: datetime.datetime) -> QuerySet[OutgoingEvent]:
    rows = OutgoingEvent.objects.filter(created_at__lt=before)
    return rows.exclude(deliveries__state=OutgoingDelivery.State.WAITING).order_by("created_at")


def _sessions(before: datetime.datetime) -> QuerySet[Session]:
    return Session.objects.filter(expire_date__lt=before).order_by("expire_date")


ALL = (
    Kept("jobs", 7, "done; long enough to ask what happened last week", _jobs, _delete),
    Kept(
        "discarded",
        7,
        "jobs that an operator discarded; who and why stays in the record",
        _discarded,
        _delete,
    ),
    Kept(
        "events",
        35,
        "applied or not for us; Stripe sends again for three days and lists for thirty",
        _events,
        _delete,
    ),
    Kept(
        "parameters",
        90,
        "of answered attempts whose payment is final; no bank asks later what exactly was sent",
        _attempts,
        _empty_parameters,
    ),
    Kept("pulses", 1, "of workers that are gone", _pulses, _delete),
    Kept("secrets", 30, "webhook secrets that have expired", _secrets, _delete),
    Kept("tokens", 1, "of readers that connected", _tokens, _delete),
    Kept(
        "keys",
        3,
        "Idempotency-Keys of the API; whoever repeats a request does so within a day",
        _keys,
        _delete,
    ),
    Kept("outgoing", 30, "events told to programs of businesses; none that is on its way", _told, _delete),
    Kept("sessions", 0, "that have expired", _sessions, _delete),
)


def forget(kept: Kept, *, now: datetime.datetime, most_batches: int = MOST_BATCHES) -> int:
    """Forget what is past its time of one kind; return how many rows. Each batch commits by itself."""
    before = now - datetime.timedelta(days=kept.days)
    total = 0
    for _ in range(most_batches):
        ids = list(kept.old(before).values_list("pk", flat=True)[:BATCH])
        if not ids:
            break
        # Asked again: since they were found one may have become part of something open.
        total += kept.forget(kept.old(before).order_by().filter(pk__in=ids))
    return total


def forget_all(*, now: datetime.datetime) -> dict[str, int]:
    """Forget what is past its time; return how many rows of each kind."""
    return {kept.name: forget(kept, now=now) for kept in ALL}


def waiting(kept: Kept, *, now: datetime.datetime, most: int = 100_000) -> int:
    """Count what is past its time and still there, up to `most`."""
    return kept.old(now - datetime.timedelta(days=kept.days)).order_by()[:most].count()
