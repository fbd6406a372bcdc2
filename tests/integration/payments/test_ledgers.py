"""What customers have stored: never below zero, never spent twice, always the sum of its entries."""

from __future__ import annotations

import datetime
import threading
import uuid
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from tests.factories import ProfileFactory
from tests.shop import Shop
from tests.stored import Desk, books_are_right, usd
from web.payments.models import (
    Cart,
    Ledger,
    LedgerBalance,
    LedgerEntry,
    LedgerLot,
    Method,
    Order,
    Payment,
    Refund,
)
from web.payments.operations import desk as desk_operations
from web.payments.operations import intents, ledger_book, ledger_refunds, ledgers, settling, tenders
from web.payments.queries.ledgers import stored
from web.payments.queries.quotes import quote

pytestmark = pytest.mark.django_db

DAY = datetime.timedelta(days=1)


@pytest.fixture
def desk() -> Desk:
    return Desk(Shop.make())


def total_of(cart: Cart) -> int:
    found = Cart.objects.filter(id=cart.id).first()
    return 0 if found is None else quote(found).totals.total.amount


def use(desk: Desk, cart: Cart, ledger: Ledger = Ledger.MONEY, **rest: Any) -> tenders.Covered:
    given: dict[str, Any] = {
        "business": desk.business,
        "token": cart.token,
        "ledger": ledger,
        "form_token": uuid.uuid4().hex,
        "expected_total_minor": total_of(cart),
        "now": timezone.now(),
        "staff": desk.staff,
    }
    return tenders.use(**(given | rest))


def take(desk: Desk, cart: Cart, **rest: Any) -> desk_operations.Taken:
    given: dict[str, Any] = {
        "business": desk.business,
        "token": cart.token,
        "method": Method.CASH,
        "form_token": uuid.uuid4().hex,
        "expected_total_minor": total_of(cart),
        "now": timezone.now(),
        "staff": desk.staff,
    }
    return desk_operations.take(**(given | rest))


def at_once(*calls: Callable[[], object]) -> list[str]:
    """Run calls in threads of their own; return how each ended."""
    outcomes: list[str] = []
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> None:
        try:
            gate.wait(30)
            call()
            outcomes.append("done")
        except Exception as error:  # the name is what the test compares
            outcomes.append(type(error).__name__)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return sorted(outcomes)


# --- by hand ----------------------------------------------------------------------------------------


def test_adjusting_up_and_down_with_a_reason(desk: Desk) -> None:
    desk.has(usd(2500), reason="a present")
    entry = desk.adjust(usd(-1000), reason="a slip")
    assert (entry.amount, entry.amount_after, entry.reason) == (-1000, 1500, "a slip")
    assert entry.actor == f"staff {desk.staff.id}"
    assert desk.balance() == (1500, 0)
    with pytest.raises(ledger_book.BalanceInsufficient) as caught:
        desk.adjust(usd(-1501))
    assert caught.value.details["free"] == 1500
    for change in (usd(0), 0, ledgers.LARGEST_UNITS + 1):
        with pytest.raises(ledgers.BadAdjustment):
            desk.adjust(change)
    with pytest.raises(ledgers.ReasonNeeded):
        desk.adjust(usd(1), reason="  ")
    assert desk.kinds() == ["adjusted", "adjusted"]
    books_are_right()


def test_the_same_form_adjusts_once_and_only_its_customer(desk: Desk) -> None:
    first = desk.has(5, form_token="form-of-the-adjustment")
    assert desk.has(5, form_token="form-of-the-adjustment") == first
    assert desk.balance(Ledger.CREDITS) == (5, 0)
    other = ProfileFactory.create(business=desk.business)
    with pytest.raises(ledgers.FormReused):
        desk.has(5, customer_id=other.id, form_token="form-of-the-adjustment")


def test_another_businesss_customer_has_no_ledger_here(desk: Desk) -> None:
    stranger = ProfileFactory.create()
    with pytest.raises(ledgers.CustomerNotFound):
        desk.has(5, customer_id=stranger.id)
    with pytest.raises(ledgers.CustomerNotFound):
        desk.has(5, customer_id=desk.staff.id)
    assert not LedgerEntry.objects.exists()


