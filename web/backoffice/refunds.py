"""Giving money back: a refund of an order in two steps, held money, and one item to everybody who bought it.

Seeing purchases and giving money back are two rights: these pages need the second.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from web.backoffice.refund_forms import BulkForm, RefundForm
from web.core import second_factor
from web.core.groups import Group
from web.core.tenancy import MemberRequest, get_for_business_or_404, staff_required
from web.payments import history
from web.payments.errors import Kind, Refusal
from web.payments.models import BulkRefund, BulkRefundOrder, Order, Payment, Reader, Refund
from web.payments.money import Money
from web.payments.operations import bulk_refunds, held, ledger_refunds, refunds
from web.payments.operations.refund_shares import Portion, Whole
from web.payments.queries import held as held_queries
from web.payments.queries import purchases, refund_limit
from web.payments.queries.readers import refund_readers
from web.payments.states import REFUND_UNDER_WAY, RefundState
from web.payments.templatetags.money import money, typed

STATUS = {Kind.INVALID: 422, Kind.MISSING: 404, Kind.CONFLICT: 409, Kind.UNAVAILABLE: 503}
LONGEST_TOKEN = 64
SHORTEST_TOKEN = 16
MOST_REFUSED = 100
ASKED = "refund_asked"  # in the session: what somebody asked for who proves first who they are


def _form_token(request: MemberRequest) -> str:
    """Return the form's token; a form without one gets one, and its repeats are then not recognised."""
    token = request.POST.get("form_token", "")
    is_one = SHORTEST_TOKEN <= len(token) <= LONGEST_TOKEN and token.isascii() and token.isprintable()
    return token if is_one else secrets.token_urlsafe(24)


def _expected(request: MemberRequest, currency: str) -> Money | None:
    """Return the amount that the page showed, where it said one."""
    text = request.POST.get("expected", "")
    is_number = text.isascii() and text.isdecimal() and len(text) < 13
    return Money(int(text), currency) if is_number else None


def _reader(request: MemberRequest) -> uuid.UUID | None:
    """Return the reader that was chosen, where the card has to be held to one."""
    try:
        return uuid.UUID(request.POST.get("reader", ""))
    except ValueError:
        return None


def _asked(request: MemberRequest) -> QueryDict | None:
    """Return the form that was sent: now, or before its sender proved who they are."""
    if request.method == "POST":
        return request.POST
    kept = request.session.get(ASKED)
    if not kept or kept["path"] != request.path or not second_factor.is_recent(request):
        return None
    del request.session[ASKED]
    sent = QueryDict(mutable=True)
    sent.update(kept["fields"])
    return sent


def _must_confirm(request: MemberRequest, amounts: Sequence[Money]) -> bool:
    """Say whether this is more than the business lets staff give back without proving who they are."""
    now = timezone.now()
    return not second_factor.is_recent(request) and any(
        refund_limit.is_exceeded(business=request.business, staff=request.profile, amount=amount, now=now)
        for amount in amounts
    )


def _confirm_first(request: MemberRequest, form: RefundForm | BulkForm) -> HttpResponseBase:
    """Have the person prove who they are, and bring them back to where they were."""
    fields = {
        name: value for name, value in form.data.items() if name in form.fields and isinstance(value, str)
    }
    request.session[ASKED] = {"path": request.path, "fields": fields}
    messages.info(
        request, _("This is more than is given back without confirming. Nothing was given back yet.")
    )
    return second_factor.confirm_first(request.path)


def _order_or_404(request: MemberRequest, number: str) -> Order:
    order = purchases.order(request.business, number)
    if order is None:
        raise Http404
    return order


