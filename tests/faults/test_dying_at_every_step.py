"""A sale in which one process dies at the n-th step, for every n: the rest carry on, and the books agree.

Steps are statements, commits (before, and after with the answer lost), and the lines around each call of
Stripe. Between two steps nothing can be lost, so this is every place at which a process can die.
`make faults` goes through all of them; `make test` takes each `PAYDESK_FAULT_STRIDE`-th, another lot each day.
"""

from __future__ import annotations

import datetime
import os
import time
import uuid
from collections.abc import Callable

import psycopg
import pytest
import stripe
from django.db import connection
from django.utils import timezone
from psycopg.rows import dict_row

from stack import books
from tasks import relay
from tasks.webhooks import drain_inbox
from tests.faults.mortal import Mortal
from tests.integration.conftest import AtStripe
from tests.integration.tasks.test_sale import store
from tests.shop import claim
from web.payments.jobs import QUEUES
from web.payments.models import Cart, InboxEvent, Job, Order, Payment, Refund
from web.payments.operations import intents, refunds
from web.payments.operations.refund_shares import Whole

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(1200), pytest.mark.slow]
Make = Callable[..., AtStripe]
STRIDE = int(os.environ.get("PAYDESK_FAULT_STRIDE", "220"))
MOST_ROUNDS = 40


class Sale:
    """One sale and everybody who has a hand in it; each does its part as a process that may die."""

    def __init__(self, at: AtStripe, mortal: Mortal) -> None:
        self.at, self.mortal = at, mortal
        self.cart = at.shop.cart()
        self.reference = self.cart.reference
        self.form = uuid.uuid4().hex
        self.delivered: set[str] = set()

    @property
    def payment(self) -> Payment:
        return Payment.objects.get(cart_reference=self.reference)

    def until_done(self, act: Callable[[], object]) -> None:
        """Act as a browser or as Stripe's sender does: no answer, once more."""
        while True:
            is_answered = False
            with self.mortal.living():
                act()
                is_answered = True
            self.mortal.is_dead = False
            if is_answered:
                return

    def asks(self, form: str | None = None) -> None:
        """Press Pay."""
        cart = Cart.objects.get(reference=self.reference)
        self.until_done(lambda: self.at.shop.request(cart, form_token=form or self.form))

    def cancels(self) -> None:
        payment_id = self.payment.id
        self.until_done(
            lambda: intents.request_cancel(payment_id=payment_id, now=timezone.now(), actor="customer")
        )

    def comes_back(self) -> None:
        """Return to the page, which asks for a read."""
        payment_id = self.payment.id
        self.until_done(lambda: intents.request_read(payment_id=payment_id, now=timezone.now()))

    def pays(self, card: str = "pm_card_visa") -> None:
        """Give the card to Stripe; nothing of ours takes part."""
        try:
            self.at.pay(self.payment, card)
        except stripe.CardError:
            assert card != "pm_card_visa"

    def hears(self) -> None:
        """Receive what Stripe tells, each event until it is answered."""
        for event in self.at.events():
            if event["id"] not in self.delivered:
                self.until_done(lambda event=event: store(self.at, event))  # type: ignore[misc]
                self.delivered.add(event["id"])

    def gives_back(self, form: str = "the form of the refund") -> None:
        """Ask for the whole payment to be refunded."""
        business = self.at.shop.business
        self.until_done(
            lambda: refunds.request(
                business=business,
                reference=self.reference,
                share=Whole(),
                reason="class cancelled",
                form_token=f"{form} {self.reference}"[:64],
                now=timezone.now(),
                staff=None,
            )
        )

    def works(self) -> None:
        """Let workers do what there is, until nothing is left; a dead one is followed by another."""
        for _ in range(MOST_ROUNDS):
            with self.mortal.living():
                if not self._one_round():
                    return
            self.mortal.is_dead = False
            _let_time_pass()
        pytest.fail(f"never quiet: {list(Job.objects.exclude(state='done').values())}")

    def _one_round(self) -> bool:
        applied = drain_inbox().done
        leases = [lease for queue in QUEUES for lease in claim(queue)]
        for lease in leases:
            relay.run(lease)
        return bool(applied or leases)

    def ends(self) -> None:
        """Bring it to its end: Stripe sends what was not heard, silent payments are looked at, all is done."""
        for _ in range(3):
            self.hears()
            self.works()
            Payment.objects.filter(next_check_at__isnull=False).update(next_check_at=timezone.now())
            intents.check_again(limit=100, now=timezone.now())
            self.works()


def _let_time_pass() -> None:
    now = timezone.now()
    Job.objects.filter(state="running").update(leased_until=now - datetime.timedelta(seconds=1))
    Job.objects.filter(state="waiting").update(due_at=now)
    InboxEvent.objects.filter(state="received").update(due_at=now)


# --- what happens -----------------------------------------------------------------------------------


def buys(sale: Sale) -> None:
    sale.asks()
    sale.works()
    sale.pays()
    sale.comes_back()
    sale.hears()
    sale.works()


def is_declined_first(sale: Sale) -> None:
    sale.asks()
    sale.works()
    sale.pays("pm_card_visa_chargeDeclined")
    sale.hears()
    sale.works()
    sale.asks(form=uuid.uuid4().hex)
    sale.pays()
    sale.hears()
    sale.works()