def test_money_is_kept_per_currency(desk: Desk) -> None:
    from web.payments.money import Money

    desk.has(Money(28600, "krw"))
    desk.has(usd(100))
    now = timezone.now()
    assert stored(desk.customer.id, "krw", now=now).money == Money(28600, "krw")
    assert stored(desk.customer.id, "usd", now=now).money == usd(100)
    assert stored(desk.customer.id, "jpy", now=now).money == Money(0, "jpy")


# --- spending ---------------------------------------------------------------------------------------


def test_a_sale_wholly_by_balance_needs_nothing_else(desk: Desk) -> None:
    desk.has(usd(5000))
    cart = desk.cart()
    covered = use(desk, cart)
    assert covered.order is not None
    payment = covered.order.payments.get()
    assert (payment.method, payment.state, payment.amount_minor) == ("balance", "succeeded", 3600)
    assert payment.amount_received_minor == 3600
    assert desk.balance() == (1400, 0)
    assert desk.kinds() == ["adjusted", "reserved", "spent"]
    books_are_right()


def test_balance_and_cash_in_two_steps(desk: Desk) -> None:
    desk.has(usd(1000))
    cart = desk.cart()
    covered = use(desk, cart, amount=usd(600))
    assert (covered.order, covered.due) == (None, usd(3000))
    assert desk.balance() == (1000, 600)
    part = take(desk, cart, amount=usd(1000))
    assert (part.order, part.due) == (None, usd(2000))
    done = take(desk, cart)
    assert done.order is not None
    assert sorted(done.order.payments.values_list("method", "amount_minor")) == [
        ("balance", 600),
        ("cash", 1000),
        ("cash", 2000),
    ]
    assert desk.balance() == (400, 0)
    assert Order.objects.count() == 1


def test_credits_pay_for_whole_services_and_nothing_else(desk: Desk) -> None:
    desk.has(4)
    cart = desk.cart(desk.lesson, desk.drop_in, desk.shop.item, desk.passes)
    covered = use(desk, cart, Ledger.CREDITS)
    payment = covered.payments[0]
    # a lesson for three, a class for one; the mat and the pass are left
    assert (payment.credits, payment.amount_minor, payment.covers) == (4, 11500, [[0, 1], [1, 1]])
    assert covered.due == usd(3600 + 18000)
    assert desk.balance(Ledger.CREDITS) == (4, 4)
    assert desk.balance() == (0, 0)
    with pytest.raises(ledger_book.CreditsInsufficient):
        use(desk, cart, Ledger.CREDITS)
    order = take(desk, cart).order
    assert order is not None
    assert desk.balance(Ledger.CREDITS) == (10, 0)  # spent four, bought ten
    assert desk.kinds(Ledger.CREDITS) == ["adjusted", "reserved", "spent", "sold"]
    books_are_right()


def test_a_few_credits_pay_for_a_few_pieces(desk: Desk) -> None:
    desk.has(2)
    cart = desk.cart(desk.drop_in, quantity=3)
    assert use(desk, cart, Ledger.CREDITS).due == usd(2000)
    desk.has(5)
    covered = use(desk, cart, Ledger.CREDITS)
    assert covered.order is not None
    assert sorted(covered.order.payments.values_list("credits", flat=True)) == [1, 2]
    assert desk.balance(Ledger.CREDITS) == (4, 0)


def test_a_gift_card_is_not_bought_with_balance(desk: Desk) -> None:
    desk.has(usd(9000))
    with pytest.raises(tenders.NothingToCover):
        use(desk, desk.cart(desk.card))
    mixed = desk.cart(desk.card, desk.shop.item)
    assert use(desk, mixed).due == usd(5000)
    with pytest.raises(tenders.NothingToCover):
        use(desk, mixed)
    order = take(desk, mixed).order
    assert order is not None
    assert desk.balance() == (9000 - 3600 + 5000, 0)


