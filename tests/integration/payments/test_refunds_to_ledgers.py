"""Refunds that end in a customer's ledger: at once, once, and what was sold on credit is taken back."""

from __future__ import annotations

import pytest
from django.utils import timezone

from tests.giving_back import ask, succeed, tell
from tests.shop import Shop
from tests.stored import Desk, books_are_right, usd
from web.payments.models import Ledger, LedgerLot, Method, OrderLine, Payment, Refund
from web.payments.operations import carts, ledger_refunds, ledgers, refunds, tenders
from web.payments.operations import desk as tills
from web.payments.operations.refund_shares import Items, Part
from web.payments.queries.ledgers import plan, unclaimed
from web.payments.queries.quotes import quote
from web.payments.states import RefundState

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk() -> Desk:
    return Desk(Shop.make())


def paid(desk: Desk, *items: object, method: Method = Method.CASH, total: int = 3600) -> Payment:
    order = tills.sell(
        business=desk.business, token=desk.cart(*items).token, method=method, form_token="form" * 6,  # type: ignore[arg-type]
        expected_total_minor=total, now=timezone.now(), staff=desk.staff,
    )  # fmt: skip
    return order.payments.get()


def test_to_the_balance_once(desk: Desk) -> None:
    payment = succeed(desk.shop.request(desk.cart()))
    for _ in range(2):  # the same form twice
        (refund,) = ask(
            payment, Part(usd(1000)), destination=Refund.Destination.BALANCE, form_token="to-the-balance"
        ).refunds
    assert (refund.state, desk.balance()) == (RefundState.SUCCEEDED, (1000, 0))
    payment.refresh_from_db()
    assert (payment.refunded_minor, payment.returned_minor) == (1000, 1000)
    ask(payment)  # what is left goes to the card
    payment.refresh_from_db()
    assert (payment.refunded_minor, payment.returned_minor) == (3600, 1000)
    books_are_right()


def test_as_service_credits(desk: Desk) -> None:
    payment = paid(desk)
    with pytest.raises(refunds.DestinationNotPossible):
        ask(payment, destination=Refund.Destination.CREDITS)
    ask(payment, destination=Refund.Destination.CREDITS, units=3)
    assert desk.balance(Ledger.CREDITS) == (3, 0)


def test_a_guest_has_no_balance(desk: Desk) -> None:
    payment = succeed(desk.shop.request(desk.shop.cart()))
    with pytest.raises(ledgers.NobodysLedger):
        ask(payment, destination=Refund.Destination.BALANCE)
    payment.refresh_from_db()
    assert (payment.refunded_minor, Refund.objects.count()) == (0, 0)


def test_what_the_balance_paid_goes_back_to_it(desk: Desk) -> None:
    desk.has(usd(5000))
    cart = desk.cart()
    covered = tenders.use(
        business=desk.business, token=cart.token, ledger=Ledger.MONEY, form_token="use-it" * 4,
        expected_total_minor=3600, now=timezone.now(), staff=desk.staff,
    )  # fmt: skip
    assert covered.order is not None
    assert desk.balance() == (1400, 0)
    (refund,) = ask(covered.order.payments.get()).refunds
    assert (refund.state, desk.balance()) == (RefundState.SUCCEEDED, (5000, 0))
    books_are_right()


def test_a_gift_card_given_back_is_taken_back_and_put_back_when_the_refund_fails(desk: Desk) -> None:
    payment = succeed(desk.shop.request(desk.cart(desk.card)))
    assert desk.balance() == (5000, 0)
    (refund,) = ask(payment).refunds
    assert desk.balance() == (0, 0)
    tell(payment, RefundState.FAILED, refund=str(refund.public_id))
    assert desk.balance() == (5000, 0)
    books_are_right()


@pytest.mark.parametrize("state", [RefundState.PENDING, RefundState.SUCCEEDED])
def test_a_gift_card_that_was_given_back_before_we_heard_that_it_was_paid(
    desk: Desk, state: RefundState
) -> None:
    payment = desk.shop.request(desk.cart(desk.card))
    Payment.objects.filter(id=payment.id).update(intent_id="pi_early")
    tell(payment, state, stripe_id="re_early", amount=5000)
    succeed(payment)
    assert payment.order is not None
    assert desk.balance() == (0, 0), "the order gives nothing that was not paid for"
    tell(payment, RefundState.FAILED, stripe_id="re_early", amount=5000)  # the bank sends it back
    assert desk.balance() == (5000, 0)
    books_are_right()


def test_a_part_that_was_given_back_before_we_heard_that_it_was_paid(desk: Desk) -> None:
    payment = desk.shop.request(desk.cart(desk.card))
    Payment.objects.filter(id=payment.id).update(intent_id="pi_early")
    tell(payment, RefundState.SUCCEEDED, stripe_id="re_early", amount=100)
    succeed(payment)
    assert payment.order is not None, "what came in covers the sale; the order shows what went back"
    assert (payment.refunded_minor, desk.balance()) == (100, (5000, 0))


def test_what_a_refund_that_came_to_nothing_put_back_is_taken_back_by_the_next(desk: Desk) -> None:
    payment = succeed(desk.shop.request(desk.cart(desk.card)))
    (refund,) = ask(payment).refunds
    tell(payment, RefundState.FAILED, refund=str(refund.public_id))
    (refund,) = ask(payment).refunds
    assert desk.balance() == (0, 0)
    refunds.withdraw(
        business=desk.business, refund_public_id=refund.public_id, now=timezone.now(), actor="staff 1"
    )
    assert desk.balance() == (5000, 0)
    (refund,) = ask(payment).refunds
    assert desk.balance() == (0, 0)
    tell(payment, RefundState.SUCCEEDED, refund=str(refund.public_id))
    assert desk.balance() == (0, 0)
    assert LedgerLot.objects.count() == 1
    books_are_right()


