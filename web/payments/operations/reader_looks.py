"""When a reader is looked at that no event tells of, and who looks: claims that are leases, plans of the next look.

What a look shows is applied in reader_attempts.py. A claim whose looker died runs out, and somebody else looks.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from django.db import DatabaseError, connection, transaction

from web.payments import locks, rows
from web.payments.bell import ring_on_commit
from web.payments.jobs import Queue
from web.payments.models import ReaderAction
from web.payments.states import ACTIVE_ACTION, ActionState

FIRST_LOOK_SECONDS = 1.0
LONGEST_LOOK_SECONDS = 3.0  # 20 looks last 50 s, longer than a sale does; Stripe allows 500 a payment
A_ROUND = datetime.timedelta(seconds=1)  # of looks at an account whose readers are listed
LOOK_LEASE = datetime.timedelta(seconds=60)  # two reads of Stripe, each with its timeout

log = structlog.get_logger(__name__)


def next_look(action: ReaderAction) -> datetime.timedelta:
    """Return how long to wait for an event before the reader is looked at again: a second, later three."""
    seconds = min(FIRST_LOOK_SECONDS + 0.25 * action.polls, LONGEST_LOOK_SECONDS)
    return datetime.timedelta(seconds=seconds)


def look_soon(action: ReaderAction, *, now: datetime.datetime) -> None:
    """Let a locked action be looked at now: there is news that only a look can make certain."""
    is_looked_at = (ActionState.WAITING, ActionState.PROCESSING, ActionState.CHECKING)
    if action.state in is_looked_at and action.next_poll_at is not None and action.next_poll_at > now:
        action.next_poll_at = now
        action.fence += 1  # a look that is under way began before this news
        action.save(update_fields=["next_poll_at", "fence"])
        ring()


def ring() -> None:
    """Call a worker to look, once the change at hand is committed."""
    ring_on_commit(Queue.TERMINAL)


def has_due_looks(*, now: datetime.datetime) -> bool:
    """Return whether an action is to be looked at now."""
    return ReaderAction.objects.filter(next_poll_at__lte=now).exists()


@dataclass(frozen=True, slots=True)
class Claimed:
    """Actions of one account that are ours to look at now, each with the fence of this claim."""

    account_id: int
    fences: dict[int, int]
    by_listing: bool


@transaction.atomic(durable=True)
def claim_looks(*, few: int, many: int, list_above: int, now: datetime.datetime) -> Claimed | None:
    """Claim actions of one account, the one that has waited longest, that are to be looked at now.

    A few at a time, each by a read of its own; of an account with more than `list_above` active readers many, to
    be seen in one listing. The next time is the claim's lease: if we die, somebody else looks then.
    """
    longest = (
        ReaderAction.objects.filter(next_poll_at__lte=now)
        .select_related("reader")
        .order_by("next_poll_at")
        .first()
    )
    if longest is None:
        return None
    account_id = longest.reader.account_id
    active = ReaderAction.objects.filter(reader__account_id=account_id, state__in=ACTIVE_ACTION).count()
    by_listing = active > list_above
    # A listing shows all: whoever is due before the next round is looked at in this one.
    until = now + A_ROUND if by_listing else now
    due = locks.due_actions(account_id=account_id, limit=many if by_listing else few, now=until)
    for action in due:
        action.polls = min(action.polls + 1, 30_000)
        action.fence += 1
        action.next_poll_at = now + LOOK_LEASE
    rows.update(due, ["polls", "fence", "next_poll_at"])
    return Claimed(account_id, {action.id: action.fence for action in due}, by_listing)


_LOOK_LATER = """
WITH seen AS (SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[]) AS seen(id, fence, next_poll_at)),
free AS MATERIALIZED (
    SELECT action.id, seen.next_poll_at FROM payments_readeraction AS action JOIN seen USING (id, fence)
    WHERE action.next_poll_at IS NOT NULL
    FOR NO KEY UPDATE OF action SKIP LOCKED
)
UPDATE payments_readeraction AS action SET next_poll_at = free.next_poll_at FROM free WHERE action.id = free.id
RETURNING action.id
"""


def look_later(
    actions: Sequence[ReaderAction], *, now: datetime.datetime, after: datetime.timedelta | None = None
) -> None:
    """Plan the next look at actions of which the reader says nothing new; one statement, for hundreds.

    `after`: when; without it each by how often it was looked at.

    An action that has moved since it was claimed has a newer fence, and a plan of its own. One that somebody holds at
    this moment is waited for by itself, with no other in hand: a batch of events locks actions, too, and would wait
    for us while we wait for it.
    """
    if not actions:
        return
    planned_at = {action.id: now + (next_look(action) if after is None else after) for action in actions}
    with connection.cursor() as cursor:
        cursor.execute(
            _LOOK_LATER, [list(planned_at), [action.fence for action in actions], list(planned_at.values())]
        )
        planned = {action_id for (action_id,) in cursor.fetchall()}
    for action in actions:
        if action.id not in planned:
            held = ReaderAction.objects.filter(id=action.id, fence=action.fence, next_poll_at__isnull=False)
            try:
                held.update(next_poll_at=planned_at[action.id])
            except DatabaseError as error:
                # Held for long: it is looked at when the lease of this look runs out.
                log.warning("reader.look_not_planned", action=action.id, error=type(error).__name__)
