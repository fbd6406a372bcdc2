"""Events that no webhook brought: read from Stripe's own list into the same inbox."""

from __future__ import annotations

import datetime
from typing import Any

import structlog
from django.utils import timezone

from tasks.gateway.events import list_events
from tasks.gateway.stripe_api import StripeRefused
from tasks.snapshots import is_followed
from web.payments.jobs import Lease
from web.payments.models import StripeAccount
from web.payments.operations import arrivals, backfill

PAGES = 8  # a run: at worst 20 s each, which the lease of the job allows for
# Stripe's webhook brings an event within seconds. One that is missing after this long was not brought.
A_WEBHOOK_TAKES = datetime.timedelta(minutes=3)

log = structlog.get_logger(__name__)


def backfill_events(*, stripe_account_id: int, lease: Lease) -> None:
    """Read on in the account's list of events; a long pass goes on in a job of its own."""
    account = StripeAccount.objects.get(id=stripe_account_id)
    window = backfill.begin(stripe_account_id=account.id, now=timezone.now())
    after, missed = window.after, 0
    for _ in range(PAGES):
        try:
            events, has_more = list_events(account, since=window.since, until=window.until, after=after)
        except StripeRefused as refusal:
            _refused(account, after, refusal)
            return
        missed += _store(account, events)
        if not has_more or not events:
            backfill.finish(stripe_account_id=account.id, window=window)
            break
        after = str(events[-1]["id"])
        backfill.advance(stripe_account_id=account.id, window=window, after=after)
    else:
        backfill.ROUND.go_on(account=account, now=timezone.now())
    if missed:
        log.warning("webhook.missed", account=str(account), events=missed)


def _refused(account: StripeAccount, after: str, refusal: StripeRefused) -> None:
    if after and refusal.code == "resource_missing":
        backfill.start_over(stripe_account_id=account.id)
        backfill.ROUND.go_on(account=account, now=timezone.now())
        return
    backfill.ROUND.refused(account=account, code=refusal.code, now=timezone.now())
    log.warning("backfill.refused", account=str(account), code=refusal.code)


def _store(account: StripeAccount, events: list[dict[str, Any]]) -> int:
    """Put what is new and concerns us into the inbox, the oldest first; return how many were not brought."""
    wanted = [event for event in events if is_followed(str(event.get("type")))]
    unknown = backfill.unknown_ids(
        stripe_account_id=account.id, event_ids=[str(event.get("id")) for event in wanted]
    )
    missed = 0
    for event in reversed(wanted):
        if event.get("id") not in unknown:
            continue
        now = timezone.now()
        try:
            arrived = arrivals.arrived(event)
        except arrivals.BadEvent as error:
            log.warning("backfill.bad_event", event_id=str(event.get("id"))[:64], reason=str(error))
            continue
        is_new = arrivals.store(account_id=account.id, event=arrived, now=now)
        missed += is_new and now - arrived.occurred_at > A_WEBHOOK_TAKES
    return missed