def test_a_guest_who_gave_pieces_back_claims_the_rest(desk: Desk) -> None:
    cart = desk.shop.cart()
    for item, quantity in ((desk.passes, 3), (desk.card, 1)):
        carts.set_quantity(business=desk.business, token=cart.token, item_id=item.id, quantity=quantity)
    order = tills.sell(
        business=desk.business, token=cart.token, method=Method.CASH, form_token="form" * 6,
        expected_total_minor=quote(cart).totals.total.amount, now=timezone.now(), staff=desk.staff,
    )  # fmt: skip
    payment = order.payments.get()
    passes, card = order.lines.get(gives_credits=10), order.lines.get(gives_minor=5000)
    assert (unclaimed(desk.business, Ledger.CREDITS), unclaimed(desk.business, Ledger.MONEY)) == (
        [passes], [card],
    )  # fmt: skip
    ask(payment, Items({passes.id: 1, card.id: 1}))
    assert unclaimed(desk.business, Ledger.CREDITS) == [passes]
    assert unclaimed(desk.business, Ledger.MONEY) == []

    def claim(line: OrderLine) -> None:
        ledgers.claim(
            business=desk.business, line_id=line.id, customer_id=desk.customer.id, now=timezone.now(),
            staff=desk.staff,
        )  # fmt: skip

    with pytest.raises(ledgers.NothingToClaim):
        claim(card)
    claim(passes)
    assert desk.balance(Ledger.CREDITS) == (20, 0)
    ask(payment, Items({passes.id: 1}))
    assert desk.balance(Ledger.CREDITS) == (10, 0)
    books_are_right()


def test_a_guest_whose_money_went_back_claims_nothing(desk: Desk) -> None:
    cart = desk.shop.cart()
    carts.set_quantity(business=desk.business, token=cart.token, item_id=desk.card.id, quantity=1)
    payment = succeed(desk.shop.request(cart))
    assert payment.order is not None
    line = payment.order.lines.get(gives_minor=5000)
    ask(payment)
    assert unclaimed(desk.business, Ledger.MONEY) == []
    with pytest.raises(ledgers.NothingToClaim):
        ledgers.claim(
            business=desk.business, line_id=line.id, customer_id=desk.customer.id, now=timezone.now(),
            staff=desk.staff,
        )  # fmt: skip


def test_parts_of_what_credits_paid_give_back_no_more_credits_than_were_spent(desk: Desk) -> None:
    desk.has(3)
    cart = desk.cart(desk.lesson)
    covered = tenders.use(
        business=desk.business, token=cart.token, ledger=Ledger.CREDITS, form_token="use-it" * 4,
        expected_total_minor=9500, now=timezone.now(), staff=desk.staff,
    )  # fmt: skip
    assert covered.order is not None
    payment = covered.order.payments.get()
    has = []
    for _ in range(10):
        ask(payment, Part(usd(950)))
        has.append(desk.balance(Ledger.CREDITS)[0])
    assert has == [0, 1, 1, 1, 2, 2, 2, 2, 3, 3]
    payment.refresh_from_db()
    assert (payment.refunded_minor, payment.returned_minor) == (9500, 9500)
    books_are_right()


def test_a_gift_card_that_is_set_aside_is_not_refunded_until_that_sale_is_over(desk: Desk) -> None:
    payment = succeed(desk.shop.request(desk.cart(desk.card)))
    cart = desk.cart()
    aside = tenders.use(
        business=desk.business, token=cart.token, ledger=Ledger.MONEY, form_token="use-it" * 4, amount=usd(700),
        expected_total_minor=3600, now=timezone.now(), staff=desk.staff,
    ).payments[0]  # fmt: skip
    with pytest.raises(ledger_refunds.StoredIsSetAside):
        ask(payment)
    payment.refresh_from_db()
    assert (payment.refunded_minor, desk.balance()) == (0, (5000, 700))
    tenders.undo(business=desk.business, payment_id=aside.id, now=timezone.now(), actor="staff 1")
    ask(payment)
    assert desk.balance() == (0, 0)
    books_are_right()


def test_a_refund_made_at_stripe_takes_back_what_is_free_once_all_is_given_back(desk: Desk) -> None:
    payment = succeed(desk.shop.request(desk.cart(desk.card)))
    cart = desk.cart()
    tenders.use(
        business=desk.business, token=cart.token, ledger=Ledger.MONEY, form_token="use-it" * 4, amount=usd(700),
        expected_total_minor=3600, now=timezone.now(), staff=desk.staff,
    )  # fmt: skip
    tell(payment, RefundState.SUCCEEDED, stripe_id="re_a_part", amount=2000)
    assert desk.balance() == (5000, 700)
    rest = payment.amount_received_minor - 2000
    tell(payment, RefundState.FAILED, stripe_id="re_failed_at_once", amount=rest)
    assert desk.balance() == (5000, 700)
    tell(payment, RefundState.PENDING, stripe_id="re_the_rest", amount=rest)
    assert desk.balance() == (700, 700)
    tell(payment, RefundState.FAILED, stripe_id="re_the_rest", amount=rest)
    assert desk.balance() == (5000, 700)
    books_are_right()


def test_what_was_given_back_before_the_sale_pays_nothing_of_it(desk: Desk) -> None:
    desk.has(usd(5000))
    payment = succeed(desk.shop.request(desk.cart()))
    cart = desk.cart()
    payment.is_released = True  # as one that was taken off the cart
    wanted = plan(cart, quote(cart), [payment], units=0, balance=usd(5000))
    assert (wanted.balance, wanted.rest) == (usd(3600), usd(0))
