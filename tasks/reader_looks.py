"""Looks at card readers while no event comes: each by itself, or all of an account in one listing.

Every function is safe to run twice and at once, and to die on any line: a claim is a lease, and whoever comes after
it looks again.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator, Mapping, Sequence

import structlog
from django.db import DatabaseError
from django.utils import timezone

from tasks import reader_refunds
from tasks.gateway import intents as intent_gateway
from tasks.gateway import readers as gateway
from tasks.gateway.stripe_api import StripeRefused
from web.payments.jobs import TryAgain
from web.payments.models import Reader, ReaderAction, StripeAccount
from web.payments.operations import reader_attempts
from web.payments.operations import reader_looks as looks
from web.payments.snapshots import IntentSnapshot, ReaderSnapshot, RefundSnapshot
from web.payments.states import ActionState

LIST_ABOVE = 10  # active readers of an account: from there on one listing is cheaper than a read for each
LOOKS_AT_ONCE = 4  # reads of one claim, one after the other: others help with the rest
LISTED_AT_ONCE = 5 * gateway.PAGE
# Of a listing, what one claim looks at closer, mostly with a read each. A share of much, or the account would be listed
# anew for every few of them; and not so much that a claim's lease runs out.
NEWS_AT_ONCE, NEWS_SHARE, MOST_NEWS_AT_ONCE = 8, 4, 40
SEEN_EVERY = datetime.timedelta(seconds=20)

log = structlog.get_logger(__name__)


def look_at_readers() -> int:
    """Look at some of the readers that have been silent for too long, of one account; return how many."""
    claimed = looks.claim_looks(
        few=LOOKS_AT_ONCE, many=LISTED_AT_ONCE, list_above=LIST_ABOVE, now=timezone.now()
    )
    if claimed is None or not claimed.fences:
        return 0
    actions = _read(claimed)
    account = StripeAccount.objects.get(id=claimed.account_id)
    if claimed.by_listing:
        _look_by_listing(account, actions, next_round=claimed.next_round)
    else:
        _look_one_by_one(account, actions)
    return len(claimed.fences)


def _read(claimed: looks.Claimed) -> list[ReaderAction]:
    """Read what is to be looked at, longest due first, and of it no more than a look needs that finds nothing new."""
    rows = ReaderAction.objects.filter(id__in=claimed.fences).select_related("reader", "payment", "refund")
    narrow = rows.only(
        "state", "fence", "polls", "deadline_at",
        "reader__stripe_reader_id", "reader__is_online", "reader__read_at",
        "payment__intent_id", "refund__public_id",
    )  # fmt: skip
    found = {action.id: action for action in narrow}
    # One that has moved since it was claimed has plans of its own.
    return [found[one] for one, fence in claimed.fences.items() if one in found and found[one].fence == fence]


def _look_one_by_one(account: StripeAccount, actions: Sequence[ReaderAction]) -> None:
    quiet = []
    for action in actions:
        with _others_go_on(action):
            reader = read_reader(account, str(action.reader.stripe_reader_id))
            if _is_quiet(action, reader):
                quiet.append(action)
            else:
                _look_closer(account, action, reader)
            _note(action.reader, reader)
    looks.look_later(quiet, now=timezone.now())


def _look_by_listing(
    account: StripeAccount, actions: Sequence[ReaderAction], *, next_round: datetime.timedelta
) -> None:
    """Look at an account's readers in one listing, and closer at those that tell something new.

    Looking closer takes its time. So the quiet ones are planned before, and what is more than one thread should do
    goes back at once, to be claimed by another. A quiet one that somebody holds is waited for at the end.
    """
    listed = _listed(account, actions)
    if listed is None:
        _put_off(actions)  # hundreds of reads one after the other would only take longer to fail
        return
    quiet: list[ReaderAction] = []
    news: list[ReaderAction] = []
    for action in actions:
        with _others_go_on(action):
            (quiet if _is_quiet(action, _of(action, listed)) else news).append(action)
    held = looks.plan(quiet, after=next_round, now=timezone.now())
    mine = min(max(NEWS_AT_ONCE, len(news) // NEWS_SHARE), MOST_NEWS_AT_ONCE)
    if len(news) > mine:
        looks.give_back(news[mine:], now=timezone.now())
    for action in news[:mine]:
        with _others_go_on(action):
            _look_closer(account, action, _of(action, listed))
    looks.look_later(held, after=next_round, now=timezone.now())
    for action in actions:
        _note(action.reader, _of(action, listed))


def _of(action: ReaderAction, listed: Mapping[str, ReaderSnapshot]) -> ReaderSnapshot | None:
    return listed.get(str(action.reader.stripe_reader_id))


@contextlib.contextmanager
def _others_go_on(action: ReaderAction) -> Iterator[None]:
    """Put a look off that fails: the others' customers must not wait for what is wrong with this one."""
    try:
        yield
    except (TryAgain, StripeRefused) as error:
        log.info("reader.not_looked_at", action=action.id, reason=str(error))
        _put_off([action])
    except Exception:
        log.exception("reader.look_failed", action=action.id)
        _put_off([action])


