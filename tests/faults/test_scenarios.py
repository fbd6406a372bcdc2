"""Scenarios that need no process to die: raced, repeated, late or refused, against real servers.

Their numbers are those of docs/reliability.md. Each asserts the exact end, and that the wrong thing did not happen.
"""

from __future__ import annotations

import datetime
import socketserver
import threading
import uuid
from collections.abc import Callable, Iterator

import psycopg
import pytest
from django.core import mail
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import Settings

from tasks import relay
from tasks.intents import create_intent
from tasks.webhooks import drain_inbox
from tests.faults.points import Points
from tests.faults.test_dying_at_every_step import database_url, discrepancies
from tests.integration.conftest import AtStripe
from tests.integration.tasks.test_refunds import asked, at_stripes, disputed, sold, sums
from tests.integration.tasks.test_sale import arrive, awaiting, hurry, paid_in_full, run, run_all_of, store
from tests.shop import Shop, claim, waiting
from web.core import faultpoints
from web.payments.jobs import CREATE_INTENT, SEND_RECEIPT, LeaseLost, Queue, enqueue
from web.payments.models import (
    Attempt,
    Cart,
    InboxEvent,
    Job,
    Order,
    Payment,
    PaymentEvent,
    Receipt,
    Refund,
)
from web.payments.money import Money, UnsupportedCurrency
from web.payments.operations import backlog, carts, inbox, intents, refunds

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., AtStripe]


class Mailbox(socketserver.ThreadingTCPServer):
    """A mail server that answers `replies` to its first messages, then takes all."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, *replies: str) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.replies, self.taken = list(replies), list[str]()


class _Conversation(socketserver.StreamRequestHandler):
    server: Mailbox

    def handle(self) -> None:
        self._say("220 here")
        while line := self.rfile.readline():
            verb = line.split()[0].upper() if line.split() else b""
            if verb == b"DATA":
                self._say("354 go on")
                text = b"".join(iter(self.rfile.readline, b".\r\n")).decode()
                reply = self.server.replies.pop(0) if self.server.replies else "250 taken"
                if reply.startswith("250"):
                    self.server.taken.append(text)
                self._say(reply)
            elif verb == b"QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 yes")

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@pytest.fixture
def mailbox(settings: Settings) -> Iterator[Mailbox]:
    """A mail server that is busy at first."""
    with Mailbox("451 busy", "421 going down") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.server_address[1]
        yield server
        server.shutdown()


def test_scenario_3_the_order_is_made_and_its_mail_fails(at_stripe: Make, mailbox: Mailbox) -> None:
    at = at_stripe()
    payment = awaiting(at)
    at.pay(payment)
    arrive(at)
    for _ in range(2):
        run("send_receipt")
        order = paid_in_full(at)  # the order stays, the cart stays closed
        assert mailbox.taken == []
        assert Receipt.objects.get().sent_at is None
        hurry()
    run("send_receipt")
    assert len(mailbox.taken) == 1
    assert order.number in mailbox.taken[0]
    assert discrepancies(at) == []


def test_scenario_6_an_older_event_after_a_newer_one(at_stripe: Make) -> None:
    at = at_stripe()
    payment = awaiting(at)
    at.pay(payment)
    events = at.events()
    arrive(at, [event for event in events if event["type"] == "payment_intent.succeeded"])
    paid_in_full(at)
    for event in events:  # what came before it comes after it, three times
        for copy in range(3):
            store(at, event, event_id=f"{event['id']}_{copy}")
    drain_inbox()
    paid_in_full(at)
    moves = PaymentEvent.objects.filter(kind="payment.moved").values_list("to_state", flat=True)
    assert list(moves) == ["awaiting", "succeeded"]


def test_scenario_8_a_handler_raises_once_in_a_batch(at_stripe: Make, points: Points) -> None:
    """What a sale's change raised with others is left to try by itself, at once."""
    at = at_stripe()
    payment = awaiting(at)
    at.pay(payment)
    points.arm(faultpoints.ORDER_MADE, "raise")
    arrive(at)
    assert points.was_struck(faultpoints.ORDER_MADE)
    paid_in_full(at)
    run("send_receipt")
    assert discrepancies(at) == []


def test_scenario_8_a_handler_raises_once(
    at_stripe: Make, points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "_apply_together", lambda groups, _sales, **_: groups)  # each by itself
    at = at_stripe()
    payment = awaiting(at)
    at.pay(payment)
    points.arm(faultpoints.ORDER_MADE, "raise")
    (event,) = [event for event in at.events() if event["type"] == "payment_intent.succeeded"]
    arrive(at, [event])
    assert not Order.objects.exists()  # nothing of what the handler did before it raised was kept
    assert Cart.objects.get().state == "frozen"
    late = InboxEvent.objects.get(state="received")
    assert (late.event_type, late.error, late.tries) == ("payment_intent.succeeded", "FaultInjected", 1)
    InboxEvent.objects.filter(id=late.id).update(due_at=timezone.now())
    drain_inbox()
    paid_in_full(at)
    run("send_receipt")
    assert len(mail.outbox) == 1
    assert discrepancies(at) == []


