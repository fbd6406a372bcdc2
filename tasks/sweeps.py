"""Finding what is stuck: nothing waits for a webhook, or for the broker, for ever."""

from __future__ import annotations

import datetime

from celery import shared_task
from django.utils import timezone

from web.payments.operations import backlog, balance, intents, ledgers, refund_moves, tenders

SWEEP_BATCH = 100
DONE_JOBS_ARE_KEPT = datetime.timedelta(days=7)  # long enough to ask what happened last week
FORGET_BATCH = 1000


@shared_task(name="paydesk.check_silent_payments")
def check_silent_payments(**_: object) -> None:
    """Queue the next look at payments that have been silent for too long."""
    while intents.check_again(limit=SWEEP_BATCH, now=timezone.now()) == SWEEP_BATCH:
        pass


@shared_task(name="paydesk.check_silent_refunds")
def check_silent_refunds(**_: object) -> None:
    """Queue the next step for refunds that have been silent for too long."""
    while refund_moves.check_again(limit=SWEEP_BATCH, now=timezone.now()) == SWEEP_BATCH:
        pass


@shared_task(name="paydesk.tidy_ledgers")
def tidy_ledgers(**_: object) -> None:
    """Write off what has ended of customers' ledgers, and give back what forgotten sales had set aside."""
    while ledgers.expire_due(limit=SWEEP_BATCH, now=timezone.now()) == SWEEP_BATCH:
        pass
    tenders.release_forgotten(limit=SWEEP_BATCH, now=timezone.now())


@shared_task(name="paydesk.bring_in_balances")
def bring_in_balances(**_: object) -> None:
    """Queue a look at the balance of each account that sells, and at payouts whose lines are missing."""
    balance.request_imports(now=timezone.now())


@shared_task(name="paydesk.forget_done_jobs")
def forget_done_jobs(**_: object) -> None:
    """Delete jobs that were done a week ago; what they did is in the history of payments."""
    before = timezone.now() - DONE_JOBS_ARE_KEPT
    while backlog.forget_done(before=before, limit=FORGET_BATCH) == FORGET_BATCH:
        pass
