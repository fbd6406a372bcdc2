"""Whose keys these are, asked of Stripe."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import stripe
from django.utils import timezone

from tasks.gateway.stripe_api import answered_at, client_of, data_of, raise_for_read
from web.payments.models import StripeAccount


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """An account at Stripe. `ahead_seconds`: how far Stripe's clock was ahead of ours; None where it said no time."""

    account_id: str
    charges_enabled: bool
    ahead_seconds: float | None


def read_account(account: StripeAccount) -> AccountFacts:
    """Ask Stripe whose keys these are, and what it lets the account do."""
    before = timezone.now()
    try:
        answer = client_of(account).v1.accounts.retrieve_current()
        data = data_of(answer)
    except stripe.StripeError as error:
        raise_for_read(error)
    middle = before + (timezone.now() - before) / 2
    theirs = answered_at(answer)
    ahead = None
    if theirs is not None:  # half a second: whole ones are all that the header has
        ahead = (theirs + datetime.timedelta(seconds=1.5) - middle).total_seconds()
    return AccountFacts(str(data["id"]), bool(data.get("charges_enabled")), ahead)


def read_account_id(account: StripeAccount) -> str:
    """Ask Stripe whose keys these are; return the account id (`acct_…`)."""
    return read_account(account).account_id
