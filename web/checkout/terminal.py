"""/stripe-terminal/: what the till's script asks of card readers. It writes down what is wanted and answers at once.

Staff only. A worker talks to Stripe; the till follows the status until it is final.
"""

from __future__ import annotations

import datetime
import hashlib
import uuid
from typing import Annotated

import orjson
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified, JsonResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import parse_etags
from pydantic import BaseModel, ConfigDict, Field

from web.checkout import reading
from web.checkout.endpoints import View, by_method
from web.checkout.reader_words import words_for_action
from web.core.groups import Group
from web.core.models import Location, Profile
from web.core.tenancy import MemberRequest, staff_required
from web.payments.models import Reader, ReaderAction
from web.payments.operations import readers as reader_operations
from web.payments.operations import terminal
from web.payments.queries import readers as queries
from web.payments.queries import sales
from web.payments.queries.readers import FollowedAction, ReaderStatus
from web.payments.states import ActionState

GROUPS = (Group.STORE, Group.CHECKIN)
FIRST_POLL_MS = 300
POLL_MS = 1000  # a customer looks for their card
QUEUED_POLL_MS = 2000  # somebody else's customer does

Token = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Wanted(_Body):
    """What is paid on which reader, by which form, and the total that the till showed."""

    cart: Token
    reader: uuid.UUID
    form_token: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{16,64}$")]
    expected_total: Annotated[int, Field(ge=0, le=10**12, strict=True)]  # minor units
    asks_for_tip: Annotated[bool, Field(strict=True)] = False


class HandedTo(_Body):
    """The reader that takes the payment over."""

    reader: uuid.UUID


class TokenWanted(_Body):
    """The place whose readers an SDK wants to reach; without it those of every place."""

    location: Annotated[int, Field(gt=0, strict=True)] | None = None


class _Empty(_Body):
    pass


def _endpoint(**methods: View) -> View:
    """Let staff ask."""
    return staff_required(*GROUPS)(by_method(**methods))


# --- readers ---------------------------------------------------------------------------------------------


def _list_readers(request: MemberRequest) -> HttpResponse:
    wanted = reading.asked(request, "location")
    place = None
    if wanted:
        place = _place(request, int(wanted) if wanted.isascii() and wanted.isdecimal() else 0)
    listed = queries.readers(request.business, location=place)
    return _if_changed(request, {"readers": [described_reader(one) for one in listed]})


def _place(request: MemberRequest, location_id: int) -> Location:
    for place in sales.locations(request.business):
        if place.id == location_id:
            return place
    raise terminal.ReaderNotFound


def described_reader(status: ReaderStatus) -> dict[str, object]:
    """Describe a reader with its queue to a till."""
    reader = status.reader
    active = status.active
    return {
        "reader": str(reader.public_id),
        "label": reader.label,
        "location": {"id": reader.location_id, "name": reader.location.name},
        "state": reader.state,
        "is_ready": reader.state == Reader.State.READY,
        "is_online": reader.is_online,
        "last_seen_at": reader.last_seen_at.isoformat() if reader.last_seen_at else None,
        "is_free": status.is_free,
        "holder": status.holder,
        "active": None if active is None else _place_in_queue(active),
        "queue": [_place_in_queue(action) for action in status.queue],
    }


def _place_in_queue(action: ReaderAction) -> dict[str, object]:
    return {
        "action": str(action.public_id),
        "state": action.state,
        "holder": action.holder.name if action.holder is not None else "",
        "is_refund": action.refund_id is not None,
        "amount": action.amount.amount,
        "currency": action.amount.currency,
        "since": action.queued_at.isoformat(),
    }


# --- a payment on a reader -------------------------------------------------------------------------------


def _start(request: MemberRequest) -> HttpResponse:
    wanted = reading.body(request, Wanted)
    started = terminal.start(
        business=request.business,
        token=wanted.cart,
        reader_id=wanted.reader,
        form_token=wanted.form_token,
        expected_total_minor=wanted.expected_total,
        asks_for_tip=wanted.asks_for_tip,
        staff=_staff(request),
        now=timezone.now(),
    )
    return _accepted(started.action)


def _staff(request: MemberRequest) -> Profile:
    return request.profile


def _status(request: MemberRequest, action_id: uuid.UUID) -> HttpResponse:
    followed = queries.action(request.business, action_id)
    return _if_changed(request, status_of(followed, now=timezone.now()))


def _cancel(request: MemberRequest, action_id: uuid.UUID) -> HttpResponse:
    reading.body(request, _Empty, may_be_empty=True)
    return _accepted(
        terminal.request_cancel(
            business=request.business, action_id=action_id, staff=_staff(request), now=timezone.now()
        )
    )


def _take_back(request: MemberRequest, action_id: uuid.UUID) -> HttpResponse:
    reading.body(request, _Empty, may_be_empty=True)
    return _accepted(
        terminal.take_back(
            business=request.business, action_id=action_id, staff=_staff(request), now=timezone.now()
        )
    )


