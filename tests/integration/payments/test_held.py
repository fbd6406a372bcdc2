"""Money that fits no order, and carts that are paid in part: given back, or put where it belongs. Never lost."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from tests.giving_back import ask, paid_by_card, succeed, tell
from tests.shop import Shop
from web.payments.models import Cart, HeldReason, Method, Order, Payment, PaymentEvent, Refund
from web.payments.money import Money
from web.payments.operations import carts, desk, held, intents, refunds
from web.payments.queries import held as held_queries
from web.payments.queries import purchases
from web.payments.states import CartState, PaymentState, RefundState

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop() -> Shop:
    return Shop.make()


def cancelled(shop: Shop, cart: Cart) -> Payment:
    """Return a payment that was cancelled before it was sent."""
    payment = shop.request(cart)
    Payment.objects.filter(id=payment.id).update(
        state=PaymentState.CANCELLED, next_check_at=None, client_secret_sealed=""
    )
    Cart.objects.filter(id=cart.id).update(
        state=CartState.OPEN, committed_minor=0, frozen_total_minor=None, frozen_quote=None
    )
    payment.refresh_from_db()
    return payment


def attach(payment: Payment) -> Order | None:
    return held.attach(business=payment.business, payment_id=payment.id, now=timezone.now(), actor="staff 1")


def given_back(payment: Payment) -> None:
    """Ask for the whole of a payment and let Stripe do it."""
    (refund,) = ask(payment, payment_id=payment.id).refunds
    tell(payment, RefundState.SUCCEEDED, refund=str(refund.public_id))
    assert Refund.objects.get(id=refund.id).state == RefundState.SUCCEEDED


def test_success_after_a_cancel_makes_the_order_where_cart_and_amount_fit(shop: Shop) -> None:
    payment = succeed(cancelled(shop, shop.cart()))
    assert (payment.state, payment.order is not None) == (PaymentState.SUCCEEDED, True)


def changed_and_held(shop: Shop) -> tuple[Cart, Payment]:
    """Return a cart that grew after its payment was cancelled, and the payment, which succeeded all the same."""
    cart = shop.cart()
    payment = cancelled(shop, cart)
    carts.set_quantity(business=shop.business, token=cart.token, item_id=shop.item.id, quantity=2)
    succeed(payment)
    assert (payment.state, payment.held_reason) == (PaymentState.HELD, HeldReason.CART_CHANGED)
    return cart, payment


def test_held_money_is_put_onto_its_cart_once_it_fits(shop: Shop) -> None:
    cart, payment = changed_and_held(shop)
    assert not held_queries.may_attach(payment)
    with pytest.raises(held.DoesNotFit):
        attach(payment)
    carts.set_quantity(business=shop.business, token=cart.token, item_id=shop.item.id, quantity=1)
    assert held_queries.may_attach(payment)
    order = attach(payment)
    assert order is not None
    assert attach(payment) == order  # the same click twice
    payment.refresh_from_db()
    assert (payment.state, payment.order_id, payment.held_reason) == (PaymentState.SUCCEEDED, order.id, "")
    assert PaymentEvent.objects.filter(kind="payment.attached").count() == 1
    assert Order.objects.count() == 1


def test_the_database_refuses_to_attach_what_does_not_fit(shop: Shop) -> None:
    payment = shop.request(shop.cart())
    succeed(payment, amount=Money(100, "usd"))
    assert payment.held_reason == HeldReason.AMOUNT
    with pytest.raises(held.DoesNotFit):
        attach(payment)
    with (
        pytest.raises(IntegrityError, match="a_payment_succeeds_with_exactly_its_amount"),
        transaction.atomic(),
    ):
        Payment.objects.filter(id=payment.id).update(state="succeeded", held_reason="")


def test_a_second_success_is_given_back_and_the_order_stays(shop: Shop) -> None:
    cart = shop.cart()
    first = cancelled(shop, cart)
    paid = paid_by_card(shop, cart)
    succeed(first)
    assert (first.state, first.held_reason) == (PaymentState.HELD, HeldReason.SECOND_SUCCESS)
    with pytest.raises(held.DoesNotFit):
        attach(first)
    assert [payment.id for payment in purchases.attention(shop.business, now=timezone.now()).held] == [
        first.id
    ]
    given_back(first)
    assert not purchases.attention(shop.business, now=timezone.now())
    paid.refresh_from_db()
    assert (paid.refunded_minor, first.returned_minor, first.state) == (0, 3600, PaymentState.HELD)
    assert paid.order is not None
    money = purchases.money_of(paid.order, [], [])
    assert (money.net, money.is_whole) == (Money(3600, "usd"), True)  # the held one was never the order's
    with pytest.raises(held.NotHeld):
        attach(first)


def test_a_cart_with_held_money_can_be_paid_again_once_it_is_given_back(shop: Shop) -> None:
    cart = shop.cart()
    payment = shop.request(cart)
    succeed(payment, amount=Money(100, "usd"))
    with pytest.raises(intents.MoneyHeld):
        shop.request(cart)
    (refund,) = ask(payment, payment_id=payment.id).refunds
    with pytest.raises(intents.MoneyHeld):
        shop.request(cart)
    tell(payment, RefundState.SUCCEEDED, refund=str(refund.public_id), amount=100)
    cart.refresh_from_db()
    assert (cart.state, cart.committed_minor) == (CartState.OPEN, 0)
    assert paid_by_card(shop, cart).order is not None


def partly_paid(shop: Shop) -> tuple[Cart, Payment]:
    """Return a frozen cart for 72.00 with 36.00 on it."""
    cart = shop.cart(quantity=2)
    payment = shop.request(cart)
    Payment.objects.filter(id=payment.id).update(amount_minor=3600)
    Cart.objects.filter(id=cart.id).update(committed_minor=3600)
    payment.refresh_from_db()
    succeed(payment)
    cart.refresh_from_db()
    assert (payment.state, payment.order, cart.state) == (PaymentState.SUCCEEDED, None, CartState.FROZEN)
    return cart, payment


def test_a_partly_paid_cart_is_listed_and_completed(shop: Shop) -> None:
    cart, payment = partly_paid(shop)
    attention = purchases.attention(shop.business, now=timezone.now())
    assert [(cart.id, [one.id for one in payments]) for cart, payments in attention.partly_paid] == [
        (cart.id, [payment.id])
    ]
    assert not attention.being_paid
    assert paid_by_card(shop, cart).order is not None
    assert Order.objects.get().total_minor == 7200


def test_a_partly_paid_cart_is_given_back_and_free_again(shop: Shop) -> None:
    cart, payment = partly_paid(shop)
    (refund,) = ask(payment).refunds
    for blocked in (
        lambda: shop.request(cart),
        lambda: desk.sell(
            business=shop.business, token=cart.token, method=Method.CASH, form_token="cash" * 5,
            expected_total_minor=7200, now=timezone.now(), staff=None,
        ),
    ):  # fmt: skip
        with pytest.raises(intents.BeingRefunded):
            blocked()
    tell(payment, RefundState.SUCCEEDED, refund=str(refund.public_id))
    cart.refresh_from_db()
    assert (cart.state, cart.committed_minor, payment.is_released) == (CartState.OPEN, 0, True)
    tell(payment, RefundState.FAILED, refund=str(refund.public_id))  # the bank sends it back
    cart.refresh_from_db()
    assert (cart.state, cart.committed_minor) == (CartState.OPEN, 0)
    assert (payment.refunded_minor, payment.returned_minor, payment.is_released) == (0, 0, True)
    assert [one.id for one in purchases.attention(shop.business, now=timezone.now()).sent_back] == [refund.id]
    new = paid_by_card(shop, cart)  # pays all of it: what came back does not count
    assert new.amount_minor == 7200
    with pytest.raises(IntegrityError, match="released_money_pays_no_order"), transaction.atomic():
        Payment.objects.filter(id=payment.id).update(order=new.order)
    given_back(payment)  # and once more, another way would do too
    assert not purchases.attention(shop.business, now=timezone.now()).sent_back


def test_a_partly_paid_cart_whose_refund_fails_is_completed(shop: Shop) -> None:
    cart, payment = partly_paid(shop)
    (refund,) = ask(payment).refunds
    tell(payment, RefundState.FAILED, refund=str(refund.public_id))
    cart.refresh_from_db()
    assert (cart.state, payment.is_released, payment.refunded_minor) == (CartState.FROZEN, False, 0)
    listed = purchases.attention(shop.business, now=timezone.now()).partly_paid
    assert [one.id for one, _payments in listed] == [cart.id]
    assert paid_by_card(shop, cart).order is not None, "it counts again: only the rest is asked for"
    assert Order.objects.get().total_minor == 7200


def test_a_refund_waits_for_another_payment_of_its_cart(shop: Shop) -> None:
    cart, payment = partly_paid(shop)
    shop.request(cart)
    with pytest.raises(refunds.StillBeingPaid):
        ask(payment)


def test_what_the_dashboard_gave_back_before_we_heard_of_the_payment_is_counted(shop: Shop) -> None:
    payment = shop.request(shop.cart())
    Payment.objects.filter(id=payment.id).update(intent_id="pi_early")
    tell(payment, RefundState.SUCCEEDED, stripe_id="re_early", amount=3600)
    assert (payment.refunded_minor, payment.refunded_beyond_minor) == (0, 3600)
    succeed(payment)
    assert (payment.refunded_minor, payment.refunded_beyond_minor) == (3600, 0)
    assert payment.order is not None  # it was paid: the order tells both
    assert purchases.money_of(payment.order, [], []).net == Money(0, "usd")


def test_held_money_with_a_readers_tip_fits_by_what_was_asked_for(shop: Shop) -> None:
    cart, payment = changed_and_held(shop)
    Payment.objects.filter(id=payment.id).update(
        method=Method.TERMINAL, reader_tip_minor=400, amount_received_minor=4000
    )
    payment.refresh_from_db()
    carts.set_quantity(business=shop.business, token=cart.token, item_id=shop.item.id, quantity=1)
    assert held_queries.may_attach(payment)
    order = attach(payment)
    assert order is not None
    assert (order.tip_minor, order.total_minor) == (400, 4000)