def test_what_a_declined_or_cancelled_card_leaves_is_given_back(desk: Desk) -> None:
    desk.has(usd(1000))
    cart = desk.cart()
    tenders.choose(business=desk.business, token=cart.token, payer=desk.customer, uses_balance=True)
    payment = request(desk, cart)
    assert payment.amount_minor == 2600
    assert desk.balance() == (1000, 1000)
    with pytest.raises(intents.PaymentUnderWay):
        use(desk, cart)
    (aside,) = Payment.objects.filter(method="balance")
    with pytest.raises(intents.PaymentUnderWay):
        tenders.undo(business=desk.business, payment_id=aside.id, now=timezone.now(), actor="staff 1")
    end(payment, "cancelled")
    cart.refresh_from_db()
    aside.refresh_from_db()
    assert (cart.state, cart.committed_minor, aside.state) == ("open", 0, "cancelled")
    assert desk.balance() == (1000, 0)
    assert desk.kinds() == ["adjusted", "reserved", "released"]
    assert request(desk, cart).amount_minor == 2600  # the next try sets aside anew
    books_are_right()


def request(desk: Desk, cart: Cart, **rest: Any) -> Payment:
    given: dict[str, Any] = {
        "business": desk.business,
        "token": cart.token,
        "form_token": uuid.uuid4().hex,
        "expected_total_minor": total_of(cart),
        "payer_key": "key-of-the-tests",
        "now": timezone.now(),
        "payer": desk.customer,
    }
    return intents.request(**(given | rest)).payment


def end(payment: Payment, state: str, **facts: Any) -> None:
    """Let Stripe say what became of a payment."""
    from web.payments.money import Money
    from web.payments.snapshots import IntentSnapshot, Source
    from web.payments.states import PaymentState

    amount = Money(payment.amount_minor, payment.currency)
    settling.settle(
        account_id=payment.account_id or 0,
        snapshot=IntentSnapshot(
            intent_id=f"pi_{payment.id}",
            state=PaymentState(state),
            amount=amount,
            amount_received=amount if state == "succeeded" else None,
            source=Source.READ,
            occurred_at=None,
            payment_public_id=str(payment.public_id),
            **facts,
        ),
        now=timezone.now(),
    )


def test_balance_and_card_online_are_one_order(desk: Desk) -> None:
    desk.has(usd(1000))
    desk.has(1)
    cart = desk.cart(desk.drop_in, desk.shop.item)
    tenders.choose(
        business=desk.business, token=cart.token, payer=desk.customer, uses_balance=True, uses_credits=True
    )
    payment = request(desk, cart, expected_due_minor=2600)
    end(payment, "succeeded")
    order = Order.objects.get()
    assert sorted(order.payments.values_list("method", "amount_minor", "state")) == [
        ("balance", 1000, "succeeded"),
        ("credits", 2000, "succeeded"),
        ("online", 2600, "succeeded"),
    ]
    end(payment, "succeeded")  # the same news again
    assert (desk.balance(), desk.balance(Ledger.CREDITS)) == ((0, 0), (0, 0))
    assert Order.objects.count() == 1
    books_are_right()


def test_nobody_elses_balance(desk: Desk) -> None:
    desk.has(usd(1000))
    cart = desk.cart()
    other = ProfileFactory.create(business=desk.business)
    for payer in (None, other, ProfileFactory.create()):
        with pytest.raises(tenders.NotTheirLedger):
            tenders.choose(business=desk.business, token=cart.token, payer=payer, uses_balance=True)
    tenders.choose(business=desk.business, token=cart.token, payer=desk.customer, uses_balance=True)
    # Somebody else who holds the link pays all of it with their own card.
    assert request(desk, cart, payer=other).amount_minor == 3600
    assert desk.balance() == (1000, 0)
    guest = desk.shop.cart()
    with pytest.raises(ledgers.NobodysLedger):
        tenders.choose(business=desk.business, token=guest.token, payer=desk.staff, uses_balance=True)


def test_a_total_that_the_page_did_not_show_is_refused_and_nothing_is_set_aside(desk: Desk) -> None:
    desk.has(usd(1000))
    cart = desk.cart()
    tenders.choose(business=desk.business, token=cart.token, payer=desk.customer, uses_balance=True)
    desk.adjust(usd(-400))
    with pytest.raises(intents.TotalChanged) as caught:
        request(desk, cart, expected_due_minor=2600)
    assert caught.value.details["due"] == usd(3000)
    cart.refresh_from_db()
    assert (cart.state, desk.balance(), Payment.objects.count()) == ("open", (600, 0), 0)


