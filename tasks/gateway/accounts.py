"""Whose keys these are, asked of Stripe."""

from __future__ import annotations

import stripe

from tasks.gateway.stripe_api import client_of, data_of, raise_for_read
from web.payments.models import StripeAccount


def read_account_id(account: StripeAccount) -> str:
    """Ask Stripe whose keys these are; return the account id (`acct_…`)."""
    try:
        return str(data_of(client_of(account).v1.accounts.retrieve_current())["id"])
    except stripe.StripeError as error:
        raise_for_read(error)
