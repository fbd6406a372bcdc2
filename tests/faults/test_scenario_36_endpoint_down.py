"""Scenario 36: our endpoint is down for longer than Stripe retries; what nobody told us is read from its list."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

from tasks import watch
from tasks.webhooks import drain_inbox
from tests.faults.test_dying_at_every_step import discrepancies
from tests.integration.conftest import AtStripe
from tests.integration.tasks.test_sale import awaiting, paid_in_full, run_all_of
from tests.integration.tasks.test_watch import (  # noqa: F401 - a sandbox of its own
    run_reconcile,
    sandbox,
    wait_for_the_fees,
)
from web.payments.jobs import Queue
from web.payments.models import EventCursor, InboxEvent, StripeAccount

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., AtStripe]


def test_scenario_36_our_endpoint_is_down_for_longer_than_stripe_retries(at_stripe: Make) -> None:
    """Nothing was ever delivered, not even the retries of three days: the list of events is read."""
    at = at_stripe()
    StripeAccount.objects.update(created_at=timezone.now() - datetime.timedelta(minutes=30))
    payment = awaiting(at)
    at.pay(payment)
    wait_for_the_fees(at)
    watch.watch_accounts()
    run_reconcile("backfill_events")
    assert drain_inbox().done > 0
    paid_in_full(at)
    cursor = EventCursor.objects.get()
    assert (cursor.window_to, cursor.resume_after, cursor.problem) == (None, "", "")
    assert timezone.now() - cursor.through_at < datetime.timedelta(minutes=2)
    # Again, and from the beginning: everything is there already.
    number = InboxEvent.objects.count()
    call_command("backfill", at.shop.account.account_id, "--days", "3", stdout=StringIO())
    run_reconcile("backfill_events")
    assert InboxEvent.objects.count() == number
    assert drain_inbox().done == 0
    run_reconcile("check_drift")
    run_all_of(Queue.RECEIPTS)
    paid_in_full(at)
    assert discrepancies(at) == []
