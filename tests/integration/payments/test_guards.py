"""The database refuses by itself what the code must never do."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from tests.shop import Shop
from web.payments import history
from web.payments.models import Attempt, Cart, Operation, Order, Payment, PaymentEvent, Refund
from web.payments.states import EDGES, PaymentState

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop() -> Shop:
    return Shop.make()


def refused_by(name: str, **changes: Any) -> None:
    """Update the one payment past the model; the named guard must refuse."""
    with pytest.raises(DatabaseError, match=name), transaction.atomic():
        Payment.objects.update(**changes)


def test_triggers_hold_exactly_the_edges_of_the_code() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tgname, tgargs FROM pg_trigger WHERE tgname LIKE '%%moves_along_its_edges' AND NOT tgisinternal"
        )
        triggers = {name.split("_")[0]: bytes(arguments) for name, arguments in cursor.fetchall()}
    assert set(triggers) == set(EDGES)
    for machine, edges in EDGES.items():
        in_database = {edge.decode() for edge in triggers[machine].split(b"\0") if edge}
        assert in_database == {f"{before}>{after}" for before, after in edges}


def test_a_state_machine_is_not_left_by_sql(shop: Shop) -> None:
    shop.request(shop.cart())
    Payment.objects.update(state=PaymentState.CANCELLING)
    refused_by("is no edge of its state machine", state=PaymentState.REQUESTED)


def test_amounts(shop: Shop) -> None:
    shop.request(shop.cart())
    refused_by("a_payment_succeeds_with_exactly_its_amount", state="succeeded", amount_received_minor=3599, client_secret_sealed="", next_check_at=None)  # fmt: skip  # noqa: E501
    refused_by("a_payment_has_no_negative_amount", amount_minor=-1)
    refused_by("refunds_never_exceed_the_payment", amount_received_minor=3600, refunded_minor=3601)
    refused_by("held_money_has_a_reason", state="held", next_check_at=None)
    refused_by("only_a_payment_given_back_whole_has_refunds_beyond", amount_received_minor=3600, refunded_beyond_minor=1)  # fmt: skip  # noqa: E501
    refused_by("a_payment_has_a_lower_case_currency", currency="USD")
    refused_by("an_online_payment_has_its_account", account=None)
    refused_by("a_final_payment_keeps_no_client_secret", state="cancelled", client_secret_sealed="sealed", next_check_at=None)  # fmt: skip  # noqa: E501


def test_one_total(shop: Shop) -> None:
    cart = shop.cart()
    shop.request(cart)
    with pytest.raises(IntegrityError, match="payments_never_exceed_the_frozen_total"), transaction.atomic():
        Cart.objects.filter(id=cart.id).update(committed_minor=3601)
    with pytest.raises(IntegrityError, match="a_cart_is_frozen_with_its_total"), transaction.atomic():
        Cart.objects.filter(id=cart.id).update(state="open")


def test_one_form_one_payment_one_intent(shop: Shop) -> None:
    first = shop.request(shop.cart())
    second = shop.request(shop.cart())
    Payment.objects.filter(id=first.id).update(intent_id="pi_1")
    with pytest.raises(IntegrityError, match="a_form_makes_one_payment"), transaction.atomic():
        Payment.objects.filter(id=second.id).update(form_token=first.form_token)
    with pytest.raises(IntegrityError, match="an_intent_belongs_to_one_payment"), transaction.atomic():
        Payment.objects.filter(id=second.id).update(intent_id="pi_1")


def test_one_open_attempt_per_operation(shop: Shop) -> None:
    payment = shop.request(shop.cart())
    now = timezone.now()

    def attempt() -> Attempt:
        return Attempt.objects.create(
            account=shop.account, operation=Operation.CREATE_INTENT, payment=payment, key=uuid.uuid4().hex,
            parameters={}, fence=1, state_changed_at=now, first_sent_at=now, sent_at=now,
        )  # fmt: skip

    first = attempt()
    with pytest.raises(IntegrityError, match="one_open_attempt_per_operation"), transaction.atomic():
        attempt()
    first.state = "refused"
    first.save()
    attempt()


def test_history_and_money_are_never_deleted_or_rewritten(shop: Shop) -> None:
    payment = shop.request(shop.cart())
    history.record(
        "x", business_id=shop.business.id, cart_reference=payment.cart_reference, payment=payment,
        actor="tests", now=timezone.now(),
    )  # fmt: skip
    events = PaymentEvent.objects.filter(payment=payment)
    for sql in (
        "UPDATE payments_paymentevent SET kind = 'y'",
        "DELETE FROM payments_paymentevent",
        "DELETE FROM payments_payment",
    ):
        with pytest.raises(DatabaseError, match="this record is kept"), transaction.atomic():
            connection.cursor().execute(sql)
    assert events.filter(kind="x").count() == 1


def test_a_cart_becomes_one_order_that_adds_up(shop: Shop) -> None:
    def order(**changes: Any) -> Order:
        amounts = dict.fromkeys(
            ("discount_minor", "sales_tax_minor", "additional_tax_minor", "tip_minor"), 0
        ) | {"subtotal_minor": 3600, "total_minor": 3600}
        return Order.objects.create(
            business=shop.business, location=shop.location, currency="usd", created_at=timezone.now(),
            **{"cart_reference": uuid.uuid4(), **amounts, **changes},
        )  # fmt: skip

    first = order()
    with pytest.raises(IntegrityError, match="a_cart_becomes_one_order"), transaction.atomic():
        order(cart_reference=first.cart_reference)
    with pytest.raises(IntegrityError, match="an_order_adds_up"), transaction.atomic():
        order(tip_minor=1)


def test_one_refund_under_way(shop: Shop) -> None:
    payment = shop.request(shop.cart())

    def refund() -> Refund:
        now = timezone.now()
        return Refund.objects.create(
            business=shop.business, payment=payment, amount_minor=1, currency="usd", reason="r",
            state_changed_at=now, created_at=now, form_token=uuid.uuid4().hex,
        )  # fmt: skip

    refund()
    Payment.objects.update(refunded_beyond_minor=1)  # so that the sums are right when they are looked at
    with pytest.raises(IntegrityError, match="a_payment_has_one_refund_under_way"), transaction.atomic():
        refund()


def test_a_payment_says_the_sum_of_its_refunds(shop: Shop) -> None:
    """Whoever changes one of the two and forgets the other cannot commit."""
    shop.request(shop.cart())
    payment = Payment.objects.get()
    Payment.objects.update(amount_received_minor=3600)
    for changes in ({"refunded_minor": 1}, {"returned_minor": 1}):
        Payment.objects.update(**changes)
        with pytest.raises(IntegrityError, match="do not add up"), transaction.atomic():
            connection.check_constraints()
        Payment.objects.update(refunded_minor=0, returned_minor=0)
    now = timezone.now()
    Refund.objects.create(
        business=shop.business, payment=payment, amount_minor=1, currency="usd", reason="r",
        state_changed_at=now, created_at=now, form_token=uuid.uuid4().hex,
    )  # fmt: skip
    with pytest.raises(IntegrityError, match="do not add up"), transaction.atomic():
        connection.check_constraints()
    Payment.objects.update(refunded_minor=1)
