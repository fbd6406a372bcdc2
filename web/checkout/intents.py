"""/stripe-intent/: what the payment page's script asks. It writes down what is wanted and answers at once.

A worker talks to Stripe; the page follows the payment's status until it is final.
"""

from __future__ import annotations

import datetime
import uuid
from typing import Annotated

from django.http import HttpResponse, JsonResponse
from django.urls import reverse
from django.utils import timezone
from pydantic import BaseModel, ConfigDict, Field

from web.checkout import cookies, reading
from web.checkout.conditional import facts
from web.checkout.endpoints import View, by_method
from web.checkout.words import words_for
from web.core import faultpoints
from web.core.tenancy import TenantRequest, business_required, may
from web.payments import history
from web.payments.models import Payment
from web.payments.operations import intents
from web.payments.queries import followed
from web.payments.queries.followed import Followed, Viewer
from web.payments.states import PaymentState

FIRST_POLL_MS = 250  # while a wallet's sheet is open every quarter of a second counts
BRISK_SECONDS = 8  # after that it is slow for another reason: poll gently
GENTLE_POLL_MS = 1000
IDLE_POLL_MS = 4000  # nothing happens until the customer acts, here or in another tab

Token = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class PaymentWanted(_Body):
    """What is paid, by which form, and the total that the page showed."""

    cart: Token
    form_token: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{16,64}$")]
    expected_total: Annotated[int, Field(ge=0, le=10**12)]  # minor units
    # What of it the page asks for here, after the customer's balance and credits; None: a page that knows neither.
    expected_due: Annotated[int, Field(ge=0, le=10**12)] | None = None


class LinkHeld(_Body):
    """The cart's token, from who holds its link on another device."""

    cart: Token | None = None


def _endpoint(**methods: View) -> View:
    """Let anybody who is at a business ask."""
    return business_required(by_method(**methods))


def _request_payment(request: TenantRequest) -> HttpResponse:
    wanted = reading.body(request, PaymentWanted)
    known_key = cookies.payer_key(request)
    key = known_key or cookies.new_payer_key()
    requested = intents.request(
        business=request.business,
        token=wanted.cart,
        form_token=wanted.form_token,
        expected_total_minor=wanted.expected_total,
        expected_due_minor=wanted.expected_due,
        payer=request.profile,
        payer_key=key,
        now=timezone.now(),
        actor=_actor(request),
        created_by=request.profile if may(request) else None,
    )
    faultpoints.reach(faultpoints.PAYMENT_REQUESTED)
    response = _accepted(requested.payment)
    if not known_key:
        cookies.remember_payer_key(response, key)
    return response


def _status(request: TenantRequest, payment_id: uuid.UUID) -> HttpResponse:
    viewer = viewer_of(request, cart_token=reading.asked(request, "cart"))
    found = followed.payment(business=request.business, public_id=payment_id, viewer=viewer)
    return facts(request, status_of(found, now=timezone.now()))


def _request_cancel(request: TenantRequest, payment_id: uuid.UUID) -> HttpResponse:
    found = _of_link_holder(request, payment_id)
    payment = intents.request_cancel(payment_id=found.payment.id, now=timezone.now(), actor=_actor(request))
    return _accepted(payment)


def _request_check(request: TenantRequest, payment_id: uuid.UUID) -> HttpResponse:
    found = _of_link_holder(request, payment_id)
    intents.request_read(payment_id=found.payment.id, now=timezone.now())
    return _accepted(found.payment)


stripe_intent = _endpoint(post=_request_payment)
status = _endpoint(get=_status, head=_status)
cancel = _endpoint(post=_request_cancel)
check = _endpoint(post=_request_check)


def viewer_of(request: TenantRequest, *, cart_token: str = "") -> Viewer:
    """Say who asks about a payment."""
    return Viewer(
        payer_key=cookies.payer_key(request),
        profile=request.profile,
        is_staff=may(request),
        cart_token=cart_token,
    )


def status_of(found: Followed, *, now: datetime.datetime) -> dict[str, object]:
    """Describe a payment to the page that follows it."""
    payment, order = found.payment, found.order
    words = words_for(payment, is_payer=found.is_payer, is_stripe_silent=found.is_stripe_silent)
    described: dict[str, object] = {
        "payment": str(payment.public_id),
        "state": payment.state,
        "is_final": payment.is_final,
        "is_payer": found.is_payer,
        "amount": payment.amount_minor,
        "currency": payment.currency,
        "message": str(words.message),
        "next": str(words.next),
        "money_moved": words.money_moved,
        "decline_code": payment.decline_code,
        "order": None,
        "poll_after_ms": _poll_after(payment, now=now),
    }
    if order is not None:
        described["order"] = {
            "number": order.number,
            "receipt_url": reverse("payment:receipt", args=[order.token]),
        }
    client_secret = found.client_secret
    if client_secret:
        described["client_secret"] = client_secret
        described["publishable_key"] = found.publishable_key
    return described


def urls_of(payment: Payment) -> dict[str, str]:
    """Return the addresses at which a payment is followed, cancelled and checked."""
    return {
        f"{name}_url": reverse(f"payment:stripe_intent_{name}", args=[payment.public_id])
        for name in ("status", "cancel", "check")
    }


def _accepted(payment: Payment) -> JsonResponse:
    answer = {
        "payment": str(payment.public_id),
        "state": payment.state,
        **urls_of(payment),
        "poll_after_ms": FIRST_POLL_MS,
    }
    return JsonResponse(answer, status=202)


def _of_link_holder(request: TenantRequest, payment_id: uuid.UUID) -> Followed:
    held = reading.body(request, LinkHeld, may_be_empty=True)
    viewer = viewer_of(request, cart_token=held.cart or "")
    return followed.payment(business=request.business, public_id=payment_id, viewer=viewer)


def _actor(request: TenantRequest) -> str:
    if may(request) and request.profile is not None:
        return history.staff(request.profile.id)
    return history.CUSTOMER


def _poll_after(payment: Payment, *, now: datetime.datetime) -> int:
    if payment.is_final:
        return 0
    if payment.state in (PaymentState.AWAITING, PaymentState.DECLINED):
        return IDLE_POLL_MS
    is_new = now - payment.state_changed_at < datetime.timedelta(seconds=BRISK_SECONDS)
    return FIRST_POLL_MS if is_new else GENTLE_POLL_MS
