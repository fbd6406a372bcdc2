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

FIRST_LOOK = datetime.timedelta(seconds=1)
EACH_LATER = datetime.timedelta(seconds=0.25)
LONGEST_LOOK = datetime.timedelta(
    seconds=3
)  # 20 looks last 50 s, longer than a sale does; Stripe allows 500 a payment
# Of looks at an account whose readers are listed. Less than the second between two ticks, which call for them: what was
# planned a whole second after a tick would be due a moment after the next one, and looked at by the one after that.
A_ROUND = datetime.timedelta(seconds=0.8)
# A sale's five minutes at a reader in rounds of this, over the readers of a listing: fifteen calls for each.
MOST_PER_READER = datetime.timedelta(seconds=20)
# A look is two reads of Stripe, each with its timeout. A listing with what is looked at closer may take longer: then
# two look at the same, and the older one's word is refused by its fence.
LOOK_LEASE = datetime.timedelta(seconds=60)

log = structlog.get_logger(__name__)


def next_look(action: ReaderAction) -> datetime.timedelta:
    """Return how long to wait for an event before the reader is looked at again: a second, later three."""
    return min(FIRST_LOOK + EACH_LATER * action.polls, LONGEST_LOOK)


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
    """Actions of one account that are ours to look at now, each with the fence of this claim, longest due first.

    `active`: how many readers of the account show something, or are about to.
    """

    account_id: int
    fences: dict[int, int]
    by_listing: bool
    active: int

    @property
    def next_round(self) -> datetime.timedelta:
        """Return when those are looked at again that are listed and tell nothing new.

        Soon where many share a listing; where few do, so late that it stays below twenty calls for each.
        """
        return min(max(A_ROUND, MOST_PER_READER / self.active), LONGEST_LOOK)


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
    # A listing shows all: who is due soon is looked at in this one. Not who was planned by the one just before.
    until = now + A_ROUND / 2 if by_listing else now
    due = locks.due_actions(account_id=account_id, limit=many if by_listing else few, now=until)
    for action in due:
        action.polls = min(action.polls + 1, 30_000)
        action.fence += 1
        action.next_poll_at = now + LOOK_LEASE
    rows.update(due, ["polls", "fence", "next_poll_at"])
    return Claimed(account_id, {action.id: action.fence for action in due}, by_listing, active)


_PLAN = """
WITH seen AS (SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::int[])
              AS seen(id, fence, next_poll_at, polls)),
free AS MATERIALIZED (
    SELECT action.id, seen.next_poll_at, seen.polls FROM payments_readeraction AS action JOIN seen USING (id, fence)
    WHERE action.next_poll_at IS NOT NULL
    FOR NO KEY UPDATE OF action SKIP LOCKED
)
UPDATE payments_readeraction AS action SET next_poll_at = free.next_poll_at, polls = free.polls
FROM free WHERE action.id = free.id
RETURNING action.id
"""


def plan(
    actions: Sequence[ReaderAction], *, now: datetime.datetime, after: datetime.timedelta | None = None
) -> list[ReaderAction]:
    """Plan the next look at actions that nobody holds, with one statement for hundreds; return the others.

    `after`: when; without it each by how often it was looked at. An action that has moved since it was claimed has a
    newer fence and a plan of its own, which stays; it is among those that are returned.
    """
    if not actions:
        return []
    columns: list[list[object]] = [
        [action.id for action in actions],
        [action.fence for action in actions],
        [now + (next_look(action) if after is None else after) for action in actions],
        [action.polls for action in actions],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_PLAN, columns)
        planned = {action_id for (action_id,) in cursor.fetchall()}
    return [action for action in actions if action.id not in planned]


def give_back(actions: Sequence[ReaderAction], *, now: datetime.datetime) -> None:
    """Let actions that were claimed and not looked at be claimed by somebody else at once."""
    for action in actions:
        action.polls -= 1
    plan(actions, after=datetime.timedelta(0), now=now)  # one that somebody holds: when the lease runs out
    ring()


def look_later(
    actions: Sequence[ReaderAction], *, now: datetime.datetime, after: datetime.timedelta | None = None
) -> None:
    """Plan the next look at actions of which the reader says nothing new, as `plan` does, and wait for those held.

    Each is waited for by itself, with no other in hand: a batch of events locks actions, too, and would wait for us
    while we wait for it.
    """
    for action in plan(actions, now=now, after=after):
        held = ReaderAction.objects.filter(id=action.id, fence=action.fence, next_poll_at__isnull=False)
        try:
            held.update(next_poll_at=now + (next_look(action) if after is None else after))
        except DatabaseError as error:
            # Held for long: it is looked at when the lease of this look runs out.
            log.warning("reader.look_not_planned", action=action.id, error=type(error).__name__)