def test_scenario_9_a_database_error_is_never_acknowledged(at_stripe: Make) -> None:
    """Somebody holds the cart's lock for too long: the events that need it stay, the others are applied."""
    at, other = at_stripe(), at_stripe()
    for here in (at, other):
        here.shop.request(here.shop.cart())
    run_all_of(Queue.INTENTS)
    for here in (at, other):
        here.pay(here.intents()[0]["id"])
        for event in here.events():
            store(here, event)
    with psycopg.connect(database_url()) as holder:
        holder.execute("SELECT 1 FROM payments_cart WHERE business_id = %s FOR UPDATE", [at.shop.business.id])
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '200ms'")
        while drain_inbox().has_more:
            pass  # sales below the held one, in the order of locks, are left to the next batch
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
        held = InboxEvent.objects.filter(account=at.shop.account)
        assert not held.exclude(state="ignored").filter(settled_at__isnull=False).exists()
        assert set(held.filter(state="received").values_list("error", flat=True)) == {"OperationalError"}
        assert [order.business_id for order in Order.objects.all()] == [other.shop.business.id]
    InboxEvent.objects.filter(state="received").update(due_at=timezone.now())
    drain_inbox()
    run_all_of(Queue.RECEIPTS)
    assert Order.objects.count() == 2
    assert discrepancies(at) == []
    assert discrepancies(other) == []


def test_scenario_12_a_refund_times_out_and_staff_click_again(at_stripe: Make) -> None:
    at = at_stripe()
    payment = sold(at)
    at.fault("reset_after", match={"method": "POST"}, times=1)
    asked(payment)
    run("submit_refund")
    with pytest.raises((refunds.RefundUnderWay, refunds.NothingToGiveBack)):
        asked(payment)  # another form, while nobody knows what became of the first
    hurry()
    run_all_of(Queue.REFUNDS)
    assert at_stripes(at) == [("succeeded", payment.amount_minor)]
    assert sums(payment) == (payment.amount_minor, payment.amount_minor, 0)
    assert Refund.objects.count() == 1


def test_scenario_15_another_amount_is_another_key(at_stripe: Make) -> None:
    """Cancelled, changed, paid again: a new payment with a new key, never the old key with new parameters."""
    at = at_stripe()
    first = awaiting(at)
    cart = Cart.objects.get()
    intents.request_cancel(payment_id=first.id, now=timezone.now(), actor="customer")
    run("cancel_intent")
    carts.set_quantity(business=at.shop.business, token=cart.token, item_id=at.shop.item.id, quantity=3)
    second = at.shop.request(cart)
    run("create_intent")
    second.refresh_from_db()
    assert (second.state, second.amount_minor) == ("awaiting", 3 * first.amount_minor)
    keys = Attempt.objects.filter(operation="create_intent").values_list("key", "error_code")
    assert len({key for key, _code in keys}) == 2
    assert {code for _key, code in keys} == {""}
    assert sorted(one["status"] for one in at.intents()) == ["canceled", "requires_payment_method"]


def test_scenario_17_the_refunds_webhook_comes_before_our_row(at_stripe: Make) -> None:
    """Stripe has given the money back and says so; our worker holds the answer and has committed nothing of it."""
    at = at_stripe()
    payment = sold(at)
    refund = asked(payment)
    at.fault("reset_after", match={"method": "POST"}, times=1)  # done, and the answer is lost
    run("submit_refund")
    arrive(at)
    hurry()
    run_all_of(Queue.REFUNDS)
    arrive(at)
    refund.refresh_from_db()
    assert refund.state == "succeeded"
    assert Refund.objects.count() == 1
    assert at_stripes(at) == [("succeeded", payment.amount_minor)]


def test_scenario_19_a_disputed_charge_is_not_refunded(at_stripe: Make) -> None:
    """Refused with the dispute itself, by when to answer it, and before Stripe is asked for anything."""
    at = at_stripe()
    payment = awaiting(at)
    at.pay(payment, "pm_card_createDispute")
    arrive(at)
    disputed(at, payment)
    with pytest.raises(refunds.PaymentDisputed) as refusal:
        asked(payment)
    assert refusal.value.dispute.status == "needs_response"
    assert refusal.value.dispute.evidence_due_at is not None
    assert not Refund.objects.exists()
    assert at_stripes(at) == []
    run_all_of(Queue.RECEIPTS)
    assert discrepancies(at) == []


def test_scenario_24_a_worker_never_sees_a_row_that_is_not_committed(at_stripe: Make) -> None:
    """The bell rings before the commit: there is nothing to claim yet. After it, there is. Rolled back: never."""
    at = at_stripe()
    found: list[int] = []

    def ring() -> None:
        found.append(len(claim(Queue.INTENTS)))
        connection.close()

    with transaction.atomic():
        payment = at.shop.request(at.shop.cart())
        early = threading.Thread(target=ring)
        early.start()
        early.join(20)
    assert found == [0]
    with transaction.atomic():
        enqueue(SEND_RECEIPT, business_id=at.shop.business.id, order_id=1, now=timezone.now())
        transaction.set_rollback(True)
    assert claim(Queue.RECEIPTS) == []
    run("create_intent")
    payment.refresh_from_db()
    assert payment.state == "awaiting"