@require_http_methods(["GET", "HEAD", "POST"])
@staff_required(Group.REFUNDS)
def refund_order(request: MemberRequest, number: str) -> HttpResponseBase:
    """Ask for a refund of an order: what and why, then a page that names amount and destination, then it is done."""
    order = _order_or_404(request, number)
    step = request.POST.get("step", "")
    form_token = _form_token(request)
    if step == "give":  # before the form is looked at: what it gave back is not left any more
        made = purchases.refunds_of_form(request.business, order.cart_reference, form_token)
        if made:
            return _is_given(request, order, made)
    left = purchases.money_of(order, [], []).left
    sent = _asked(request)
    form = RefundForm(
        sent,
        order=order,
        left=left,
        left_shown=money(left),
        initial={"amount": typed(left)},
    )
    if sent is None or step == "edit" or not form.is_valid():
        is_wrong = sent is not None and step != "edit"
        return _form_page(request, order, form, status=422 if is_wrong else 200)
    try:
        portions = refunds.preview(
            business=request.business,
            reference=order.cart_reference,
            share=form.share,
        )
        if _must_confirm(request, [_sum(portions)]):
            return _confirm_first(request, form)
        if step == "give":
            return _give(request, order, form, form_token)
        readers = _readers(form, portions)
    except Refusal as refusal:
        return _form_page(request, order, form, refusal=refusal, status=STATUS[refusal.kind])
    return _confirm_page(request, order, form, portions, readers)


def _sum(portions: Sequence[Portion]) -> Money:
    first, *rest = [portion.amount for portion in portions]
    return sum(rest, first)


def _readers(form: RefundForm, portions: list[Portion]) -> list[Reader]:
    """Return the readers to choose from where the card has to be held to one; refuse where there is none."""
    if form.cleaned_data["destination"] != Refund.Destination.METHOD:
        return []
    payments = [portion.payment for portion in portions]
    found = refund_readers(payments)
    if not found and any(refunds.needs_its_reader(payment) for payment in payments):
        raise refunds.OnTheReader
    return found


def _give(request: MemberRequest, order: Order, form: RefundForm, form_token: str) -> HttpResponse:
    asked = refunds.request(
        business=request.business,
        reference=order.cart_reference,
        share=form.share,
        reason=form.cleaned_data["reason"],
        form_token=form_token,
        destination=Refund.Destination(form.cleaned_data["destination"]),
        expected=_expected(request, order.currency),
        units=form.cleaned_data["units"],
        reader_id=_reader(request),
        staff=request.profile,
        now=timezone.now(),
    )
    return _is_given(request, order, asked.refunds)


def _is_given(request: MemberRequest, order: Order, made: Sequence[Refund]) -> HttpResponse:
    amount = sum((refund.amount for refund in made), Money.zero(order.currency))
    messages.success(request, _("%(amount)s is being given back.") % {"amount": money(amount)})
    return redirect("payment:purchase", number=order.number)


def _form_page(
    request: MemberRequest,
    order: Order,
    form: RefundForm,
    *,
    refusal: Refusal | None = None,
    status: int = 200,
) -> HttpResponse:
    context = {
        "order": order,
        "form": form,
        "refusal": refusal,
        "first": refusal.refund if isinstance(refusal, refunds.RefundUnderWay) else None,
    }
    return _private(render(request, "backoffice/refunds/form.html", context, status=status))


def _confirm_page(
    request: MemberRequest, order: Order, form: RefundForm, portions: list[Portion], readers: list[Reader]
) -> HttpResponse:
    amount = _sum(portions)
    is_all = amount == form.left
    context = {
        "order": order,
        "amount": amount,
        "portions": portions,
        "readers": readers,
        "reason": form.cleaned_data["reason"],
        "destination": form.cleaned_data["destination"],
        "units": form.cleaned_data["units"],
        "would_come_back": ledger_refunds.unspent(order) if is_all else [],
        "kept": [
            (name, value)
            for name, value in form.data.items()
            if name in form.fields and isinstance(value, str)
        ],
        "form_token": secrets.token_urlsafe(24),
    }
    return _private(render(request, "backoffice/refunds/confirm.html", context))


