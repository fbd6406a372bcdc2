"""Carts, payments, refunds and both ledgers, in whatever order people do things: the books are right after each.

Hypothesis chooses the steps. Few of them here; `make fuzz` takes its time. What is refused is refused by a type that
was meant (a Refusal); whatever else comes out of an operation, or a constraint of the database, fails.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet, Sum
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.giving_back import ask, paid_by_card, succeed, tell, told
from tests.integration.access.asking import undone
from tests.long import IS_LONG
from tests.shop import Shop
from tests.stored import Desk, books_are_right, usd
from web.payments.errors import Refusal
from web.payments.models import (
    Cart,
    Ledger,
    Method,
    Order,
    OrderLine,
    Payment,
    PaymentEvent,
    Refund,
    RefundLine,
)
from web.payments.operations import desk, ledgers, refunds, tenders
from web.payments.operations.refund_shares import Items, Part, Percent, Share, Whole
from web.payments.queries import copies
from web.payments.queries.quotes import quote
from web.payments.states import LIVE, PaymentState, RefundState

pytestmark = pytest.mark.django_db
RUNS, STEPS = (int(os.environ.get("PAYDESK_FUZZ_RUNS", "400")), 40) if IS_LONG else (6, 25)
GONE = (RefundState.FAILED, RefundState.CANCELLED)


happened: Counter[str] = Counter()  # over all runs: steps that were not refused


def _token() -> str:
    return uuid.uuid4().hex


def _total(rows: QuerySet[Any], column: str = "amount_minor") -> int:
    return int(rows.aggregate(total=Sum(column, default=0))["total"])


class Studio(RuleBasedStateMachine):
    """A shop, one customer who comes again and again, and everybody who may touch their money."""

    def __init__(self) -> None:
        super().__init__()
        self.block = undone()
        self.block.__enter__()

    def teardown(self) -> None:
        self.block.__exit__(None, None, None)

    @initialize()
    def opens(self) -> None:
        self.shop = Shop.make()
        self.desk = Desk(self.shop)
        self.things = [self.shop.item, self.desk.lesson, self.desk.drop_in, self.desk.passes, self.desk.card]
        for quantity in (1, 2):  # there is something to give back from the first step on
            payment = paid_by_card(
                self.shop, self.desk.cart(self.shop.item, self.desk.card, quantity=quantity)
            )
            ask(payment, Part(usd(1_000 * quantity)))
        self.desk.has(usd(4_000))
        self.told: dict[Any, int] = {}

    # --- what is there to be touched ---

    def carts(self) -> list[Cart]:
        return list(Cart.objects.filter(business=self.shop.business).order_by("id"))

    def payments(self, **which: Any) -> list[Payment]:
        return list(Payment.objects.filter(business=self.shop.business, **which).order_by("id"))

    def tried(self, act: Callable[[], object]) -> None:
        """Do something that may be refused, in words that were meant."""
        with contextlib.suppress(Refusal):
            act()
            happened[sys._getframe(1).f_code.co_name] += 1

    # --- steps ---

    @rule(which=st.lists(st.integers(0, 4), min_size=1, max_size=3), quantity=st.integers(1, 3))
    def fills_a_cart(self, which: list[int], quantity: int) -> None:
        self.tried(lambda: self.desk.cart(*(self.things[one] for one in which), quantity=quantity))

    @rule(data=st.data(), method=st.sampled_from((Method.CASH, Method.ALREADY_PAID, Method.COMPLIMENTARY)),
          part=st.one_of(st.none(), st.integers(1, 20_000)))  # fmt: skip
    def pays_at_the_desk(self, data: st.DataObject, method: Method, part: int | None) -> None:
        if open_ := self.carts():
            cart = data.draw(st.sampled_from(open_))
            self.tried(lambda: desk.take(
                business=self.shop.business, token=cart.token, method=method, form_token=_token(),
                expected_total_minor=quote(cart).totals.total.amount, now=timezone.now(), staff=self.desk.staff,
                note="of the tests", amount=None if part is None else usd(part),
            ))  # fmt: skip

    @rule(data=st.data())
    def asks_to_pay_online(self, data: st.DataObject) -> None:
        if open_ := self.carts():
            cart = data.draw(st.sampled_from(open_))
            self.tried(lambda: self.shop.request(cart))

    @rule(data=st.data(), state=st.sampled_from((
        PaymentState.SUCCEEDED, PaymentState.SUCCEEDED, PaymentState.AWAITING, PaymentState.CANCELLED)))  # fmt: skip
    def stripe_tells_of_a_payment(self, data: st.DataObject, state: PaymentState) -> None:
        """In any order, of any payment, again and again."""
        if known := self.payments(account__isnull=False):
            payment = data.draw(st.sampled_from(known))
            if state == PaymentState.SUCCEEDED:
                succeed(payment)
            else:
                told(payment, state)

    @rule(data=st.data(), ledger=st.sampled_from(Ledger), part=st.one_of(st.none(), st.integers(1, 6)))
    def uses_what_is_stored(self, data: st.DataObject, ledger: Ledger, part: int | None) -> None:
        if open_ := self.carts():
            cart = data.draw(st.sampled_from(open_))
            much = (
                {}
                if part is None
                else {"amount": usd(part * 700)}
                if ledger == Ledger.MONEY
                else {"units": part}
            )
            self.tried(lambda: tenders.use(
                business=self.shop.business, token=cart.token, ledger=ledger, form_token=_token(),
                expected_total_minor=quote(cart).totals.total.amount, now=timezone.now(), staff=self.desk.staff, **much,
            ))  # fmt: skip

    @rule(data=st.data())
    def takes_back_what_was_set_aside(self, data: st.DataObject) -> None:
        if known := self.payments(method__in=(Method.BALANCE, Method.CREDITS)):
            payment = data.draw(st.sampled_from(known))
            self.tried(lambda: tenders.undo(
                business=self.shop.business, payment_id=payment.id, now=timezone.now(), actor="staff 1"
            ))  # fmt: skip

    @rule(change=st.one_of(st.integers(-9_000, 9_000).map(usd), st.integers(-5, 9)))
    def changes_a_balance(self, change: Any) -> None:
        self.tried(lambda: self.desk.adjust(change))

    @rule(data=st.data(), share=st.one_of(
        st.just(Whole()), st.integers(1, 9_000).map(lambda amount: Part(usd(amount))),
        st.decimals("0.01", "100", places=2).map(Percent)), where=st.sampled_from(Refund.Destination))  # fmt: skip
    def gives_back(self, data: st.DataObject, share: Share, where: Refund.Destination) -> None:
        orders = list(Order.objects.filter(business=self.shop.business).order_by("id"))
        if not orders:
            return
        order = data.draw(st.sampled_from(orders))
        if data.draw(st.booleans()):
            line = data.draw(st.sampled_from(list(order.lines.order_by("id"))))
            share = Items({line.id: data.draw(st.integers(1, line.quantity))})
        units = data.draw(st.integers(1, 9)) if where == Refund.Destination.CREDITS else None
        self.tried(lambda: refunds.request(
            business=self.shop.business, reference=order.cart_reference, share=share, reason="of the tests",
            form_token=_token(), destination=where, units=units, staff=self.desk.staff, now=timezone.now(),
        ))  # fmt: skip

    @rule(
        data=st.data(),
        state=st.sampled_from((RefundState.SUCCEEDED, RefundState.FAILED, RefundState.PENDING)),
    )
    def stripe_tells_of_a_refund(self, data: st.DataObject, state: RefundState) -> None:
        known = list(
            Refund.objects.filter(business=self.shop.business, payment__account__isnull=False).order_by("id")
        )
        if known:
            refund = data.draw(st.sampled_from(known))
            tell(
                refund.payment, state, refund=str(refund.public_id),
                stripe_id=refund.stripe_refund_id or "", amount=refund.amount_minor,
            )  # fmt: skip

    @rule(data=st.data())
    def somebody_refunds_in_stripes_dashboard(self, data: st.DataObject) -> None:
        if known := self.payments(account__isnull=False, amount_received_minor__gt=0):
            payment = data.draw(st.sampled_from(known))
            most = payment.amount_received_minor - payment.returned_minor
            if most > 0:
                amount = data.draw(st.integers(1, most))
                tell(payment, RefundState.SUCCEEDED, stripe_id=f"re_{_token()}", amount=amount)

    @rule(data=st.data())
    def withdraws_a_refund(self, data: st.DataObject) -> None:
        if known := list(Refund.objects.filter(business=self.shop.business).order_by("id")):
            refund = data.draw(st.sampled_from(known))
            self.tried(lambda: refunds.withdraw(
                business=self.shop.business, refund_public_id=refund.public_id, now=timezone.now(), actor="staff 1"
            ))  # fmt: skip

    @rule(days=st.sampled_from((0, 1, 40, 400)))
    def time_passes(self, days: int) -> None:
        """As far as what ends by itself is concerned."""
        now = timezone.now() + datetime.timedelta(days=days)
        happened["expires"] += ledgers.expire_due(limit=100, now=now)
        happened["releases"] += tenders.release_forgotten(limit=100, now=now)

    # --- what must be true after each ---

    @invariant()
    def the_database_agrees(self) -> None:
        """Its deferred triggers would speak at the end of the transaction only: they are asked now."""
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        assert list(copies.problems()) == []
        books_are_right()

    @invariant()
    def what_went_back_is_what_refunds_say(self) -> None:
        """Of each payment and of each line, counted anew from the refunds that are not undone."""
        for payment in Payment.objects.all():
            alive = Refund.objects.filter(payment=payment).exclude(state__in=GONE)
            assert _total(alive) == payment.refunded_minor + payment.refunded_beyond_minor
            assert _total(alive.filter(state=RefundState.SUCCEEDED)) == payment.returned_minor
            # What goes beyond is Stripe's dashboard's doing: it is kept beside, and never asked for here.
            assert _total(alive.filter(origin=Refund.Origin.PAYDESK)) <= payment.amount_received_minor
        for line in OrderLine.objects.all():
            given = RefundLine.objects.filter(order_line=line).exclude(refund__state__in=GONE)
            sums = given.aggregate(minor=Sum("amount_minor", default=0), number=Sum("quantity", default=0))
            assert (line.refunded_minor, line.refunded_quantity) == (sums["minor"], sums["number"])
            assert line.refunded_quantity <= line.quantity

    @invariant()
    def nobody_is_asked_for_more_than_is_due(self) -> None:
        for cart in Cart.objects.exclude(frozen_total_minor=None):
            under_way = Payment.objects.filter(cart_reference=cart.reference, state__in=LIVE)
            assert _total(under_way) <= (cart.frozen_total_minor or 0)

    @invariant()
    def each_sale_has_one_order_and_it_is_paid(self) -> None:
        for order in Order.objects.all():
            paid = Payment.objects.filter(order=order)
            assert paid.count() > 0
            assert {payment.state for payment in paid} == {PaymentState.SUCCEEDED}
            if not {payment.method for payment in paid} & {
                Method.CREDITS,
                Method.COMPLIMENTARY,
                Method.NO_CHARGE,
            }:
                assert _total(paid, "amount_received_minor") == order.total_minor
        references = list(Order.objects.values_list("cart_reference", flat=True))
        assert len(references) == len(set(references))
        assert not Cart.objects.filter(reference__in=references).exists(), "a cart both open and ordered"

    @invariant()
    def history_only_grows(self) -> None:
        known = dict(PaymentEvent.objects.values_list("id", "payment_id"))
        assert self.told.items() <= known.items() if hasattr(self, "told") else True
        self.told = known


def test_the_books_are_right_whatever_people_do() -> None:
    happened.clear()
    run_state_machine_as_test(
        Studio,
        settings=settings(
            max_examples=RUNS, stateful_step_count=STEPS, deadline=None, derandomize=not IS_LONG,
            suppress_health_check=list(HealthCheck), print_blob=True,
        ),
    )  # fmt: skip
    # A short run sees the usual; a long one also what takes several steps to come to.
    wanted = {"fills_a_cart", "pays_at_the_desk", "asks_to_pay_online", "gives_back", "withdraws_a_refund"}
    if IS_LONG:
        wanted |= {"uses_what_is_stored", "changes_a_balance", "takes_back_what_was_set_aside", "expires"}
    never = wanted - set(+happened)
    assert never == set(), f"refused each time: {never}"