def _hand_over(request: MemberRequest, action_id: uuid.UUID) -> HttpResponse:
    wanted = reading.body(request, HandedTo)
    return _accepted(
        terminal.hand_over(
            business=request.business,
            action_id=action_id,
            reader_id=wanted.reader,
            staff=_staff(request),
            now=timezone.now(),
        )
    )


def _capture(request: MemberRequest, payment_id: uuid.UUID) -> HttpResponse:
    reading.body(request, _Empty, may_be_empty=True)
    payment = terminal.request_capture(
        business=request.business, payment_id=payment_id, staff=_staff(request), now=timezone.now()
    )
    answer = {
        "payment": str(payment.public_id),
        "state": payment.state,
        "status_url": reverse("payment:stripe_intent_status", args=[payment.public_id]),
    }
    return JsonResponse(answer, status=202)


def status_of(followed: FollowedAction, *, now: datetime.datetime) -> dict[str, object]:
    """Describe a payment's place at a reader to the till that follows it."""
    action, payment, order = followed.action, followed.payment, followed.order
    words = words_for_action(action, payment)
    described: dict[str, object] = {
        "action": str(action.public_id),
        "payment": str(payment.public_id),
        "reader": str(followed.reader.public_id),
        "reader_label": followed.reader.label,
        "state": action.state,
        "payment_state": payment.state,
        "refund": None if action.refund is None else str(action.refund.public_id),
        "is_final": action.is_final,
        "may_try_again": followed.may_try_again,
        "message": str(words.message),
        "next": str(words.next),
        "money_moved": words.money_moved,
        "amount": action.amount.amount,
        "reader_tip": payment.reader_tip_minor,
        "currency": payment.currency,
        "failure_code": action.failure_code if action.is_final else "",
        "position": followed.position,
        "holder": followed.holder,
        "ahead": [one.holder.name if one.holder is not None else "" for one in followed.ahead],
        "queued_at": action.queued_at.isoformat(),
        "deadline_at": action.deadline_at.isoformat() if action.deadline_at else None,
        "card": {"brand": payment.card_brand, "last4": payment.card_last4} if payment.card_last4 else None,
        "order": None,
        "poll_after_ms": _poll_after(action, now=now),
        **urls_of(action),
    }
    if order is not None:
        described["order"] = {
            "number": order.number,
            "total": order.total_minor,
            "receipt_url": reverse("payment:receipt", args=[order.token]),
        }
    return described


def urls_of(action: ReaderAction) -> dict[str, object]:
    """Return the addresses at which a payment on a reader is followed, cancelled, taken back and handed over."""
    return {
        f"{name}_url": reverse(f"payment:stripe_terminal_{name}", args=[action.public_id])
        for name in ("status", "cancel", "take_back", "hand_over")
    }


def _accepted(action: ReaderAction) -> JsonResponse:
    answer = {
        "action": str(action.public_id),
        "state": action.state,
        **urls_of(action),
        "poll_after_ms": FIRST_POLL_MS,
    }
    return JsonResponse(answer, status=202)


def _poll_after(action: ReaderAction, *, now: datetime.datetime) -> int:
    if action.is_final:
        return 0
    if action.state == ActionState.QUEUED:
        return QUEUED_POLL_MS
    is_new = now - action.state_changed_at < datetime.timedelta(seconds=2)
    return FIRST_POLL_MS if is_new else POLL_MS


def _if_changed(request: HttpRequest, described: dict[str, object]) -> HttpResponse:
    """Answer 304 to a till that knows this already: it asks every second."""
    etag = f'"{hashlib.sha256(orjson.dumps(described)).hexdigest()[:32]}"'
    known = parse_etags(request.headers.get("If-None-Match", ""))
    response = HttpResponseNotModified() if etag in known or "*" in known else JsonResponse(described)
    response["ETag"] = etag
    return response


# --- connection tokens -----------------------------------------------------------------------------------


def _ask_for_token(request: MemberRequest) -> HttpResponse:
    wanted = reading.body(request, TokenWanted, may_be_empty=True)
    place = _place(request, wanted.location) if wanted.location is not None else None
    asked = reader_operations.request_connection_token(
        business=request.business, location=place, staff=_staff(request), now=timezone.now()
    )
    address = reverse("payment:stripe_terminal_token", args=[asked.public_id])
    return JsonResponse({"token_url": address, "poll_after_ms": FIRST_POLL_MS}, status=202)


def _take_token(request: MemberRequest, token_id: uuid.UUID) -> HttpResponse:
    secret, problem = reader_operations.take_connection_token(
        business=request.business, token_id=token_id, staff=_staff(request), now=timezone.now()
    )
    if secret:
        return JsonResponse({"secret": secret})
    return JsonResponse(
        {"secret": None, "problem": problem, "poll_after_ms": 0 if problem else FIRST_POLL_MS}
    )


readers = _endpoint(get=_list_readers, head=_list_readers)
start = _endpoint(post=_start)
status = _endpoint(get=_status, head=_status)
cancel = _endpoint(post=_cancel)
take_back = _endpoint(post=_take_back)
hand_over = _endpoint(post=_hand_over)
capture = _endpoint(post=_capture)
connection_tokens = _endpoint(post=_ask_for_token)
token = _endpoint(post=_take_token)
