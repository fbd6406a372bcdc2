"""The balance at Stripe: its transactions with their fees, and the payouts that they leave in."""

from __future__ import annotations

import datetime
from typing import Any, cast

from tasks.gateway.stripe_api import StripeUnreachable, client_of, objects_of, read
from tasks.snapshots import of_entry, of_payout
from web.payments.models import StripeAccount
from web.payments.snapshots import EntrySnapshot, PayoutSnapshot

PAGE = 100  # the most that Stripe lists in one call


def list_entries(
    account: StripeAccount,
    *,
    since: datetime.datetime | None = None,
    until: datetime.datetime | None = None,
    payout_id: str = "",
    after: str = "",
) -> tuple[list[EntrySnapshot], str]:
    """Return one page of balance transactions, newest first, and the id to go on after ("" at the end).

    Of an automatic payout, or of all that were made in a time. A transaction in a currency that we cannot
    hold is left out.
    """
    asked: dict[str, Any] = {"limit": PAGE}
    if since is not None:
        asked["created"] = {"gte": int(since.timestamp())}
        if until is not None:
            asked["created"]["lt"] = int(until.timestamp())
    if payout_id:
        asked["payout"] = payout_id
    if after:
        asked["starting_after"] = after
    page = read(lambda: client_of(account).v1.balance_transactions.list(cast(Any, asked)))
    rows = objects_of(page)
    entries = [entry for entry in map(of_entry, rows) if entry is not None]
    return entries, str(rows[-1]["id"]) if rows and page.get("has_more") else ""


def list_payouts(account: StripeAccount, *, since: datetime.datetime) -> list[PayoutSnapshot]:
    """Return the payouts that were made since a time, newest first; a hundred at most."""
    asked: dict[str, Any] = {"limit": PAGE, "created": {"gte": int(since.timestamp())}}
    page = read(lambda: client_of(account).v1.payouts.list(cast(Any, asked)))
    return [payout for payout in map(of_payout, objects_of(page)) if payout is not None]


def read_payout(account: StripeAccount, *, payout_id: str) -> PayoutSnapshot:
    """Read a payout as it is now; raise StripeUnreachable or StripeRefused."""
    payout = of_payout(read(lambda: client_of(account).v1.payouts.retrieve(payout_id)))
    if payout is None or payout.payout_id != payout_id:
        raise StripeUnreachable("an answer for another payout")
    return payout
