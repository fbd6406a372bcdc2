"""Going round the Stripe accounts: which of them a pass is due for, and the job that makes it.

Two passes go round: one reads an account's events into the inbox (backfill.py), one compares its books with ours
(drift.py). Each has a cursor per account that says how far it is; dying anywhere costs one round.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db import transaction
from django.db.models import QuerySet

from web.payments.jobs import NOBODY_WAITS, JobKind, enqueue_for_account
from web.payments.models import DriftCursor, EventCursor, StripeAccount

Cursor = TypeVar("Cursor", EventCursor, DriftCursor)

AFTER_REFUSAL = datetime.timedelta(hours=1)
STRIPE_KEEPS = datetime.timedelta(days=30)

# Accounts that may have news for us: also one that was replaced, for the payments that it still has.
WATCHED = (StripeAccount.State.ACTIVE, StripeAccount.State.RETIRED)


def watched() -> QuerySet[StripeAccount]:
    """Return the accounts that passes go round, the oldest first."""
    return StripeAccount.objects.filter(state__in=WATCHED, account_id__isnull=False).order_by("id")


@dataclass(frozen=True, slots=True)
class Round(Generic[Cursor]):
    """One kind of pass: its cursors, its job, and how often it comes to an account."""

    cursor: type[Cursor]
    kind: JobKind
    every: datetime.timedelta

    def open_cursors(self, *, now: datetime.datetime) -> None:
        """Give every watched account a cursor; a new one begins when its keys were entered, at most 30 days back."""
        have = self.cursor.objects.values("account_id")
        for account in watched().exclude(id__in=have):
            self.cursor.objects.get_or_create(account=account, defaults=_first(account, now=now))

    def enqueue_due(self, *, limit: int, now: datetime.datetime) -> int:
        """Queue a pass for accounts whose time has come; return how many. Dying in between costs one round."""
        with transaction.atomic():
            due = list(
                self.cursor.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
                .select_related("account")
                .filter(due_at__lte=now, account__state__in=WATCHED)
                .order_by("due_at")[:limit]
            )
            for cursor in due:
                cursor.due_at = now + self.every
                cursor.save(update_fields=["due_at"])
                enqueue_for_account(self.kind, cursor.account, now=now, priority=NOBODY_WAITS)
        return len(due)

    def ask(self, *, account: StripeAccount, now: datetime.datetime, days: int | None = None) -> None:
        """Queue a pass now; with `days`, go over that many again."""
        with transaction.atomic():
            cursor, _is_new = self.cursor.objects.select_for_update(no_key=True).get_or_create(
                account=account, defaults=_first(account, now=now)
            )
            if days is not None:
                cursor.rewind(now - datetime.timedelta(days=days))
            cursor.problem = ""
            cursor.save()
            enqueue_for_account(self.kind, account, now=now, priority=NOBODY_WAITS)

    def go_on(self, *, account: StripeAccount, now: datetime.datetime) -> None:
        """Queue the rest of a pass that is long."""
        with transaction.atomic():
            enqueue_for_account(self.kind, account, now=now, priority=NOBODY_WAITS)

    def refused(self, *, account: StripeAccount, code: str, now: datetime.datetime) -> None:
        """Note that Stripe refuses us the list (keys revoked, say), and ask more rarely."""
        self.cursor.objects.filter(account=account).update(problem=code[:60], due_at=now + AFTER_REFUSAL)


def _first(account: StripeAccount, *, now: datetime.datetime) -> dict[str, datetime.datetime]:
    return {"through_at": max(account.created_at, now - STRIPE_KEEPS), "due_at": now}
