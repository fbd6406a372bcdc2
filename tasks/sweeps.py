"""Finding what is stuck: nothing waits for a webhook, or for the broker, for ever."""

from __future__ import annotations

import structlog
from celery import shared_task
from django.utils import timezone

from web.payments.operations import balance, intents, keeping, ledgers, refund_moves, tenders

SWEEP_BATCH = 100

log = structlog.get_logger(__name__)


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


@shared_task(name="paydesk.forget_old")
def forget_old(**_: object) -> None:
    """Let go of what is past its time (operations/keeping.py says what, and why so late)."""
    gone = {name: number for name, number in keeping.forget_all(now=timezone.now()).items() if number}
    if gone:
        log.info("retention.gone", **gone)
