"""What is stored of a customer, set aside for a sale: it counts against the one total and is spent with the order.

A payment by balance or service credits is *reserved*: its amount is set aside in the customer's ledger in the
transaction that writes it, spent in the one that makes the order, and given back in the one that opens the cart
again (payments.complete, payments.reopen).
"""

from __future__ import annotations

import datetime
import uuid

from web.core.models import Profile
from web.payments.locks import Sale
from web.payments.models import Cart, Method, Payment
from web.payments.money import Money
from web.payments.operations import ledgers
from web.payments.operations.payments import commit
from web.payments.pricing import Quote
from web.payments.queries.ledgers import Plan, plan, stored
from web.payments.states import PaymentState


def may_use(cart: Cart, payer: Profile | None) -> bool:
    """Say whether somebody may spend what the cart's customer has stored: the customer, and staff."""
    if payer is None or cart.customer_id is None or payer.business_id != cart.business_id:
        return False
    return payer.is_staff or payer.id == cart.customer_id


def planned(
    cart: Cart,
    priced: Quote,
    payments: list[Payment],
    *,
    payer: Profile | None,
    now: datetime.datetime,
    least: Money | None = None,
) -> Plan:
    """Say what paying now would set aside of the customer's ledgers, and what would be left to pay."""
    zero = Money.zero(cart.currency)
    if not (cart.uses_balance or cart.uses_credits) or not may_use(cart, payer):
        return plan(cart, priced, payments, units=0, balance=zero)
    has = stored(cart.customer_id, cart.currency, now=now)
    return plan(
        cart,
        priced,
        payments,
        units=has.credits if cart.uses_credits else 0,
        balance=has.money if cart.uses_balance else zero,
        least=least,
    )


def set_aside(
    sale: Sale,
    priced: Quote,
    *,
    payer: Profile | None,
    form_token: str,
    now: datetime.datetime,
    actor: str,
    least: Money | None = None,
) -> Money:
    """Set aside what the cart shall use, on a locked and frozen sale; return what is left for another method.

    Where nothing is left, the first payment made here carries the form's token, so that its repeat finds it.
    """
    cart = sale.cart
    assert cart is not None
    assert cart.frozen_total_minor is not None
    if (cart.uses_balance or cart.uses_credits) and may_use(cart, payer):
        ledgers.hold(cart, now=now, actor=actor)  # what is planned is what is there
        wanted = planned(cart, priced, sale.payments, payer=payer, now=now, least=least)
        reserve(sale, wanted, form_token=form_token, payer=payer, now=now, actor=actor)
    return Money(cart.frozen_total_minor - cart.committed_minor, cart.currency)


def reserve(
    sale: Sale,
    wanted: Plan,
    *,
    form_token: str,
    payer: Profile | None,
    now: datetime.datetime,
    actor: str,
    takes_token: bool = False,
) -> list[Payment]:
    cart = sale.cart
    assert cart is not None
    parts = [
        (Method.CREDITS, wanted.credits_worth, wanted.credits),
        (Method.BALANCE, wanted.balance, 0),
    ]
    made: list[Payment] = []
    for method, amount, units in parts:
        if not amount:
            continue
        is_first = not made and (takes_token or not wanted.rest)
        payment = Payment(
            business_id=cart.business_id,
            cart_reference=cart.reference,
            customer_id=cart.customer_id,
            created_by=payer if payer is not None and payer.is_staff else None,
            method=method,
            state=PaymentState.RESERVED,
            state_changed_at=now,
            amount_minor=amount.amount,
            currency=cart.currency,
            credits=units,
            covers=[list(pair) for pair in wanted.covers] if units else [],
            form_token=form_token if is_first else uuid.uuid4().hex,
            created_at=now,
        )
        commit(cart, payment, now=now, actor=actor)
        ledgers.reserve(payment, now=now, actor=actor)
        sale.payments.append(payment)
        made.append(payment)
    return made
