"""Watching: what Stripe told nobody, what differs, what is silent. Nothing here is needed for a sale to go well."""

from __future__ import annotations

import structlog
from celery import shared_task
from django.utils import timezone

from tasks import limits
from web.payments.models import StripeAccount
from web.payments.operations import accounts, attempts, backfill, drift, figures, inbox

BATCH = 100  # accounts a transaction

log = structlog.get_logger(__name__)


@shared_task(name="paydesk.review_silence")
def review_silence(**_: object) -> None:
    """Forget that Stripe is silent for an account whose breaker is not open any more: Redis may have lost it."""
    for account in StripeAccount.objects.exclude(silent_since=None):
        if not limits.is_shut(account):
            accounts.note_silence(stripe_account_id=account.id, since=None)


@shared_task(name="paydesk.watch_accounts")
def watch_accounts(**_: object) -> None:
    """Queue what is due of reading Stripe's events and of comparing the books."""
    for each in (backfill.ROUND, drift.ROUND):
        each.open_cursors(now=timezone.now())
        while each.enqueue_due(limit=BATCH, now=timezone.now()) == BATCH:
            pass


@shared_task(name="paydesk.review_inbox")
def review_inbox(**_: object) -> None:
    """Say aloud that events were given up or wait for too long."""
    now = timezone.now()
    stuck = inbox.stuck(now=now)
    if stuck:
        log.error("inbox.stuck", dead=stuck.dead, waiting=stuck.waiting)


@shared_task(name="paydesk.review_attempts")
def review_attempts(**_: object) -> None:
    """Queue again what was asked of Stripe long ago, has no certain answer, and nobody follows up."""
    queued = attempts.follow_up(limit=BATCH, now=timezone.now())
    if queued:
        log.warning("attempts.followed_up", number=queued)


@shared_task(name="paydesk.note_figures")
def note_figures(**_: object) -> None:
    """Note how the queues stand, and count what happened in this minute and the one before."""
    figures.note(now=timezone.now())


@shared_task(name="paydesk.forget_figures")
def forget_figures(**_: object) -> None:
    """Delete the minutes that no chart shows any more."""
    figures.forget(now=timezone.now())