def test_a_rest_too_small_for_a_card_leaves_some_balance(desk: Desk) -> None:
    desk.has(usd(3590))
    cart = desk.cart()
    tenders.choose(business=desk.business, token=cart.token, payer=desk.customer, uses_balance=True)
    assert request(desk, cart).amount_minor == 50
    assert desk.balance() == (3590, 3550)


def test_undoing_what_was_set_aside(desk: Desk) -> None:
    desk.has(usd(1000))
    desk.has(1)
    cart = desk.cart(desk.drop_in)
    credit = use(desk, cart, Ledger.CREDITS, form_token="form-of-the-credits")
    assert credit.order is not None
    cart = desk.cart(desk.drop_in, desk.shop.item)
    money = use(desk, cart, amount=usd(700)).payments[0]
    undone = tenders.undo(business=desk.business, payment_id=money.id, now=timezone.now(), actor="staff 1")
    assert undone.state == "cancelled"
    assert tenders.undo(business=desk.business, payment_id=money.id, now=timezone.now(), actor="x") == undone
    cart.refresh_from_db()
    assert (cart.state, desk.balance()) == ("open", (1000, 0))
    with pytest.raises(tenders.NotReserved):
        tenders.undo(business=Shop.make().business, payment_id=money.id, now=timezone.now(), actor="staff 1")


def test_a_cart_with_cash_on_it_is_not_released(desk: Desk) -> None:
    desk.has(usd(1000))
    cart = desk.cart()
    money = use(desk, cart).payments[0]
    take(desk, cart, amount=usd(600))
    card = request(desk, cart)
    end(card, "cancelled")
    cart.refresh_from_db()
    assert (cart.state, cart.committed_minor, desk.balance()) == ("frozen", 1600, (1000, 1000))
    tenders.undo(business=desk.business, payment_id=money.id, now=timezone.now(), actor="staff 1")
    cart.refresh_from_db()
    assert (cart.state, cart.committed_minor, desk.balance()) == ("frozen", 600, (1000, 0))
    assert tenders.release_forgotten(limit=10, now=timezone.now() + DAY) == 0


def test_what_a_forgotten_sale_had_set_aside_comes_back(desk: Desk) -> None:
    desk.has(usd(1000))
    cart = desk.cart()
    use(desk, cart)
    assert tenders.release_forgotten(limit=10, now=timezone.now()) == 0
    assert tenders.release_forgotten(limit=10, now=timezone.now() + DAY) == 1
    cart.refresh_from_db()
    assert (cart.state, desk.balance()) == ("open", (1000, 0))


def test_the_same_form_uses_and_takes_once(desk: Desk) -> None:
    desk.has(usd(1000))
    cart = desk.cart()
    first = use(desk, cart, form_token="form-of-the-balance")
    again = use(desk, cart, form_token="form-of-the-balance")
    assert (again.payments, again.due) == (first.payments, usd(2600))
    part = take(desk, cart, amount=usd(100), form_token="form-of-the-cash-1")
    assert take(desk, cart, amount=usd(100), form_token="form-of-the-cash-1") == part
    whole = take(desk, cart, form_token="form-of-the-cash-2")
    assert take(desk, cart, form_token="form-of-the-cash-2", expected_total_minor=3600).order == whole.order
    assert Payment.objects.count() == 3
    with pytest.raises(desk_operations.BadTender):
        take(desk, desk.cart(), amount=usd(3601))
    with pytest.raises(desk_operations.BadTender):
        take(desk, desk.cart(), amount=usd(0))


def test_already_paid_elsewhere_says_where(desk: Desk) -> None:
    cart = desk.cart()
    with pytest.raises(desk_operations.NoteMissing):
        take(desk, cart, method=Method.ALREADY_PAID)
    order = take(desk, cart, method=Method.ALREADY_PAID, note="ClassPass 4711").order
    assert order is not None
    assert order.payments.get().note == "ClassPass 4711"


# --- buying, refunding ------------------------------------------------------------------------------


def sold(desk: Desk, *items: Any, **rest: Any) -> Order:
    order = take(desk, desk.cart(*items, **rest)).order
    assert order is not None
    return order


