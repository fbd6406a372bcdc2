"""What was asked of Stripe for each account of late, and how it answered: from the database, whatever Redis knows."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from django.conf import settings
from django.db import connection
from django.db.models import Count, Sum

from web.payments.models import StripeAccount, StripeMinute
from web.payments.queries.queues import MOST_POINTS

LATELY = datetime.timedelta(minutes=15)
MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls to Stripe in a stretch of time: `errors` had no answer or a 5xx, `limited` a 429."""

    calls: int
    errors: int
    limited: int
    turned_away: int
    milliseconds: int

    @property
    def error_share(self) -> float:
        return self.errors / self.calls if self.calls else 0.0

    @property
    def mean_seconds(self) -> float | None:
        return self.milliseconds / self.calls / 1000 if self.calls else None


@dataclass(frozen=True, slots=True)
class AccountCalls:
    """One account's calls, what it may ask in a second, and how much of that its busiest minute used."""

    account: StripeAccount
    calls: Calls
    busiest_minute: int
    per_second: int

    @property
    def budget_used(self) -> float:
        """Share of the budget in the busiest minute, from 0 to 1."""
        return self.busiest_minute / (60 * self.per_second)


_NOTHING = Calls(0, 0, 0, 0, 0)


def all_calls(*, now: datetime.datetime, within: datetime.timedelta = LATELY) -> Calls:
    """Return the calls of all accounts together. One query."""
    rows = StripeMinute.objects.filter(minute__gt=now - within, minute__lte=now)
    found = rows.aggregate(
        calls=Sum("calls", default=0),
        errors=Sum("errors", default=0),
        limited=Sum("limited", default=0),
        turned_away=Sum("turned_away", default=0),
        milliseconds=Sum("milliseconds", default=0),
    )
    return Calls(**found)


def of_accounts(
    *, now: datetime.datetime, within: datetime.timedelta = LATELY, most: int = MOST_SHOWN
) -> list[AccountCalls]:
    """Return the accounts to look at first: silent ones, those with errors and limits, then the busiest."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT account_id, sum(calls)::bigint, sum(errors)::bigint, sum(limited)::bigint,
                   sum(turned_away)::bigint, sum(milliseconds)::bigint, max(calls)
            FROM payments_stripeminute WHERE minute > %(since)s AND minute <= %(now)s
            GROUP BY account_id ORDER BY sum(errors) DESC, sum(limited) DESC, sum(calls) DESC, account_id
            LIMIT %(most)s
            """,
            {"since": now - within, "now": now, "most": most},
        )
        found = {account_id: (Calls(*sums), busiest) for account_id, *sums, busiest in cursor.fetchall()}
    silent = StripeAccount.objects.exclude(silent_since=None).values_list("id", flat=True)[:most]
    accounts = StripeAccount.objects.filter(id__in={*found, *silent}).select_related("business")
    shown = [
        AccountCalls(account, *found.get(account.id, (_NOTHING, 0)), per_second=_per_second(account))
        for account in accounts
    ]
    return sorted(
        shown,
        key=lambda one: (
            one.account.silent_since is None,
            -one.calls.errors,
            -one.calls.limited,
            -one.calls.calls,
            one.account.id,
        ),
    )


def _per_second(account: StripeAccount) -> int:
    default = settings.STRIPE_CALLS_PER_SECOND if account.is_live else settings.STRIPE_TEST_CALLS_PER_SECOND
    return account.calls_per_second or default


def silent_accounts() -> int:
    """Return for how many accounts Stripe does not answer (their breaker is open). One query."""
    found = StripeAccount.objects.exclude(silent_since=None).aggregate(number=Count("id"))
    return int(found["number"])


def history(*, now: datetime.datetime, within: datetime.timedelta) -> list[tuple[datetime.datetime, Calls]]:
    """Return all accounts' calls in each stretch of time, the oldest first. One query."""
    minutes = max(-(-int(within.total_seconds()) // 60 // MOST_POINTS), 1)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT date_bin(make_interval(mins => %(minutes)s), minute, %(origin)s) AS at, sum(calls)::bigint,
                   sum(errors)::bigint, sum(limited)::bigint, sum(turned_away)::bigint, sum(milliseconds)::bigint
            FROM payments_stripeminute WHERE minute > %(since)s AND minute <= %(now)s GROUP BY at ORDER BY at
            """,
            {
                "minutes": minutes,
                "origin": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
                "since": now - within,
                "now": now,
            },
        )
        return [(at, Calls(*sums)) for at, *sums in cursor.fetchall()]