@pytest.mark.parametrize(
    ("currency", "price", "at_stripes_amount"),
    [
        ("jpy", 3600, 3600),
        ("krw", 28600, 28600),
        ("isk", 3600, 360000),
        ("ugx", 50000, 5000000),
        ("usd", 3600, 3600),
    ],
)
def test_scenario_32_currencies_exact_both_ways(
    at_stripe: Make, currency: str, price: int, at_stripes_amount: int
) -> None:
    at = at_stripe(price_minor=price)
    for row in (at.shop.location, at.shop.item, at.shop.business):
        row.currency = currency
        row.save()
    payment = awaiting(at)
    assert (payment.amount_minor, payment.currency) == (price, currency)
    assert [one["amount"] for one in at.intents()] == [at_stripes_amount]
    at.pay(payment)
    arrive(at)
    payment.refresh_from_db()
    assert payment.amount_received_minor == price
    assert Order.objects.get().total_minor == price
    run_all_of(Queue.RECEIPTS)
    asked(payment, 500)
    run_all_of(Queue.REFUNDS)
    arrive(at)
    run_all_of(Queue.RECEIPTS)
    assert sums(payment)[:2] == (500, 500)
    assert [amount for _state, amount in at_stripes(at)] == [500 * at_stripes_amount // price]
    assert discrepancies(at) == []


def test_scenario_32_three_decimals_are_refused() -> None:
    shop = Shop.make()
    shop.location.currency = "kwd"
    shop.location.save()
    with pytest.raises(carts.CurrencyNotSupported):
        carts.open_cart(business=shop.business, location=shop.location, now=timezone.now())
    with pytest.raises(UnsupportedCurrency):
        Money(1000, "kwd").to_stripe()


# --- the same class, other members --------------------------------------------------------------------


def test_a_holder_whose_lease_ran_out_sends_nothing_more(at_stripe: Make) -> None:
    """It was halted before its call; another has done the job; it wakes up with an old fence."""
    at = at_stripe()
    payment = at.shop.request(at.shop.cart())
    (old,) = claim(Queue.INTENTS)
    Job.objects.update(leased_until=timezone.now() - datetime.timedelta(seconds=1))
    (new,) = claim(Queue.INTENTS)
    assert new.fence == old.fence + 1
    relay.run(new)
    before = Attempt.objects.get()
    relay.run(old)  # asks for nothing: the intent is there
    after = Attempt.objects.get()
    assert (after.sends, after.state) == (before.sends, "succeeded")
    assert len(at.intents()) == 1
    payment.refresh_from_db()
    assert payment.state == "awaiting"
    assert Job.objects.get().state == "done"


def test_an_old_fence_opens_no_attempt(at_stripe: Make) -> None:
    """Its clock runs two minutes ahead, so it takes over a lease that holds: the first holder has lost it."""
    at = at_stripe()
    at.shop.request(at.shop.cart())
    (first,) = claim(Queue.INTENTS)
    ahead = timezone.now() + datetime.timedelta(minutes=2)
    (second,) = backlog.claim(queue=Queue.INTENTS, limit=1, worker="a fast clock", now=ahead)
    with pytest.raises(LeaseLost):
        create_intent(lease=first, **first.arguments)
    assert not Attempt.objects.exists()
    relay.run(first)  # and what catches it does not end the job either
    assert Job.objects.get().state == "running"
    relay.run(second)
    assert len(at.intents()) == 1


def test_two_beats_look_at_a_silent_payment_once(at_stripe: Make) -> None:
    at = at_stripe()
    payment = awaiting(at)
    Payment.objects.filter(id=payment.id).update(next_check_at=timezone.now())
    barrier = threading.Barrier(4)

    def sweep() -> None:
        barrier.wait(20)
        intents.check_again(limit=10, now=timezone.now())
        connection.close()

    beats = [threading.Thread(target=sweep) for _ in range(4)]
    for beat in beats:
        beat.start()
    for beat in beats:
        beat.join(30)
    assert waiting("read_intent") == 1
    payment.refresh_from_db()
    assert payment.checks == 1


def test_two_tabs_ask_at_the_same_moment(at_stripe: Make) -> None:
    """Eight forms, one cart: one payment counts against the total, the others get it back."""
    at = at_stripe()
    cart = at.shop.cart()
    barrier = threading.Barrier(8)
    got: list[int] = []

    def press() -> None:
        barrier.wait(20)
        got.append(at.shop.request(Cart.objects.get(id=cart.id), form_token=uuid.uuid4().hex).id)
        connection.close()

    tabs = [threading.Thread(target=press) for _ in range(8)]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join(30)
    assert len(got) == 8
    assert len(set(got)) == 1
    assert Payment.objects.count() == 1
    cart.refresh_from_db()
    assert cart.committed_minor == cart.frozen_total_minor
    assert waiting(CREATE_INTENT.name) == 1
