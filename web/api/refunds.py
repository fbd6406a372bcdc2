"""Refunds: asked for, followed, listed. What is asked for is reserved at once; a worker sends it."""

from __future__ import annotations

import uuid

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _
from pydantic import BaseModel

from web.api import listing, shapes
from web.api.orders import of_number
from web.api.problems import ApiRefusal, NothingHere
from web.api.routes import Call, Route, Scope
from web.payments import models
from web.payments.described import RefundFacts, refund_facts
from web.payments.money import Money
from web.payments.operations import refunds
from web.payments.operations.refund_shares import Items, Part, Share, Whole
from web.payments.queries import refund_limit


def _share(wanted: shapes.RefundWanted, order: models.Order) -> Share:
    if wanted.lines is not None:
        quantities: dict[int, int] = {}
        for line in wanted.lines:
            quantities[line.line] = quantities.get(line.line, 0) + line.quantity
        return Items(quantities)
    if wanted.amount is not None:
        return Part(Money(wanted.amount, order.currency))
    return Whole()


class AboveLimit(ApiRefusal):
    """The business's limit for its staff holds for their programs, too; a person can confirm, a program cannot."""

    code, status = "refund_above_limit", 403
    message = _("This is more than is given back without confirming.")
    next_step = _("Nothing was given back. Somebody of the business can do it on the page of the order.")


def _refuse_above_limit(call: Call, order: models.Order, share: Share) -> None:
    maker = call.caller.token.created_by
    assert maker is not None  # a token without its maker is not valid (operations/api_tokens.py)
    portions = refunds.preview(business=call.business, reference=order.cart_reference, share=share)
    amount = Money(sum(portion.amount.amount for portion in portions), order.currency)
    if refund_limit.is_exceeded(business=call.business, staff=maker, amount=amount, now=call.now):
        raise AboveLimit


def _request(call: Call) -> str:
    wanted: shapes.RefundWanted = call.body
    order = of_number(call, wanted.order)
    if models.Refund.objects.filter(business=call.business, form_token=call.form_token).exists():
        return call.form_token  # its key is forgotten, and what it made is not
    _refuse_above_limit(call, order, _share(wanted, order))
    refunds.request(
        business=call.business,
        reference=order.cart_reference,
        share=_share(wanted, order),
        reason=wanted.reason,
        form_token=call.form_token,
        expected=None if wanted.expected is None else Money(wanted.expected, order.currency),
        reader_id=wanted.reader,
        staff=call.caller.token.created_by,
        actor=call.actor,
        now=call.now,
    )
    return call.form_token


def _show_request(call: Call, subject: str) -> BaseModel:
    made = list(_rows(call).filter(form_token=subject).order_by("id"))
    first = made[0]
    assert first.payment.order is not None
    return shapes.RefundRequest(
        order=first.payment.order.number,
        amount=sum(refund.amount_minor for refund in made),
        currency=first.currency,
        refunds=[_described(refund) for refund in made],
    )


def _rows(call: Call) -> QuerySet[models.Refund]:
    return models.Refund.objects.filter(business=call.business).select_related("payment__order")


def _described(refund: models.Refund) -> RefundFacts:
    return refund_facts(refund, refund.payment, refund.payment.order)


def _show(call: Call, _subject: str) -> BaseModel:
    public_id: uuid.UUID = call.path["refund"]
    refund = _rows(call).filter(public_id=public_id).first()
    if refund is None:
        raise NothingHere
    return _described(refund)


def _list(call: Call, _subject: str) -> BaseModel:
    rows = _rows(call)
    if "order" in call.query:
        rows = rows.filter(payment__order=of_number(call, call.query["order"]))
    found, cursor = listing.page(rows, listing.wanted(call.query))
    return shapes.Refunds(data=[_described(refund) for refund in found], next_cursor=cursor)


REQUEST = Route(
    scope=Scope.REFUND,
    act=_request,
    show=_show_request,
    body=shapes.RefundWanted,
    answer=shapes.RefundRequest,
    status=202,
    says="Ask for money of an order to be given back: all that is left, an amount, or items.",
)
READ = Route(scope=Scope.READ, show=_show, answer=RefundFacts, says="Follow a refund.")
LIST = Route(
    scope=Scope.READ,
    show=_list,
    answer=shapes.Refunds,
    query=("limit", "cursor", "order"),
    says="List the refunds, the newest first; those of an order by its number.",
)
