"""Draining the inbox: Stripe's events, applied in batches at our own pace."""

from __future__ import annotations

from django.utils import timezone

from tasks.snapshots import of_event
from web.payments.jobs import Lease
from web.payments.operations import inbox


def drain_inbox() -> inbox.Batch:
    """Apply one batch of events."""
    return inbox.apply_batch(interpret=of_event, now=timezone.now())


def rehearse_event(*, inbox_event_id: int, lease: Lease) -> dict[str, object]:
    """Apply an event and take it back; the answer is what would change, for whoever is about to replay it."""
    found = inbox.rehearse(inbox_event_id=inbox_event_id, interpret=of_event, now=timezone.now())
    return {"outcome": found.outcome, "changes": [list(change) for change in found.changes]}
