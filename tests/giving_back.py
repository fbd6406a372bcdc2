"""Sales that were paid by card, without Stripe: what it would have told is settled at once."""

from __future__ import annotations

import itertools
import uuid
from typing import Any

from django.utils import timezone

from tests.shop import Shop
from web.payments.models import Cart, Payment
from web.payments.money import Money
from web.payments.operations import refund_news, refunds, settling
from web.payments.operations.refund_shares import Share, Whole
from web.payments.snapshots import IntentSnapshot, RefundSnapshot, Source
from web.payments.states import PaymentState, RefundState

_numbers = itertools.count(1)


def succeed(payment: Payment, *, amount: Money | None = None) -> Payment:
    """Let Stripe say that a payment was paid."""
    paid = amount or Money(payment.amount_minor, payment.currency)
    return told(
        payment,
        PaymentState.SUCCEEDED,
        amount=paid,
        amount_received=paid,
        charge_id=f"ch_{next(_numbers)}",
        card_brand="visa",
        card_last4="4242",
    )


def told(payment: Payment, state: PaymentState, **facts: Any) -> Payment:
    """Let Stripe say where a payment is; nothing has come in yet unless the facts say so."""
    given: dict[str, Any] = {
        "amount": Money(payment.amount_minor, payment.currency),
        "amount_received": Money(0, payment.currency),
    }
    snapshot = IntentSnapshot(
        intent_id=payment.intent_id or f"pi_{next(_numbers)}",
        state=state,
        source=Source.READ,
        occurred_at=timezone.now(),
        payment_public_id=str(payment.public_id),
        **(given | facts),
    )
    assert payment.account_id is not None
    settling.settle(account_id=payment.account_id, snapshot=snapshot, now=timezone.now())
    payment.refresh_from_db()
    return payment


def paid_by_card(shop: Shop, cart: Cart | None = None, **options: Any) -> Payment:
    """Return the payment of an order that a card paid."""
    payment = succeed(shop.request(cart or shop.cart(**options)))
    assert payment.order is not None
    return payment


def ask(payment: Payment, share: Share | None = None, **options: Any) -> refunds.Asked:
    """Ask for a refund as a page does; of all that is left, unless a share is named."""
    return refunds.request(
        business=payment.business,
        reference=payment.cart_reference,
        share=share or Whole(),
        reason=options.pop("reason", "class cancelled"),
        form_token=options.pop("form_token", None) or uuid.uuid4().hex,
        now=timezone.now(),
        staff=None,
        **options,
    )


def tell(
    payment: Payment, state: RefundState, *, refund: str = "", stripe_id: str = "", amount: int = 0
) -> None:
    """Let Stripe say what became of a refund (of ours, by its public id, or of one that was made there)."""
    payment.refresh_from_db()
    assert payment.account_id is not None
    refund_news.settle(
        account_id=payment.account_id,
        snapshot=RefundSnapshot(
            stripe_refund_id=stripe_id or f"re_{refund or next(_numbers)}",
            state=state,
            amount=Money(amount or payment.amount_received_minor, payment.currency),
            source=Source.EVENT,
            created_at=timezone.now(),
            intent_id=payment.intent_id or "",
            refund_public_id=refund,
        ),
        now=timezone.now(),
    )
    payment.refresh_from_db()
