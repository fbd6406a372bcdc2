"""Payments on card readers: put into a reader's queue, followed, cancelled."""

from __future__ import annotations

import uuid

from pydantic import BaseModel

from web.api import payments, shapes
from web.api.routes import Call, Route, Scope
from web.core.models import Profile
from web.payments.models import Reader as ReaderRow
from web.payments.operations import terminal
from web.payments.queries import readers


def _list(call: Call, _subject: str) -> BaseModel:
    return shapes.Readers(
        data=[
            shapes.Reader(
                reader=one.reader.public_id,
                label=one.reader.label,
                location=one.reader.location_id,
                state=one.reader.state,
                is_online=bool(one.reader.is_online) and one.reader.state == ReaderRow.State.READY,
                is_free=one.is_free,
            )
            for one in readers.readers(call.business)
        ]
    )


def _show(call: Call, subject: str) -> BaseModel:
    seen = readers.action(call.business, uuid.UUID(subject) if subject else call.path["terminal_payment"])
    return shapes.TerminalPayment(
        terminal_payment=seen.action.public_id,
        reader=seen.reader.public_id,
        state=seen.action.state,
        is_final=seen.action.is_final,
        position=seen.position,
        failure_code=seen.action.failure_code,
        payment=payments.described(payments.found(call, seen.payment.public_id)),
    )


def _staff(call: Call) -> Profile:
    maker = call.caller.token.created_by
    assert maker is not None  # a token without its maker is not valid (operations/api_tokens.py)
    return maker


def _start(call: Call) -> str:
    wanted: shapes.TerminalPaymentWanted = call.body
    started = terminal.start(
        business=call.business,
        token=wanted.cart,
        reader_id=wanted.reader,
        form_token=call.form_token,
        expected_total_minor=wanted.expected_total,
        asks_for_tip=wanted.asks_for_tip,
        staff=_staff(call),
        now=call.now,
    )
    return str(started.action.public_id)


def _cancel(call: Call) -> str:
    action = terminal.request_cancel(
        business=call.business, action_id=call.path["terminal_payment"], staff=_staff(call), now=call.now
    )
    return str(action.public_id)


READERS = Route(
    scope=Scope.READ, show=_list, answer=shapes.Readers, says="List the card readers, and which are free."
)
START = Route(
    scope=Scope.SELL,
    act=_start,
    show=_show,
    body=shapes.TerminalPaymentWanted,
    answer=shapes.TerminalPayment,
    status=202,
    says="Ask for a payment on a card reader: it waits there for its turn.",
)
READ = Route(
    scope=Scope.READ, show=_show, answer=shapes.TerminalPayment, says="Follow a payment on a card reader."
)
CANCEL = Route(
    scope=Scope.SELL,
    act=_cancel,
    show=_show,
    body=shapes.Nothing,
    answer=shapes.TerminalPayment,
    status=202,
    says="Ask for a payment on a card reader to be cancelled: a request, like every cancelling.",
)
