"""Orders, refunds and disputes as programs are told of them: one shape for the API and for outgoing webhooks.

Amounts are whole minor units of the object's currency. Names and addresses of customers are not part of it: what is
sent out of the house tells of money, and whoever may read people asks the API.
"""

from __future__ import annotations

import datetime
import uuid

from pydantic import BaseModel

from web.payments.models import Dispute, Order, OrderLine, Payment, Refund
from web.payments.states import REFUND_OPEN


class LineFacts(BaseModel):
    """A line of an order, as it was sold."""

    line: int
    item: int | None
    description: str
    quantity: int
    unit_price: int
    amount: int
    discount: int
    sales_tax: int
    additional_tax: int
    refunded_quantity: int


class PaidFacts(BaseModel):
    """One of the payments of an order."""

    payment: uuid.UUID
    method: str
    amount: int
    returned: int
    card_brand: str
    card_last4: str


class OrderFacts(BaseModel):
    """An order: what was bought, what it came to, and what paid it."""

    number: str
    reference: uuid.UUID  # its cart's, which outlives the cart
    location: int
    currency: str
    subtotal: int
    discount: int
    sales_tax: int
    additional_tax: int
    tip: int
    total: int
    returned: int
    lines: list[LineFacts]
    payments: list[PaidFacts]
    created_at: datetime.datetime


class RefundFacts(BaseModel):
    """Money of one payment that is given back, or was."""

    refund: uuid.UUID
    order: str | None
    payment: uuid.UUID
    amount: int
    currency: str
    destination: str
    state: str
    is_final: bool
    failure_code: str
    created_at: datetime.datetime
    state_changed_at: datetime.datetime


class DisputeFacts(BaseModel):
    """A payment that the cardholder's bank takes back, as Stripe last showed it."""

    dispute: str
    order: str | None
    payment: uuid.UUID
    amount: int
    currency: str
    reason: str
    status: str
    evidence_due_at: datetime.datetime | None
    opened_at: datetime.datetime
    closed_at: datetime.datetime | None


def _line(line: OrderLine) -> LineFacts:
    return LineFacts(
        line=line.id,
        item=line.item_id,
        description=line.description,
        quantity=line.quantity,
        unit_price=line.unit_price_minor,
        amount=line.amount_minor,
        discount=line.discount_minor,
        sales_tax=line.sales_tax_minor,
        additional_tax=line.additional_tax_minor,
        refunded_quantity=line.refunded_quantity,
    )


def _paid(payment: Payment) -> PaidFacts:
    return PaidFacts(
        payment=payment.public_id,
        method=payment.method,
        amount=payment.amount_received_minor or payment.amount_minor,
        returned=payment.returned_minor,
        card_brand=payment.card_brand,
        card_last4=payment.card_last4,
    )


def order_facts(order: Order) -> OrderFacts:
    """Describe an order; its lines and payments are read unless they were fetched with it."""
    payments = sorted(order.payments.all(), key=lambda payment: payment.id)
    return OrderFacts(
        number=order.number,
        reference=order.cart_reference,
        location=order.location_id,
        currency=order.currency,
        subtotal=order.subtotal_minor,
        discount=order.discount_minor,
        sales_tax=order.sales_tax_minor,
        additional_tax=order.additional_tax_minor,
        tip=order.tip_minor,
        total=order.total_minor,
        returned=sum(payment.returned_minor for payment in payments),
        lines=[_line(line) for line in order.lines.all()],
        payments=[_paid(payment) for payment in payments],
        created_at=order.created_at,
    )


def refund_facts(refund: Refund, payment: Payment, order: Order | None) -> RefundFacts:
    """Describe a refund of a payment."""
    return RefundFacts(
        refund=refund.public_id,
        order=order.number if order is not None else None,
        payment=payment.public_id,
        amount=refund.amount_minor,
        currency=refund.currency,
        destination=refund.destination,
        state=refund.state,
        is_final=refund.state not in REFUND_OPEN,
        failure_code=refund.failure_code,
        created_at=refund.created_at,
        state_changed_at=refund.state_changed_at,
    )


def dispute_facts(dispute: Dispute, payment: Payment, order: Order | None) -> DisputeFacts:
    """Describe a dispute of a payment."""
    return DisputeFacts(
        dispute=dispute.stripe_dispute_id,
        order=order.number if order is not None else None,
        payment=payment.public_id,
        amount=dispute.amount_minor,
        currency=dispute.currency,
        reason=dispute.reason,
        status=dispute.status,
        evidence_due_at=dispute.evidence_due_at,
        opened_at=dispute.opened_at,
        closed_at=dispute.closed_at,
    )
