"""Bringing in what Stripe did with the money: balance transactions, fees, payouts; and matching them with ours.

Balance transactions are read in windows of time, a hundred a call, and not one GET for each charge: Stripe lets
an account make 25 reads a second, and a busy one takes more payments than that. They never change once they are
there, so storing one again does nothing. News of payouts comes by event, and by the same reading where it was lost.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q

from web.payments.jobs import IMPORT_BALANCE, NOBODY_WAITS, READ_PAYOUT, enqueue, enqueue_for_account
from web.payments.models import BalanceCursor, BalanceEntry, Payment, Payout, StripeAccount
from web.payments.operations.rounds import watched
from web.payments.snapshots import EntrySnapshot, PayoutSnapshot
from web.payments.states import PaymentState

READ_EVERY = datetime.timedelta(minutes=5)
SELLING = datetime.timedelta(days=35)  # an account without a payment for so long has nothing new to tell
OVERLAP = datetime.timedelta(hours=1)  # read twice rather than missed: clocks differ
LINES_AFTER = datetime.timedelta(minutes=10)  # a payout's lines that are still missing are asked for again
MATCH_BACK = datetime.timedelta(days=40)


# --- payouts ----------------------------------------------------------------------------------------


def find(*, account_id: int, snapshot: PayoutSnapshot) -> Payment | None:
    """Return the payment that a payout is about: none, it belongs to no sale."""
    return None


@transaction.atomic
def settle_payout(
    *, account_id: int, snapshot: PayoutSnapshot, now: datetime.datetime, is_reading: bool = False
) -> Payout | None:
    """Store what Stripe says of a payout. Older news never takes it back; paid can still become failed.

    Once its lines are complete at Stripe they are read, unless the caller is doing just that.
    """
    payout, is_new = Payout.objects.get_or_create(
        account_id=account_id,
        payout_id=snapshot.payout_id,
        defaults={
            "status": snapshot.status,
            "amount_minor": snapshot.amount.amount,
            "currency": snapshot.amount.currency,
            "is_automatic": snapshot.is_automatic,
            "is_reconcilable": snapshot.is_reconcilable,
            "failure_code": snapshot.failure_code,
            "created_at": snapshot.created_at,
            "arrives_on": snapshot.arrives_on,
        },
    )
    if not is_new:
        # One statement each: two events at once cannot undo each other.
        ahead = [
            status
            for status, rank in Payout.RANK.items()
            if rank < Payout.RANK[Payout.Status(snapshot.status)]
        ]
        Payout.objects.filter(id=payout.id, status__in=ahead).update(
            status=snapshot.status, failure_code=snapshot.failure_code
        )
        if snapshot.is_reconcilable:
            Payout.objects.filter(id=payout.id).update(is_reconcilable=True)
        payout.refresh_from_db()
    if payout.is_reconcilable and payout.lines_read_at is None and not is_reading:
        _read_lines_soon(payout, now=now)
    return payout


def _read_lines_soon(payout: Payout, *, now: datetime.datetime) -> None:
    enqueue(
        READ_PAYOUT,
        business_id=payout.account.business_id,
        account_id=payout.account_id,
        payout_row_id=payout.id,
        dedup_key=f"payout:{payout.id}",
        priority=NOBODY_WAITS,
        now=now,
    )


@transaction.atomic
def lines_are_complete(*, payout: Payout, now: datetime.datetime) -> None:
    """Note that every line of a payout is stored."""
    Payout.objects.filter(id=payout.id, lines_read_at=None).update(lines_read_at=now)


# --- balance transactions ------------------------------------------------------------------------------


@transaction.atomic
def store_entries(
    *, account: StripeAccount, entries: Sequence[EntrySnapshot], payout: Payout | None = None
) -> None:
    """Store balance transactions that are new, say in which payout they left, and match them with ours."""
    BalanceEntry.objects.bulk_create(
        [
            BalanceEntry(
                account=account,
                entry_id=entry.entry_id,
                kind=entry.kind,
                category=entry.category,
                source_id=entry.source_id,
                amount_minor=entry.amount.amount,
                fee_minor=entry.fee.amount,
                net_minor=entry.amount.amount - entry.fee.amount,
                currency=entry.amount.currency,
                created_at=entry.created_at,
                available_at=entry.available_at,
            )
            # In one order everywhere: two imports at once can wait for each other, never deadlock.
            for entry in sorted(entries, key=lambda one: one.entry_id)
        ],
        ignore_conflicts=True,
    )
    if payout is not None and entries:
        ids = [entry.entry_id for entry in entries]
        BalanceEntry.objects.filter(account=account, entry_id__in=ids, payout=None).update(payout=payout)
    if entries:
        match(account_id=account.id, since=min(entry.created_at for entry in entries))


def match(*, account_id: int, since: datetime.datetime) -> None:
    """Find the payment, refund or dispute of every balance transaction that has none yet."""
    given: dict[str, Any] = {"account": account_id, "since": since}
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE payments_balanceentry b SET payment_id = p.id
            FROM payments_payment p
            WHERE b.account_id = %(account)s AND b.created_at >= %(since)s AND b.payment_id IS NULL
              AND p.charge_id = b.source_id AND p.account_id = b.account_id
            """,
            given,
        )
        cursor.execute(
            """
            UPDATE payments_balanceentry b SET refund_id = r.id, payment_id = p.id
            FROM payments_refund r JOIN payments_payment p ON p.id = r.payment_id
            WHERE b.account_id = %(account)s AND b.created_at >= %(since)s AND b.refund_id IS NULL
              AND r.stripe_refund_id = b.source_id AND p.account_id = b.account_id
            """,
            given,
        )
        cursor.execute(
            """
            UPDATE payments_balanceentry b SET dispute_id = d.id, payment_id = d.payment_id
            FROM payments_dispute d
            WHERE b.account_id = %(account)s AND b.created_at >= %(since)s AND b.dispute_id IS NULL
              AND d.stripe_dispute_id = b.source_id AND d.account_id = b.account_id
            """,
            given,
        )


