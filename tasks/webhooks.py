"""Draining the inbox: Stripe's events, applied in batches at our own pace."""

from __future__ import annotations

from django.utils import timezone

from tasks.snapshots import of_event
from web.payments.operations import inbox


def drain_inbox() -> int:
    """Apply one batch of events; return how many there were."""
    return inbox.apply_batch(interpret=of_event, now=timezone.now())
