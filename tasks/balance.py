"""What Stripe did with the money after the sale, brought in: balance transactions, fees, payouts and their lines."""

from __future__ import annotations

import datetime
import time

from django.utils import timezone

from tasks.gateway import balance as gateway
from web.payments import jobs
from web.payments.jobs import Lease, TryAgain
from web.payments.models import Payout, StripeAccount
from web.payments.operations import balance

WINDOW = datetime.timedelta(hours=6)  # read and noted as one: what a death costs
MOST_SECONDS = 240.0  # within the lease; the rest is for the next run
NEARLY_NOW = datetime.timedelta(minutes=2)
PAYOUTS_BACK = datetime.timedelta(days=14)  # as long as a payout may take to arrive, or to come back


def import_balance(*, stripe_account_id: int, lease: Lease) -> None:
    """Read an account's balance transactions from where the last run ended, and its newest payouts."""
    account = StripeAccount.objects.get(id=stripe_account_id)
    deadline = time.monotonic() + MOST_SECONDS
    begin = balance.read_from(account)
    while True:
        now = timezone.now()
        is_last = begin + WINDOW >= now - NEARLY_NOW
        end = None if is_last else begin + WINDOW
        _read_window(account, begin, end, deadline)
        balance.note_read(account=account, until=now if end is None else end, now=now)
        if end is None:
            break
        begin = end
        if time.monotonic() > deadline:
            raise TryAgain("more to read")
    for payout in gateway.list_payouts(account, since=timezone.now() - PAYOUTS_BACK):
        balance.settle_payout(account_id=account.id, snapshot=payout, now=timezone.now())
    jobs.complete(lease, now=timezone.now())


def _read_window(
    account: StripeAccount, begin: datetime.datetime, end: datetime.datetime | None, deadline: float
) -> None:
    after = ""
    while True:
        entries, after = gateway.list_entries(account, since=begin, until=end, after=after)
        balance.store_entries(account=account, entries=entries)
        if not after:
            return
        if time.monotonic() > deadline:
            raise TryAgain("more to read")


def read_payout(*, payout_row_id: int, lease: Lease) -> None:
    """Read a payout and every line of it."""
    payout = Payout.objects.select_related("account").get(id=payout_row_id)
    account = payout.account
    snapshot = gateway.read_payout(account, payout_id=payout.payout_id)
    balance.settle_payout(account_id=account.id, snapshot=snapshot, now=timezone.now(), is_reading=True)
    if snapshot.is_automatic and snapshot.is_reconcilable:
        after = ""
        while True:
            entries, after = gateway.list_entries(account, payout_id=payout.payout_id, after=after)
            balance.store_entries(account=account, entries=entries, payout=payout)
            if not after:
                break
        balance.lines_are_complete(payout=payout, now=timezone.now())
    jobs.complete(lease, now=timezone.now())
