"""Reading Stripe's own list of events into the inbox: what no webhook brought is found all the same.

Nothing here calls Stripe. A pass over the list can be cut short and die anywhere; it goes on where it was, and
an event that is there already is stored no second time.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from django.db import transaction

from web.payments.jobs import BACKFILL_EVENTS
from web.payments.models import EventCursor, InboxEvent
from web.payments.operations.rounds import STRIPE_KEEPS, Round

ROUND = Round(EventCursor, BACKFILL_EVENTS, every=datetime.timedelta(minutes=5))
# Read again below the last pass: an event may appear in the list a while after the time that it bears.
OVERLAP = datetime.timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Window:
    """A pass: events from `since` to `until`, the newest first, those older than `after` (where it goes on)."""

    since: datetime.datetime
    until: datetime.datetime
    after: str


@transaction.atomic
def begin(*, stripe_account_id: int, now: datetime.datetime) -> Window:
    """Begin a pass, or go on with the one that was cut short."""
    cursor = EventCursor.objects.select_for_update(no_key=True).get(account_id=stripe_account_id)
    if cursor.window_to is None:
        cursor.window_to, cursor.resume_after = now, ""
        cursor.save(update_fields=["window_to", "resume_after"])
    since = max(cursor.through_at - OVERLAP, now - STRIPE_KEEPS)
    return Window(since, cursor.window_to, cursor.resume_after)


def advance(*, stripe_account_id: int, window: Window, after: str) -> None:
    """Note the last event that the pass has seen."""
    EventCursor.objects.filter(account_id=stripe_account_id, window_to=window.until).update(
        resume_after=after
    )


def finish(*, stripe_account_id: int, window: Window) -> None:
    """Note that the pass is complete: everything up to its upper end is in the inbox."""
    EventCursor.objects.filter(account_id=stripe_account_id, window_to=window.until).update(
        through_at=window.until, window_to=None, resume_after="", problem=""
    )


def start_over(*, stripe_account_id: int) -> None:
    """Forget where a pass was cut short: the event that it would go on from is no longer in Stripe's list."""
    EventCursor.objects.filter(account_id=stripe_account_id).update(window_to=None, resume_after="")


def unknown_ids(*, stripe_account_id: int, event_ids: list[str]) -> set[str]:
    """Return those events that are not in the inbox."""
    known = InboxEvent.objects.filter(account_id=stripe_account_id, event_id__in=event_ids)
    return set(event_ids) - set(known.values_list("event_id", flat=True))
