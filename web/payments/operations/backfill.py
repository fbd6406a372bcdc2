"""Reading Stripe's own list of events into the inbox: what no webhook brought is found all the same.

Nothing here calls Stripe. A pass over the list can be cut short and die anywhere; it goes on where it was, and
an event that is there already is stored no second time.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from django.db import transaction

from web.payments.jobs import BACKFILL_EVENTS, NOBODY_WAITS, enqueue
from web.payments.models import EventCursor, InboxEvent, StripeAccount

EVERY = datetime.timedelta(minutes=5)
AFTER_REFUSAL = datetime.timedelta(hours=1)
STRIPE_KEEPS = datetime.timedelta(days=30)
# Read again below the last pass: an event may appear in the list a while after the time that it bears.
OVERLAP = datetime.timedelta(minutes=10)

# Accounts that may have news for us: also one that was replaced, for the payments that it still has.
WATCHED = (StripeAccount.State.ACTIVE, StripeAccount.State.RETIRED)


@dataclass(frozen=True, slots=True)
class Window:
    """A pass: events from `since` to `until`, the newest first, those older than `after` (where it goes on)."""

    since: datetime.datetime
    until: datetime.datetime
    after: str


def open_cursors(*, now: datetime.datetime) -> None:
    """Give every watched account a cursor; a new one begins when its keys were entered, at most 30 days back."""
    new = StripeAccount.objects.filter(state__in=WATCHED, account_id__isnull=False, event_cursor=None)
    for account in new:
        EventCursor.objects.get_or_create(
            account=account,
            defaults={"through_at": max(account.created_at, now - STRIPE_KEEPS), "due_at": now},
        )


@transaction.atomic
def enqueue_due(*, limit: int, now: datetime.datetime) -> int:
    """Queue a pass for accounts whose time has come; return how many. Dying in between costs one round."""
    due = list(
        EventCursor.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
        .select_related("account")
        .filter(due_at__lte=now, account__state__in=WATCHED)
        .order_by("due_at")[:limit]
    )
    for cursor in due:
        cursor.due_at = now + EVERY
        cursor.save(update_fields=["due_at"])
        _enqueue(cursor.account, now=now)
    return len(due)


@transaction.atomic
def ask(*, account: StripeAccount, now: datetime.datetime, days: int | None = None) -> None:
    """Queue a pass now; with `days`, read that far back again (Stripe keeps thirty)."""
    back = now - min(datetime.timedelta(days=days or 0), STRIPE_KEEPS)
    cursor, _is_new = EventCursor.objects.select_for_update(no_key=True).get_or_create(
        account=account, defaults={"through_at": max(account.created_at, now - STRIPE_KEEPS), "due_at": now}
    )
    if days is not None:
        cursor.through_at, cursor.window_to, cursor.resume_after = back, None, ""
    cursor.problem = ""
    cursor.save()
    _enqueue(account, now=now)


def _enqueue(account: StripeAccount, *, now: datetime.datetime) -> None:
    enqueue(
        BACKFILL_EVENTS,
        business_id=account.business_id,
        account_id=account.id,
        stripe_account_id=account.id,
        dedup_key=f"account:{account.id}",
        priority=NOBODY_WAITS,
        now=now,
    )


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


def refused(*, stripe_account_id: int, code: str, now: datetime.datetime) -> None:
    """Note that Stripe refuses us the list (keys revoked, say), and ask more rarely."""
    EventCursor.objects.filter(account_id=stripe_account_id).update(
        problem=code[:60], due_at=now + AFTER_REFUSAL
    )


@transaction.atomic
def go_on(*, stripe_account_id: int, now: datetime.datetime) -> None:
    """Queue the rest of a pass that was cut short because it was long."""
    _enqueue(StripeAccount.objects.get(id=stripe_account_id), now=now)


def unknown_ids(*, stripe_account_id: int, event_ids: list[str]) -> set[str]:
    """Return those events that are not in the inbox."""
    known = InboxEvent.objects.filter(account_id=stripe_account_id, event_id__in=event_ids)
    return set(event_ids) - set(known.values_list("event_id", flat=True))