def _private(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "private, no-store"
    return response


@require_safe
@staff_required(Group.PURCHASES)
def refunds_of_order(request: MemberRequest, number: str) -> HttpResponse:
    """Draw an order's refunds and net amount alone: the page asks again while one is under way."""
    order = _order_or_404(request, number)
    return _private(render(request, "backoffice/refunds/_refunds.html", refunds_context(request, order)))


def refunds_context(request: MemberRequest, order: Order) -> dict[str, Any]:
    """Return what the page of an order shows of what went back."""
    made = purchases.refunds_of(request.business, order.cart_reference)
    disputes = purchases.disputes_of(request.business, order.cart_reference)
    return {
        "order": order,
        "refunds": made,
        "disputes": disputes,
        "money": purchases.money_of(order, made, disputes),
        "are_under_way": purchases.are_under_way(made),
    }


@require_POST
@staff_required(Group.REFUNDS)
def withdraw(request: MemberRequest, refund_id: uuid.UUID) -> HttpResponse:
    """Take a refund back that was not sent yet, or ask for it to be taken off its reader."""
    refund = get_for_business_or_404(
        Refund.objects.select_related("payment__order"), request.business, public_id=refund_id
    )
    try:
        withdrawn = refunds.withdraw(
            business=request.business,
            refund_public_id=refund_id,
            now=timezone.now(),
            actor=history.staff(request.profile.id),
        )
        if withdrawn.state == RefundState.CANCELLED:
            messages.success(request, _("The refund is withdrawn; nothing was given back."))
        else:
            messages.info(
                request, _("The refund is being taken off its reader. It is certain once that has answered.")
            )
    except Refusal as refusal:
        messages.error(request, f"{refusal.message} {refusal.next_step}")
    return _to_order(refund.payment.order)


def _to_order(order: Order | None) -> HttpResponse:
    return (
        redirect("payment:purchases") if order is None else redirect("payment:purchase", number=order.number)
    )


def _payment_or_404(request: MemberRequest, payment_id: uuid.UUID) -> Payment:
    payment = held_queries.without_order(request.business, str(payment_id))
    if payment is None:
        # The same click twice: its order is made, or it belongs to another business.
        payment = get_for_business_or_404(Payment, request.business, public_id=payment_id)
    return payment


def _decide(request: MemberRequest, payment: Payment, decision: Callable[[Payment], str]) -> HttpResponse:
    """Do what a person decided about money without an order, and say what came of it."""
    try:
        messages.success(request, decision(payment))
    except Refusal as refusal:
        messages.error(request, f"{refusal.message} {refusal.next_step}")
    return _to_order(held_queries.order_of(payment))


@require_POST
@staff_required(Group.REFUNDS)
def refund_payment(request: MemberRequest, payment_id: uuid.UUID) -> HttpResponseBase:
    """Give back the whole of a payment that belongs to no order; the button named amount and destination."""
    payment = _payment_or_404(request, payment_id)
    if _must_confirm(request, [payment.received]):
        messages.info(
            request, _("This is more than is given back without confirming. Nothing was given back yet.")
        )
        return second_factor.confirm_first(reverse("payment:purchases"))

    def give(payment: Payment) -> str:
        asked = refunds.request(
            business=request.business,
            reference=payment.cart_reference,
            payment_id=payment.id,
            share=Whole(),
            reason=request.POST.get("reason", "")[: refunds.LONGEST_REASON].replace("\x00", "")
            or str(payment.get_held_reason_display()),
            form_token=_form_token(request),
            expected=_expected(request, payment.received.currency),
            reader_id=_reader(request),
            staff=request.profile,
            now=timezone.now(),
        )
        return _("%(amount)s is being given back.") % {"amount": money(asked.amount)}

    return _decide(request, payment, give)


@require_POST
@staff_required(Group.REFUNDS)
def attach_payment(request: MemberRequest, payment_id: uuid.UUID) -> HttpResponse:
    """Put held money onto its cart, where it fits; that makes the order."""

    def attach(payment: Payment) -> str:
        held.attach(
            business=request.business,
            payment_id=payment.id,
            now=timezone.now(),
            actor=history.staff(request.profile.id),
        )
        return _("The payment belongs to its sale now.")

    return _decide(request, _payment_or_404(request, payment_id), attach)


# --- many at once -------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@staff_required(Group.REFUNDS)
def bulk(request: MemberRequest) -> HttpResponseBase:
    """Give one item back to everybody who bought it: which and why, then how many and how much, then it is done."""
    sent = _asked(request)
    form = BulkForm(sent, business=request.business)
    step = request.POST.get("step", "")
    context: dict[str, Any] = {"form": form, "newest": _newest(request)}
    if sent is None or step == "edit" or not form.is_valid():
        status = 422 if sent is not None and step != "edit" else 200
        return _private(render(request, "backoffice/refunds/bulk.html", context, status=status))
    item = form.cleaned_data["item"]
    try:
        selection = bulk_refunds.select(business=request.business, item=item, **form.period)
        if _must_confirm(request, selection.amounts):
            return _confirm_first(request, form)
        if step == "give":
            expected = request.POST.get("expected", "")
            is_number = expected.isascii() and expected.isdecimal() and len(expected) < 13
            made = bulk_refunds.start(
                business=request.business,
                item=item,
                reason=form.cleaned_data["reason"],
                form_token=_form_token(request),
                expected_orders=int(expected) if is_number else -1,
                staff=request.profile,
                now=timezone.now(),
                **form.period,
            )
            return redirect("payment:bulk_refund", bulk_id=made.public_id)
        if not selection.order_ids:
            raise bulk_refunds.NothingToRefundInBulk
    except Refusal as refusal:
        context["refusal"] = refusal
        return _private(render(request, "backoffice/refunds/bulk.html", context, status=STATUS[refusal.kind]))
    context |= {
        "item": item,
        "selection": selection,
        "reason": form.cleaned_data["reason"],
        "kept": [(name, form.data.get(name, "")) for name in form.fields],
        "form_token": secrets.token_urlsafe(24),
    }
    return _private(render(request, "backoffice/refunds/bulk_confirm.html", context))


def _newest(request: MemberRequest) -> list[BulkRefund]:
    return list(BulkRefund.objects.filter(business=request.business).order_by("-id")[:10])


@require_safe
@staff_required(Group.REFUNDS)
def bulk_progress(request: MemberRequest, bulk_id: uuid.UUID) -> HttpResponse:
    """Show how far a bulk refund is; a fragment of the page asks again while it is not done."""
    made = get_for_business_or_404(BulkRefund, request.business, public_id=bulk_id)
    rows = BulkRefundOrder.objects.filter(bulk=made)
    total = rows.count()
    waiting = rows.filter(state=BulkRefundOrder.State.WAITING).count()
    refused = rows.filter(state=BulkRefundOrder.State.REFUSED).select_related("order")
    context = {
        "bulk": made,
        "total": total,
        "done": total - waiting,
        "refused": list(refused[:MOST_REFUSED]),
        "failed": list(
            made.refunds.filter(state=RefundState.FAILED).select_related("payment__order")[:MOST_REFUSED]
        ),
        "given": bulk_refunds.given_back(made),
        "is_under_way": made.finished_at is None or made.refunds.filter(state__in=REFUND_UNDER_WAY).exists(),
    }
    template = "_bulk.html" if request.htmx else "bulk_progress.html"
    return _private(render(request, f"backoffice/refunds/{template}", context))


@require_POST
@staff_required(Group.REFUNDS)
def bulk_resume(request: MemberRequest, bulk_id: uuid.UUID) -> HttpResponse:
    """Ask again for the orders of a bulk refund that were refused."""
    made = get_for_business_or_404(BulkRefund, request.business, public_id=bulk_id)
    bulk_refunds.resume(business=request.business, bulk=made, staff=request.profile, now=timezone.now())
    return redirect("payment:bulk_refund", bulk_id=made.public_id)
