"""Online payments: asked for, followed, cancelled and read again. Stripe.js takes the card, never this API."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import replace

from pydantic import BaseModel

from web.api import shapes
from web.api.routes import Call, Route, Scope
from web.payments import models
from web.payments.operations import intents
from web.payments.queries import followed
from web.payments.queries.followed import Followed, Viewer
from web.payments.states import PaymentState

_MOVED = {PaymentState.SUCCEEDED: True, PaymentState.HELD: True} | dict.fromkeys(
    (
        PaymentState.REQUESTED,
        PaymentState.AWAITING,
        PaymentState.DECLINED,
        PaymentState.RESERVED,
        PaymentState.CANCELLED,
        PaymentState.FAILED,
    ),
    False,
)


def found(call: Call, public_id: uuid.UUID) -> Followed:
    """Return a payment as this token may see it: its client secret is for tokens that sell."""
    seen = followed.payment(business=call.business, public_id=public_id, viewer=Viewer(is_staff=True))
    return replace(seen, is_payer=call.caller.may(Scope.SELL))


def described(seen: Followed) -> shapes.Payment:
    """Describe a payment. Whether money moved is null while that is not certain."""
    payment = seen.payment
    return shapes.Payment(
        payment=payment.public_id,
        reference=payment.cart_reference,
        method=payment.method,
        state=payment.state,
        is_final=payment.is_final,
        money_moved=_MOVED.get(PaymentState(payment.state)),
        amount=payment.amount_minor,
        currency=payment.currency,
        decline_code=payment.decline_code,
        order=seen.order.number if seen.order is not None else None,
        client_secret=seen.client_secret or None,
        publishable_key=seen.publishable_key or None,
        created_at=payment.created_at,
        state_changed_at=payment.state_changed_at,
    )


def _show(call: Call, subject: str) -> BaseModel:
    return described(found(call, uuid.UUID(subject) if subject else call.path["payment"]))


def _request(call: Call) -> str:
    wanted: shapes.PaymentWanted = call.body
    requested = intents.request(
        business=call.business,
        token=wanted.cart,
        form_token=call.form_token,
        expected_total_minor=wanted.expected_total,
        expected_due_minor=wanted.expected_due,
        payer_key=secrets.token_urlsafe(
            32
        ),  # nobody's browser: who has a token that sells may have the secret
        now=call.now,
        actor=call.actor,
        created_by=call.caller.token.created_by,
    )
    return str(requested.payment.public_id)


def _of_path(call: Call) -> models.Payment:
    return found(call, call.path["payment"]).payment


def _cancel(call: Call) -> str:
    payment = intents.request_cancel(payment_id=_of_path(call).id, now=call.now, actor=call.actor)
    return str(payment.public_id)


def _check(call: Call) -> str:
    payment = _of_path(call)
    intents.request_read(payment_id=payment.id, now=call.now)
    return str(payment.public_id)


REQUEST = Route(
    scope=Scope.SELL,
    act=_request,
    show=_show,
    body=shapes.PaymentWanted,
    answer=shapes.Payment,
    status=202,
    says="Ask for a payment of all that is left to pay. Follow it until it is final.",
)
READ = Route(scope=Scope.READ, show=_show, answer=shapes.Payment, says="Follow a payment.")
CANCEL = Route(
    scope=Scope.SELL,
    act=_cancel,
    show=_show,
    body=shapes.Nothing,
    answer=shapes.Payment,
    status=202,
    says="Ask for a payment to be cancelled: a request, certain once the payment is final.",
)
CHECK = Route(
    scope=Scope.SELL,
    act=_check,
    show=_show,
    body=shapes.Nothing,
    answer=shapes.Payment,
    status=202,
    says="Have a payment read at Stripe now: the customer came back.",
)