@transaction.atomic
def refund_of(order: Order, amount: int, destination: str = "method") -> Refund:
    payment = order.payments.get()
    now = timezone.now()
    payment.refunded_minor += amount
    payment.save(update_fields=["refunded_minor"])
    return Refund.objects.create(
        business=order.business, payment=payment, amount_minor=amount, currency="usd", reason="sorry",
        destination=destination, state_changed_at=now, created_at=now, form_token=uuid.uuid4().hex,
    )  # fmt: skip


def test_passes_and_gift_cards_credit_their_buyer(desk: Desk) -> None:
    now = timezone.now()
    sold(desk, desk.passes, desk.card, quantity=2)
    assert desk.balance(Ledger.CREDITS) == (20, 0)
    assert desk.balance() == (10000, 0)
    ends = LedgerLot.objects.get(balance__ledger="credits").expires_at
    assert ends is not None
    assert abs(ends - now - 90 * DAY) < datetime.timedelta(minutes=5)
    has = stored(desk.customer.id, "usd", now=now)
    assert (has.credits, has.ending_credits, has.credits_end_at) == (20, 20, ends)
    books_are_right()


def test_a_guests_pass_waits_to_be_claimed_once(desk: Desk) -> None:
    cart = desk.shop.cart()
    from web.payments.operations import carts

    carts.set_quantity(business=desk.business, token=cart.token, item_id=desk.passes.id, quantity=1)
    order = take(desk, cart).order
    assert order is not None
    assert not LedgerEntry.objects.exists()
    line = order.lines.get(gives_credits=10)

    def claim(business: Any = desk.business) -> None:
        ledgers.claim(
            business=business,
            line_id=line.id,
            customer_id=desk.customer.id,
            now=timezone.now(),
            staff=desk.staff,
        )

    with pytest.raises(ledgers.CustomerNotFound):
        claim(Shop.make().business)
    claim()
    with pytest.raises(ledgers.NothingToClaim):
        claim()
    assert desk.balance(Ledger.CREDITS) == (10, 0)


def test_a_refund_takes_back_only_what_is_unspent(desk: Desk) -> None:
    order = sold(desk, desk.passes, desk.card)
    use(desk, desk.cart(desk.lesson), Ledger.CREDITS)
    desk.has(50)  # others are not touched
    refund = refund_of(order, 23000)
    told = {part.ledger: (part.amount, part.spent) for part in ledger_refunds.unspent(order)}
    taken = ledger_refunds.take_back(order=order, refund=refund, now=timezone.now(), actor="staff 1")
    assert {part.ledger: (part.amount, part.spent) for part in taken} == told
    assert told == {"credits": (7, 3), "money": (5000, 0)}
    assert desk.balance(Ledger.CREDITS) == (50, 0)
    assert desk.balance() == (0, 0)
    assert ledger_refunds.take_back(order=order, refund=refund, now=timezone.now(), actor="staff 1") == []
    assert ledger_refunds.put_back(refund=refund, now=timezone.now(), actor="worker") == 2
    assert ledger_refunds.put_back(refund=refund, now=timezone.now(), actor="worker") == 0
    assert desk.balance(Ledger.CREDITS) == (57, 0)
    books_are_right()


def test_a_refund_of_a_part_takes_back_a_part_rounded_up(desk: Desk) -> None:
    order = sold(desk, desk.passes)
    line = order.lines.get()
    taken = ledger_refunds.take_back(
        order=order,
        refund=refund_of(order, 6000),
        shares={line.id: Fraction(1, 3)},
        now=timezone.now(),
        actor="staff 1",
    )
    assert [(part.amount, part.spent) for part in taken] == [(4, 0)]
    assert desk.balance(Ledger.CREDITS) == (6, 0)


