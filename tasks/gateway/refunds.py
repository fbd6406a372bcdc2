"""Refunds at Stripe: make, read, list."""

from __future__ import annotations

from typing import Any, cast

import stripe

from tasks.gateway.stripe_api import StripeUnreachable, client_of, data_of, raise_for_read, write
from tasks.snapshots import of_refund
from web.payments.models import StripeAccount
from web.payments.snapshots import Answer, RefundSnapshot, Source

MOST_LISTED = 1000  # refunds of one payment; far more than one has


def create_refund(account: StripeAccount, *, parameters: dict[str, Any], key: str) -> Answer[RefundSnapshot]:
    """Make a refund; say what came of it."""
    refunds = client_of(account).v1.refunds
    return write(
        lambda: refunds.create(cast(Any, parameters), {"idempotency_key": key}),
        shown=lambda data, at: of_refund(data, source=Source.ANSWER),
        read_again=lambda snapshot: read_refund(account, stripe_refund_id=snapshot.stripe_refund_id),
    )


def read_refund(account: StripeAccount, *, stripe_refund_id: str) -> RefundSnapshot:
    """Read a refund as it is now; raise StripeUnreachable or StripeRefused."""
    try:
        refund = client_of(account).v1.refunds.retrieve(stripe_refund_id)
    except stripe.StripeError as error:
        raise_for_read(error)
    snapshot = of_refund(data_of(refund), source=Source.READ)
    if snapshot.stripe_refund_id != stripe_refund_id:
        raise StripeUnreachable("an answer for another refund")
    return snapshot


def list_refunds(account: StripeAccount, *, intent_id: str) -> list[RefundSnapshot]:
    """Return every refund of a payment intent, newest first; raise StripeUnreachable or StripeRefused."""
    found: list[RefundSnapshot] = []
    try:
        page = client_of(account).v1.refunds.list({"payment_intent": intent_id, "limit": 100})
        for refund in page.auto_paging_iter():
            if len(found) >= MOST_LISTED:
                raise StripeUnreachable("too many refunds to look through")
            found.append(of_refund(refund.to_dict(), source=Source.READ))
    except stripe.StripeError as error:
        raise_for_read(error)
    return found
