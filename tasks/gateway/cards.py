"""Saved cards at Stripe: the customer that they belong to, the setup intent that saves one, its removal."""

from __future__ import annotations

from typing import Any, NoReturn, cast

import stripe

from tasks.gateway.stripe_api import StripeRefused, client_of, data_of, judged, raise_for_read
from tasks.snapshots import of_setup
from web.payments.jobs import TryAgain
from web.payments.models import StripeAccount
from web.payments.snapshots import SetupSnapshot, Verdict


def create_customer(account: StripeAccount, *, parameters: dict[str, Any], key: str) -> str:
    """Create a customer and return its id; StripeRefused where that is for good, else TryAgain."""
    customers = client_of(account).v1.customers
    try:
        made = customers.create(cast(Any, parameters), {"idempotency_key": key})
    except stripe.StripeError as error:
        _raise(error)
    return str(data_of(made)["id"])


def create_setup_intent(account: StripeAccount, *, parameters: dict[str, Any], key: str) -> SetupSnapshot:
    """Create a setup intent. It moves no money, so that asking again (same key) is all there is to a failure."""
    setups = client_of(account).v1.setup_intents
    try:
        made = setups.create(cast(Any, parameters), {"idempotency_key": key})
    except stripe.StripeError as error:
        _raise(error)
    return of_setup(data_of(made), is_ours_alone=True)


def read_setup_intent(account: StripeAccount, *, setup_intent_id: str) -> SetupSnapshot:
    """Read a setup intent as it is now, with the card that it saved."""
    setups = client_of(account).v1.setup_intents
    try:
        read = setups.retrieve(setup_intent_id, {"expand": ["payment_method"]})
    except stripe.StripeError as error:
        raise_for_read(error)
    return of_setup(data_of(read), is_ours_alone=True)


def detach(account: StripeAccount, *, payment_method_id: str) -> None:
    """Take a card from its customer. One that is gone already is fine."""
    try:
        client_of(account).v1.payment_methods.detach(payment_method_id)
    except stripe.InvalidRequestError:
        return  # not attached (any more), or unknown: nobody can charge it
    except stripe.StripeError as error:
        _raise(error)


def _raise(error: stripe.StripeError) -> NoReturn:
    answer = judged(error)
    if answer.verdict is Verdict.REFUSED:
        raise StripeRefused(answer.error_code, answer.http_status) from None
    raise TryAgain(answer.error_code or answer.verdict.value) from None