def cancels(sale: Sale) -> None:
    sale.asks()
    sale.works()
    sale.cancels()
    sale.works()
    sale.hears()
    sale.works()


def cancels_too_late(sale: Sale) -> None:
    sale.asks()
    sale.works()
    sale.cancels()
    sale.pays()
    sale.works()
    sale.hears()
    sale.works()


def cancels_while_it_is_made(sale: Sale) -> None:
    sale.asks()
    sale.cancels()
    sale.works()


def cancels_and_pays_again(sale: Sale) -> None:
    """Cancel, change the amount, pay with a new form: a new key, never the old one with other parameters."""
    sale.asks()
    sale.works()
    sale.cancels()
    sale.works()
    sale.asks(form=sale.form + "2")
    sale.works()


def buys_while_answers_are_lost(sale: Sale) -> None:
    sale.at.fault("reset_after", match={"method": "POST"}, times=1)
    sale.asks()
    sale.works()
    sale.pays()
    sale.hears()
    sale.works()


def gives_back(sale: Sale) -> None:
    with sale.mortal.spared():
        buys(sale)
    sale.gives_back()
    sale.works()
    sale.hears()
    sale.works()


def gives_back_while_answers_are_lost(sale: Sale) -> None:
    with sale.mortal.spared():
        buys(sale)
    sale.at.fault("reset_after", match={"method": "POST"}, times=1)
    sale.gives_back()
    sale.works()
    sale.hears()
    sale.works()


def ended_given_back(sale: Sale) -> None:
    ended_as_one_order(sale)
    (refund,) = Refund.objects.filter(payment=sale.payment)
    assert (refund.state, refund.amount_minor) == ("succeeded", sale.payment.amount_minor)
    given = [one for one in sale.at.books()["refunds"] if one["status"] == "succeeded"]
    assert [one["amount"] for one in given] == [refund.amount_minor]


def ended_as_one_order(sale: Sale) -> None:
    order = Order.objects.get(cart_reference=sale.reference)
    payment = sale.payment
    assert (payment.state, payment.order_id) == ("succeeded", order.id)
    charges = [one for one in sale.at.books()["charges"] if one["payment_intent"] == payment.intent_id]
    assert [one["amount"] for one in charges if one["status"] == "succeeded"] == [order.total_minor]


def ended_without_money(sale: Sale) -> None:
    assert sale.payment.state == "cancelled"
    assert Cart.objects.get(reference=sale.reference).state == "open"
    assert not Order.objects.filter(cart_reference=sale.reference).exists()


def ended_waiting_for_the_customer(sale: Sale) -> None:
    states = (
        Payment.objects.filter(cart_reference=sale.reference).order_by("id").values_list("state", flat=True)
    )
    assert list(states) == ["cancelled", "awaiting"]


STORIES = [
    (buys, ended_as_one_order),
    (is_declined_first, ended_as_one_order),
    (cancels, ended_without_money),
    (cancels_too_late, ended_as_one_order),
    (cancels_while_it_is_made, ended_without_money),
    (cancels_and_pays_again, ended_waiting_for_the_customer),
    (buys_while_answers_are_lost, ended_as_one_order),
    (gives_back, ended_given_back),
    (gives_back_while_answers_are_lost, ended_given_back),
]


@pytest.mark.parametrize(("story", "end"), STORIES, ids=[story.__name__ for story, _end in STORIES])
@pytest.mark.parametrize("is_cut", [False, True], ids=["dies", "is cut off"])
def test_dying_at_every_step(
    at_stripe: Make, story: Callable[[Sale], None], end: Callable[[Sale], None], is_cut: bool
) -> None:
    """Let a process die at the n-th step, or lose its connection there and live on."""
    steps = play(at_stripe(), story, end, dies_at=None)
    assert steps > 20
    lot = int(time.time() // 86_400) + is_cut * STRIDE // 2
    first = 1 + lot % min(STRIDE, steps)  # at least one death, however short the story
    for dies_at in range(first, steps + 1, STRIDE):
        play(at_stripe(), story, end, dies_at=dies_at, is_cut=is_cut)


def play(
    at: AtStripe,
    story: Callable[[Sale], None],
    end: Callable[[Sale], None],
    *,
    dies_at: int | None,
    is_cut: bool = False,
) -> int:
    """Play a story in which somebody dies at a step; assert its end and the books; return how many steps it had."""
    mortal = Mortal(dies_at, is_cut=is_cut)
    sale = Sale(at, mortal)
    died = ""
    try:
        story(sale)
        steps = mortal.steps
        died = f"died at step {dies_at}: {mortal.last_step}"
        sale.ends()
        end(sale)
        assert discrepancies(at) == []
    except Exception as error:
        raise AssertionError(f"{story.__name__}, {died}") from error
    if dies_at is not None:
        assert mortal.last_step, "nobody died"
    return steps


def discrepancies(at: AtStripe) -> list[books.Discrepancy]:
    """Return what the books say, by the test's own database."""
    with psycopg.connect(database_url(), row_factory=dict_row) as own:
        return books.compare(own, {str(at.shop.account.account_id): at.books()})


def database_url() -> str:
    """Return how psycopg reaches the test's database."""
    given = connection.get_connection_params()
    wanted = ("host", "port", "user", "password", "dbname")
    return psycopg.conninfo.make_conninfo(**{name: given[name] for name in wanted if given.get(name)})