def _put_off(actions: Sequence[ReaderAction]) -> None:
    """Look at these again a little later; the sale of one whose time is over is given up."""
    now = timezone.now()
    looks.look_later([action for action in actions if not _is_late(action, now)], now=now)
    for action in actions:
        if not _is_late(action, now):
            continue
        try:
            reader_attempts.put_off_look(action_id=action.id, fence=action.fence, now=now)
        except Exception:  # looked at again when the lease of this look runs out
            log.exception("reader.look_not_put_off", action=action.id)


def _is_late(action: ReaderAction, now: datetime.datetime) -> bool:
    return action.deadline_at is not None and now >= action.deadline_at


def _listed(account: StripeAccount, actions: Sequence[ReaderAction]) -> Mapping[str, ReaderSnapshot] | None:
    """Return the readers of these actions; None where they could not be listed."""
    wanted = {str(action.reader.stripe_reader_id) for action in actions}
    try:
        return gateway.list_readers(account, wanted=wanted)
    except (TryAgain, StripeRefused) as error:
        log.info("readers.not_listed", reason=str(error))
        return None


def read_reader(account: StripeAccount, stripe_reader_id: str) -> ReaderSnapshot:
    """Read a reader; one that is not there any more shows nothing of ours."""
    try:
        return gateway.read_reader(account, reader_id=stripe_reader_id)
    except StripeRefused as refusal:
        if refusal.http_status == 404:
            return ReaderSnapshot(stripe_reader_id)
        raise


def _is_quiet(action: ReaderAction, reader: ReaderSnapshot | None) -> bool:
    """Say whether there is nothing new: it is on the reader, nobody has paid yet, and there is time."""
    return (
        action.state == ActionState.WAITING
        and not _is_late(action, timezone.now())
        and not reader_attempts.needs_more(action, reader)
    )


def _look_closer(account: StripeAccount, action: ReaderAction, reader: ReaderSnapshot | None) -> None:
    """Read an action's intent or refund where the reader's word is not enough, and apply what was seen."""
    intent: IntentSnapshot | None = None
    refunds: list[RefundSnapshot] | None = None
    if _is_late(action, timezone.now()) or reader_attempts.needs_more(action, reader):
        if action.refund_id is not None:
            refunds = reader_refunds.listed(account, action.payment)
        elif action.payment.intent_id is not None:
            intent = intent_gateway.read_intent(account, intent_id=action.payment.intent_id)
    if action.refund_id is not None:
        reader_refunds.looked(action, reader, refunds)
        return
    reader_attempts.conclude_look(
        action_id=action.id, fence=action.fence, reader=reader, intent=intent, now=timezone.now()
    )


def _note(row: Reader, seen: ReaderSnapshot | None) -> None:
    """Keep what people see of a reader, where it is worth a write: it came or went, or was not looked at of late."""
    if seen is None:
        return
    is_old = row.read_at is None or timezone.now() - row.read_at > SEEN_EVERY
    if is_old or row.is_online != seen.is_online:
        try:
            reader_attempts.note_reader(reader_id=row.id, snapshot=seen, now=timezone.now())
        except DatabaseError as error:  # somebody holds the reader: the next look sees it, too
            log.warning("reader.not_noted", reader=row.id, error=type(error).__name__)
