"""Paying in parts at the till: what the customer has stored, some cash, and the rest in another way."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from web.checkout import reading
from web.checkout.pages import page_url, posted_form_token, posted_token
from web.checkout.refusals import shown_on
from web.checkout.till import GROUPS, NoSuchMethod, WrongTotal, till_page
from web.core.tenancy import MemberRequest, staff_required
from web.payments import history
from web.payments.models import Ledger
from web.payments.operations import tenders
from web.payments.queries import sales

LEDGERS = {ledger.value: ledger for ledger in Ledger}


@require_POST
@staff_required(*GROUPS)
@shown_on(till_page)
def use_stored(request: MemberRequest) -> HttpResponse:
    """Set aside what fits of the customer's balance or credits; where that pays all, the order is made."""
    ledger = LEDGERS.get(reading.text(request, "ledger"))
    if ledger is None:
        raise NoSuchMethod
    token = posted_token(request)
    covered = tenders.use(
        business=request.business,
        token=token,
        ledger=ledger,
        form_token=posted_form_token(request),
        expected_total_minor=reading.number(request, "expected_total", WrongTotal),
        now=timezone.now(),
        staff=request.profile,
    )
    if covered.order is not None:
        return redirect("payment:receipt", token=covered.order.token)
    return redirect(page_url(token))


@require_POST
@staff_required(*GROUPS)
@shown_on(till_page)
def give_back(request: MemberRequest) -> HttpResponse:
    """Give back what was set aside; the sale can change again where nothing else is on it."""
    token = posted_token(request)
    wanted = reading.text(request, "payment")
    parts = sales.sale(request.business, token).payments
    part = next((payment for payment in parts if str(payment.public_id) == wanted), None)
    if part is None:
        raise tenders.NotReserved
    tenders.undo(
        business=request.business,
        payment_id=part.id,
        now=timezone.now(),
        actor=history.staff(request.profile.id),
    )
    return redirect(page_url(token))