def test_a_refund_goes_to_the_balance_or_becomes_credits_once(desk: Desk) -> None:
    order = sold(desk)
    refund = refund_of(order, 1200, "balance")
    entry = ledger_refunds.credit(refund=refund, now=timezone.now(), actor="staff 1")
    assert entry is not None
    assert ledger_refunds.credit(refund=refund, now=timezone.now(), actor="staff 1") == entry
    assert desk.balance() == (1200, 0)
    Refund.objects.update(state="cancelled")
    Payment.objects.update(refunded_minor=0)
    other = refund_of(order, 600, "credits")
    with pytest.raises(ledgers.BadAdjustment):
        ledger_refunds.credit(refund=other, units=0, now=timezone.now(), actor="staff 1")
    ledger_refunds.credit(refund=other, units=2, now=timezone.now(), actor="staff 1")
    assert desk.balance(Ledger.CREDITS) == (2, 0)


def test_what_was_paid_by_credits_goes_back_as_credits(desk: Desk) -> None:
    ends = timezone.now() + DAY
    desk.has(3, expires_at=ends)
    covered = use(desk, desk.cart(desk.lesson), Ledger.CREDITS)
    assert covered.order is not None
    refund = refund_of(covered.order, 9500)
    now = timezone.now()
    ledger_refunds.credit(refund=refund, now=now, actor="staff 1")
    lot = LedgerLot.objects.order_by("-id")[0]
    assert (lot.amount, lot.expires_at) == (3, now + ledger_refunds.GRACE)  # a day would be of no use
    assert ledger_refunds.credits_of(refund.payment, 9500) == 3


# --- time -------------------------------------------------------------------------------------------


def test_what_ends_soonest_is_spent_first_and_what_has_ended_not_at_all(desk: Desk) -> None:
    now = timezone.now()
    desk.has(5)
    desk.has(2, expires_at=now + 2 * DAY)
    desk.has(1, expires_at=now + DAY)
    use(desk, desk.cart(desk.drop_in, quantity=2), Ledger.CREDITS)
    left = {lot.amount: lot.left for lot in LedgerLot.objects.all()}
    assert left == {5: 5, 2: 1, 1: 0}
    later = now + 3 * DAY
    assert stored(desk.customer.id, "usd", now=later).credits == 5
    cart = desk.cart(desk.drop_in, quantity=6)
    assert use(desk, cart, Ledger.CREDITS, now=later).due == usd(2000)
    assert desk.kinds(Ledger.CREDITS)[-2:] == ["expired", "reserved"]
    books_are_right()


def test_the_sweep_expires_once_and_not_what_is_set_aside(desk: Desk) -> None:
    now = timezone.now()
    desk.has(3, expires_at=now + DAY)
    desk.has(usd(700), expires_at=now + DAY)
    cart = desk.cart(desk.drop_in, desk.shop.item)
    use(desk, cart, Ledger.CREDITS)
    assert ledgers.expire_due(limit=10, now=now) == 0
    assert ledgers.expire_due(limit=10, now=now + 2 * DAY) == 2
    assert ledgers.expire_due(limit=10, now=now + 2 * DAY) == 0
    assert (desk.balance(Ledger.CREDITS), desk.balance()) == ((1, 1), (0, 0))
    tenders.release_forgotten(limit=10, now=now + 2 * DAY)
    assert desk.balance(Ledger.CREDITS) == (1, 0)
    assert ledgers.expire_due(limit=10, now=now + 2 * DAY) == 1
    assert desk.balance(Ledger.CREDITS) == (0, 0)
    books_are_right()


# --- races, on PostgreSQL ---------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_two_tills_spend_the_last_credit_once() -> None:
    desk = Desk(Shop.make())
    desk.has(1)
    desk.has(usd(2000))
    carts = [desk.cart(desk.drop_in) for _ in range(3)]
    calls = [lambda cart=cart: use(desk, cart, Ledger.CREDITS) for cart in carts]
    assert at_once(*calls) == ["CreditsInsufficient"] * 2 + ["done"]
    rest = [cart for cart in carts if Cart.objects.filter(id=cart.id).exists()]
    assert len(rest) == 2
    assert at_once(*[lambda cart=cart: use(desk, cart) for cart in rest]) == ["BalanceInsufficient", "done"]
    assert (desk.balance(), desk.balance(Ledger.CREDITS)) == ((0, 0), (0, 0))
    assert Order.objects.count() == 2
    books_are_right()


