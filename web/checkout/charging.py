"""Charging on a card reader from the till: the forms behind the reader strip. Each is sent, and the strip tells."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from web.checkout import cookies, reading
from web.checkout.pages import page_url, posted_form_token, posted_token
from web.checkout.refusals import shown_on
from web.checkout.till import GROUPS, WrongTotal, till_page
from web.core.tenancy import MemberRequest, staff_required
from web.payments.errors import Refusal
from web.payments.operations import terminal
from web.payments.operations.intents import PaymentNotFound


def _posted_id(request: HttpRequest, name: str, refusal: type[Refusal]) -> uuid.UUID:
    try:
        return uuid.UUID(reading.text(request, name))
    except ValueError as error:
        raise refusal from error


@require_POST
@staff_required(*GROUPS)
@shown_on(till_page)
def charge(request: MemberRequest) -> HttpResponse:
    """Put what is left to pay on a reader; after a decline, the same payment again."""
    token = posted_token(request)
    reader_id = _posted_id(request, "reader", terminal.ReaderNotFound)
    terminal.start(
        business=request.business,
        token=token,
        reader_id=reader_id,
        form_token=posted_form_token(request),
        expected_total_minor=reading.number(request, "expected_total", WrongTotal),
        asks_for_tip="asks_for_tip" in request.POST,
        staff=request.profile,
        now=timezone.now(),
    )
    response = redirect(page_url(token))
    cookies.remember_reader(response, str(reader_id))
    return response


@require_POST
@staff_required(*GROUPS)
@shown_on(till_page)
def cancel(request: MemberRequest) -> HttpResponse:
    """Ask for the payment to be cancelled; the strip says when that is certain."""
    token = posted_token(request)
    terminal.request_cancel(
        business=request.business,
        action_id=_posted_id(request, "action", terminal.ActionNotFound),
        staff=request.profile,
        now=timezone.now(),
    )
    return redirect(page_url(token))


@require_POST
@staff_required(*GROUPS)
@shown_on(till_page)
def hand_over(request: MemberRequest) -> HttpResponse:
    """Bring the payment to another reader."""
    token = posted_token(request)
    terminal.hand_over(
        business=request.business,
        action_id=_posted_id(request, "action", terminal.ActionNotFound),
        reader_id=_posted_id(request, "reader", terminal.ReaderNotFound),
        staff=request.profile,
        now=timezone.now(),
    )
    return redirect(page_url(token))


@require_POST
@staff_required(*GROUPS)
@shown_on(till_page)
def capture(request: MemberRequest) -> HttpResponse:
    """Ask for money that was set aside on the card to be taken."""
    token = posted_token(request)
    terminal.request_capture(
        business=request.business,
        payment_id=_posted_id(request, "payment", PaymentNotFound),
        staff=request.profile,
        now=timezone.now(),
    )
    return redirect(page_url(token))