def read_from(account: StripeAccount) -> datetime.datetime:
    """Return from when on an account's balance is to be read."""
    cursor = BalanceCursor.objects.filter(account=account).first()
    if cursor is not None:
        return cursor.read_until - OVERLAP
    first = (
        Payment.objects.filter(account=account).order_by("id").values_list("created_at", flat=True).first()
    )
    return (first or account.created_at) - OVERLAP


@transaction.atomic
def note_read(*, account: StripeAccount, until: datetime.datetime, now: datetime.datetime) -> None:
    """Move an account's cursor forward, never back; match once more what came before its payment was known."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO payments_balancecursor (account_id, read_until, read_at) VALUES (%s, %s, %s)
            ON CONFLICT (account_id) DO UPDATE
            SET read_until = GREATEST(payments_balancecursor.read_until, EXCLUDED.read_until),
                read_at = EXCLUDED.read_at
            """,
            [account.id, until, now],
        )
    match(account_id=account.id, since=now - MATCH_BACK)


@transaction.atomic
def request_imports(*, now: datetime.datetime) -> int:
    """Queue an import for each account that sells and was not read of late, and lines of payouts that are missing."""
    selling = Payment.objects.filter(
        account=OuterRef("id"), state=PaymentState.SUCCEEDED, state_changed_at__gte=now - SELLING
    )
    accounts = watched().filter(
        Q(balance_cursor=None) | Q(balance_cursor__read_at__lte=now - READ_EVERY),
        Exists(selling),
    )
    count = 0
    for account in accounts:
        request_import(account, now=now)
        count += 1
    missing = Payout.objects.filter(
        is_reconcilable=True, lines_read_at=None, created_at__lte=now - LINES_AFTER
    ).select_related("account")
    for payout in missing.order_by("id")[:100]:
        _read_lines_soon(payout, now=now)
    return count


def request_import(account: StripeAccount, *, now: datetime.datetime) -> None:
    """Queue an import of an account's balance, in the transaction at hand."""
    enqueue_for_account(IMPORT_BALANCE, account, now=now, priority=NOBODY_WAITS)