@pytest.mark.django_db(transaction=True)
def test_everything_at_once_deadlocks_nowhere() -> None:
    desk = Desk(Shop.make())
    order = sold(desk, desk.passes, desk.card)
    refund = refund_of(order, 23000)
    now = timezone.now()

    def both() -> None:
        cart = desk.cart(desk.drop_in, desk.shop.item)
        tenders.choose(
            business=desk.business, token=cart.token, payer=desk.staff, uses_balance=True, uses_credits=True
        )
        take(desk, cart)

    outcomes = at_once(
        both,
        both,
        lambda: sold(desk, desk.card, desk.passes),
        lambda: desk.has(usd(100), form_token="the-same-form-twice"),
        lambda: desk.has(usd(100), form_token="the-same-form-twice"),
        lambda: ledger_refunds.take_back(order=order, refund=refund, now=now, actor="staff 1"),
        lambda: ledgers.expire_due(limit=10, now=now + 365 * DAY),
    )
    assert outcomes == ["done"] * 7
    assert LedgerEntry.objects.filter(form_token="the-same-form-twice").count() == 1
    books_are_right()


# --- the database by itself -------------------------------------------------------------------------


def refused(name: str, sql: str, *values: int) -> None:
    def try_it() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql, values)
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

    with pytest.raises(DatabaseError, match=name):
        try_it()


def test_the_database_guards_the_ledgers(desk: Desk) -> None:
    desk.has(usd(1000))
    desk.adjust(usd(-300))
    balance = LedgerBalance.objects.get(ledger="money")
    entry = """
        INSERT INTO payments_ledgerentry (balance_id, business_id, number, kind, amount, reserved, amount_after,
                                          reserved_after, reason, actor, lots, at)
        VALUES (%s, %s, %s, 'adjusted', %s, 0, %s, 0, 'r', 'a', '{}', now())
    """
    here = (balance.id, desk.business.id)
    refused("changes by its entries", "UPDATE payments_ledgerbalance SET amount = amount + 1")
    refused("changes by its entries", "UPDATE payments_ledgerbalance SET currency = 'eur'")
    refused("this record is kept", "UPDATE payments_ledgerentry SET amount = 1")
    refused("this record is kept", "DELETE FROM payments_ledgerentry")
    refused("this record is kept", "DELETE FROM payments_ledgerbalance")
    refused("this record is kept", "DELETE FROM payments_ledgerlot")
    refused("is as it came", "UPDATE payments_ledgerlot SET amount = 2000")
    refused("is free", "UPDATE payments_ledgerlot SET taken = taken + 1")
    refused("no_more_goes_from_a_lot_than_came", "UPDATE payments_ledgerlot SET taken = 1001")
    refused("a_balance_is_never_below_zero", entry, *here, 3, -701, -1)
    refused("does not continue the one before it", entry, *here, 3, 5, 706)
    refused("does not continue the one before it", entry, *here, 4, 5, 705)
    refused("does not continue", entry, balance.id, Shop.make().business.id, 3, 5, 705)
    refused("is free", entry, *here, 3, 5, 705)  # right in itself, but in no lot
    refused("an_entry_changes_what_its_kind_says", entry, *here, 3, 0, 700)
    books_are_right()


def test_a_person_who_is_erased_leaves_the_books(desk: Desk) -> None:
    desk.has(usd(1000))
    cart = desk.cart()
    payment = use(desk, cart).payments[0]
    desk.customer.delete()
    tenders.undo(business=desk.business, payment_id=payment.id, now=timezone.now(), actor="staff 1")
    balance = LedgerBalance.objects.get(ledger="money")
    assert (balance.customer_id, balance.amount, balance.reserved) == (None, 1000, 0)


def test_what_an_item_gives_ends_on_a_day_that_there_is(desk: Desk) -> None:
    for days in (0, 36_501):
        with pytest.raises(DatabaseError, match="lasts_a_day_to_a_hundred_years"), transaction.atomic():
            type(desk.passes).objects.filter(id=desk.passes.id).update(gives_days=days)
    type(desk.passes).objects.filter(id=desk.passes.id).update(gives_days=36_500)
    desk.passes.refresh_from_db()
    sold(desk, desk.passes)
    assert desk.balance(Ledger.CREDITS) == (10, 0)
