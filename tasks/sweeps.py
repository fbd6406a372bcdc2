"""Finding what is stuck: nothing waits for a webhook, or for the broker, for ever."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from web.payments.operations import intents

SWEEP_BATCH = 100


@shared_task(name="paydesk.check_silent_payments")
def check_silent_payments(**_: object) -> None:
    """Queue the next look at payments that have been silent for too long."""
    while intents.check_again(limit=SWEEP_BATCH, now=timezone.now()) == SWEEP_BATCH:
        pass
