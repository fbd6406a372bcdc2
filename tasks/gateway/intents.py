"""Payment intents at Stripe: create, cancel, read, look for."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any, cast

import stripe

from tasks.gateway.stripe_api import (
    StripeRefused,
    StripeUnreachable,
    answered_at,
    client_of,
    data_of,
    raise_for_read,
    write,
)
from tasks.limits import TurnedAway
from tasks.snapshots import of_intent
from web.payments.models import StripeAccount
from web.payments.snapshots import Answer, IntentSnapshot, Source, Verdict

LOOK_AROUND = datetime.timedelta(minutes=5)  # clocks differ: look from a little before the first send
MOST_LOOKED_AT = 10_000  # intents looked through for one of ours: a hundred calls


def create_intent(account: StripeAccount, *, parameters: dict[str, Any], key: str) -> Answer[IntentSnapshot]:
    """Create a payment intent; say what came of it."""
    intents = client_of(account).v1.payment_intents
    return _write(
        account,
        lambda: intents.create(cast(Any, parameters), {"idempotency_key": key}),
    )


def cancel_intent(
    account: StripeAccount, *, intent_id: str, parameters: dict[str, Any], key: str
) -> Answer[IntentSnapshot]:
    """Cancel a payment intent. Refused because of its state, the answer shows that state."""
    intents = client_of(account).v1.payment_intents
    answer = _write(
        account,
        lambda: intents.cancel(intent_id, cast(Any, parameters), {"idempotency_key": key}),
    )
    return _with_state_if_refused(account, intent_id, answer)


def confirm_intent(
    account: StripeAccount, *, intent_id: str, parameters: dict[str, Any], key: str
) -> Answer[IntentSnapshot]:
    """Charge a saved card. Declined or refused because of its state, the answer shows the intent's state."""
    intents = client_of(account).v1.payment_intents
    answer = _write(
        account,
        lambda: intents.confirm(intent_id, cast(Any, parameters), {"idempotency_key": key}),
    )
    return _with_state_if_refused(account, intent_id, answer)


def capture_intent(
    account: StripeAccount, *, intent_id: str, parameters: dict[str, Any], key: str
) -> Answer[IntentSnapshot]:
    """Take authorised money. Refused because of the intent's state, the answer shows that state."""
    intents = client_of(account).v1.payment_intents
    answer = _write(
        account,
        lambda: intents.capture(intent_id, cast(Any, parameters), {"idempotency_key": key}),
    )
    return _with_state_if_refused(account, intent_id, answer)


def _with_state_if_refused(
    account: StripeAccount, intent_id: str, answer: Answer[IntentSnapshot]
) -> Answer[IntentSnapshot]:
    if answer.verdict is not Verdict.REFUSED:
        return answer
    try:
        snapshot = read_intent(account, intent_id=intent_id)
    except (StripeUnreachable, StripeRefused, TurnedAway):
        return Answer(Verdict.UNKNOWN, None, answer.request_id, answer.http_status, answer.error_code)
    return Answer(Verdict.REFUSED, snapshot, answer.request_id, answer.http_status, answer.error_code)


def _write(account: StripeAccount, call: Callable[[], stripe.PaymentIntent]) -> Answer[IntentSnapshot]:
    return write(
        call,
        shown=lambda data, at: of_intent(data, source=Source.ANSWER, occurred_at=at),
        read_again=lambda snapshot: read_intent(account, intent_id=snapshot.intent_id),
    )


def read_intent(account: StripeAccount, *, intent_id: str) -> IntentSnapshot:
    """Read an intent as it is now; raise StripeUnreachable or StripeRefused."""
    try:
        intent = client_of(account).v1.payment_intents.retrieve(intent_id, {"expand": ["latest_charge"]})
    except stripe.StripeError as error:
        raise_for_read(error)
    snapshot = of_intent(data_of(intent), source=Source.READ, occurred_at=answered_at(intent))
    if snapshot.intent_id != intent_id:
        raise StripeUnreachable("an answer for another intent")
    return snapshot


def look_for_intent(
    account: StripeAccount, *, payment_public_id: str, since: datetime.datetime, until: datetime.datetime
) -> IntentSnapshot | None:
    """Look for the intent of a payment by our id in its metadata. By list: Stripe's search lags behind.

    `since` and `until` are when we first and last asked for it to be made.
    """
    window = {"gte": int((since - LOOK_AROUND).timestamp()), "lte": int((until + LOOK_AROUND).timestamp())}
    try:
        page = client_of(account).v1.payment_intents.list({"created": cast(Any, window), "limit": 100})
        for number, intent in enumerate(page.auto_paging_iter()):
            if "payment" in intent.metadata and intent.metadata["payment"] == payment_public_id:
                return read_intent(account, intent_id=intent.id)
            if number >= MOST_LOOKED_AT:
                raise StripeUnreachable("too many intents to look through")
    except stripe.StripeError as error:
        raise_for_read(error)
    return None
