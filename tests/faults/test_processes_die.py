"""Processes are killed, halted and cut off while people buy: the exact end, and one charge at Stripe.

Names say which scenario of the list (docs/reliability.md) a test holds; the others are of its class.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
import requests
from celery import Celery

from stack.customer import Customer, Payment, Unexpected
from stack.demo import BAD_CARD, GOOD_CARD
from tests.faults.house import House
from web.core import faultpoints
from web.payments.jobs import QUEUES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
WORKERS = ("worker-stripe-1", "worker-mail-1", "worker-ledger-1")


def at_once(*calls: Callable[[], object]) -> list[object]:
    """Make calls at the same moment and return what each gave."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        barrier.wait(30)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_scenario_1_browser_and_webhook_at_once(house: House) -> None:
    """The page's return, three copies of the webhook and a reload come together: one order, all answered 2xx."""
    house.fault("webhook_delay", ms=60_000, match={"type": "payment_intent.succeeded"})
    customer, cart = house.cart()
    payment = customer.ask_to_pay(cart)
    assert customer.pay(payment, GOOD_CARD) == ""
    (event,) = house.events(payment, "payment_intent.succeeded")
    answers = at_once(
        *[lambda: customer.check(payment)] * 3,
        *[lambda: house.control("POST", f"events/{event}/resend")] * 3,
    )
    assert len(answers) == 6  # each raises unless it is answered 2xx
    number = house.ended_as_one_order(customer, payment)
    house.until(
        lambda: len([one for one in house.deliveries(event) if one["status"] != "pending"]) == 3, "delivered"
    )
    statuses = {status for one in house.deliveries(event) for status in house.statuses(one)}
    assert statuses <= {200}
    assert house.one("SELECT count(*) FROM payments_inboxevent WHERE event_id = %s", event) == 1
    assert (
        house.one(
            "SELECT count(*) FROM payments_paymentevent WHERE kind = 'order.made' AND data ->> 'order' = %s",
            number,
        )
        == 1
    )


def test_scenario_2_pay_pressed_four_times_on_a_slow_server(house: House) -> None:
    house.fault("latency", ms=1500, match={"operation": "payment_intents.create"}, times=None)
    customer, cart = house.cart()
    form = customer.form(cart)
    pressed = at_once(*[lambda: customer.send(form)] * 4)
    other_form = customer.press_pay(cart)  # and once more from another tab
    payments = {payment.status_url for payment in [*pressed, other_form] if isinstance(payment, Payment)}
    assert len(payments) == 1
    payment = customer.wait_for_the_form(other_form)
    assert len(house.intents(payment)) == 1
    house.paid_once(customer, payment)
    assert len(house.intents(payment)) == 1


def test_scenario_5_24_copies_of_one_event_at_once(house: House) -> None:
    customer, cart = house.cart()
    house.fault("webhook_delay", ms=60_000, match={"type": "payment_intent.succeeded"})
    payment = customer.ask_to_pay(cart)
    customer.pay(payment, GOOD_CARD)
    (event,) = house.events(payment, "payment_intent.succeeded")
    at_once(*[lambda: house.control("POST", f"events/{event}/resend")] * 24)
    house.ended_as_one_order(customer, payment)
    house.until(
        lambda: len([one for one in house.deliveries(event) if one["status"] != "pending"]) >= 24, "delivered"
    )
    statuses = [status for one in house.deliveries(event) for status in house.statuses(one)]
    assert len(statuses) >= 24
    assert set(statuses) == {200}
    assert house.one("SELECT count(*) FROM payments_inboxevent WHERE event_id = %s", event) == 1


def test_scenario_10_a_worker_is_killed_in_the_middle_of_a_call(house: House) -> None:
    """SIGKILL while Stripe works on our request: its successor asks again with the same key, and finds it done."""
    house.fault("latency", ms=2000, match={"operation": "payment_intents.create"})
    house.fault("webhook_drop", match={"type": "payment_intent.created"})  # or it would tell us first
    customer, cart = house.cart()
    page = customer.press_pay(cart)
    house.until(lambda: house.rows("SELECT 1 FROM payments_attempt WHERE state = 'sent'"), "sent")
    house.stack.kill_worker("stripe")
    house.stack.wait_ready("worker-stripe-1")
    house.hurry()
    payment = customer.wait_for_the_form(page)
    house.paid_once(customer, payment)
    assert len(house.intents(payment)) == 1
    attempts = house.rows(
        "SELECT key, sends FROM payments_attempt JOIN payments_payment AS payment ON payment.id = payment_id"
        " WHERE operation = 'create_intent' AND payment.public_id = %s",
        payment.id,
    )
    assert len(attempts) == 1  # one key, sent as often as it took
    assert attempts[0]["sends"] >= 2


@pytest.mark.parametrize(
    "point",
    [
        faultpoints.JOB_CLAIMED,
        faultpoints.ATTEMPT_BEGUN,
        faultpoints.STRIPE_ANSWERED,
    ],
)
def test_scenario_11_a_worker_is_killed_around_the_call(house: House, point: str) -> None:
    """SIGKILL after Stripe's success and before our commit, and on the lines before: one intent, one charge."""
    house.points.arm(point, "kill")
    customer, cart = house.cart()
    page = customer.press_pay(cart)
    house.points.wait_until_struck(point)
    house.stack.wait_ready("worker-stripe-1")
    house.hurry()
    payment = customer.wait_for_the_form(page)
    house.paid_once(customer, payment)
    assert len(house.intents(payment)) == 1


@pytest.mark.parametrize("point", [faultpoints.ORDER_MADE, faultpoints.EVENT_STORED])
def test_killed_while_the_money_is_booked(house: House, point: str) -> None:
    """The child that makes the order, or the web process that stores the event, dies on that line."""
    customer, cart = house.cart()
    payment = customer.ask_to_pay(cart)
    house.points.arm(point, "kill")
    customer.pay(payment, GOOD_CARD)
    house.points.wait_until_struck(point)
    house.hurry()
    house.ended_as_one_order(customer, payment)


def test_the_web_process_dies_after_the_commit_and_before_its_answer(house: House) -> None:
    """Pay was pressed and the browser got no answer: the form sent again finds the payment that is there."""
    customer, cart = house.cart()
    house.points.arm(faultpoints.PAYMENT_REQUESTED, "kill")
    page = customer.press_pay(cart)  # a customer presses again until somebody answers
    assert house.points.was_struck(faultpoints.PAYMENT_REQUESTED)
    payment = customer.wait_for_the_form(page)
    assert (
        house.one(
            "SELECT count(*) FROM payments_payment WHERE cart_reference = (SELECT cart_reference FROM"
            " payments_payment WHERE public_id = %s)",
            payment.id,
        )
        == 1
    )
    house.paid_once(customer, payment)


@pytest.mark.parametrize("point", [faultpoints.RECEIPT_RENDERED, faultpoints.RECEIPT_SENT])
def test_killed_around_the_mail(house: House, point: str) -> None:
    """Before the mail: it is sent by the next. After it: sent again, the same to the letter (checked at the end)."""
    customer, cart = house.cart()
    payment = customer.ask_to_pay(cart)
    house.points.arm(point, "kill")
    number = house.paid_once(customer, payment)
    house.points.wait_until_struck(point)
    house.stack.wait_ready("worker-mail-1")
    sent = (
        "SELECT count(*) FROM payments_receipt JOIN payments_order AS orders ON orders.id = order_id"
        " WHERE number = %s AND sent_at IS NOT NULL"
    )
    house.hurry()
    house.until(lambda: house.one(sent, number), "the receipt")


def test_scenario_14_declined_then_a_good_card(house: House) -> None:
    customer, cart = house.cart()
    payment = customer.ask_to_pay(cart)
    assert customer.pay(payment, BAD_CARD) == "generic_decline"
    assert customer.pay(payment, BAD_CARD) == "generic_decline"
    house.paid_once(customer, payment)
    assert len(house.intents(payment)) == 1


def test_scenario_21_work_due_later_is_not_held_by_the_broker(house: House) -> None:
    """What is due in an hour is no message with a countdown: the broker holds nothing; due, it runs once."""
    customer, cart = house.cart()
    payment = customer.ask_to_pay(cart)
    house.rows(
        "INSERT INTO payments_job (public_id, name, queue, business_id, arguments, priority, state, attempts,"
        " put_offs, due_at, fence, worker, last_error, created_at)"
        " SELECT gen_random_uuid(), 'read_intent', 'intents', business_id,"
        " jsonb_build_object('payment_id', id), 5, 'waiting', 0, 0, now() + interval '1 hour', 0, '', '', now()"
        " FROM payments_payment WHERE public_id = %s",
        payment.id,
    )
    if house.stack.urls.broker.startswith("redis"):  # RabbitMQ shows its messages only to who takes them
        broker = redis.Redis.from_url(house.stack.urls.broker)
        held: list[Any] = [message for queue in QUEUES for message in broker.lrange(queue, 0, -1)]
        held += broker.hvals("unacked")
        assert not broker.exists("unacked", "unacked_index")  # workers/redis_bells.py
        assert not [message for message in held if b"read_intent" in bytes(message)]  # bells name queues
        countdowns = [message for message in held if re.search(r'"eta": ?"', bytes(message).decode())]
        assert not countdowns
    later = "SELECT state, attempts FROM payments_job WHERE name = 'read_intent' ORDER BY id DESC LIMIT 1"
    assert house.rows(later) == [{"state": "waiting", "attempts": 0}]
    house.rows("UPDATE payments_job SET due_at = now() WHERE state = 'waiting' AND name = 'read_intent'")
    house.until(lambda: house.rows(later)[0]["state"] == "done", "run")
    assert house.rows(later) == [{"state": "done", "attempts": 1}]
    house.paid_once(customer, payment)


def test_scenario_22_the_broker_loses_everything(house: House) -> None:
    """Jobs wait, no worker is there, Redis loses its memory: the rows are the work."""
    pages: list[tuple[Customer, Payment]] = []
    with house.without("worker-stripe-1"):
        for _ in range(5):
            customer, cart = house.cart()
            pages.append((customer, customer.press_pay(cart)))
        assert house.one("SELECT count(*) FROM payments_job WHERE state = 'waiting'") >= 5
        house.stack.redis.wipe()
    for customer, page in pages:
        house.paid_once(customer, customer.wait_for_the_form(page))


def test_scenario_23_a_worker_lives_and_hears_no_bell_any_more(house: House) -> None:
    """The broker came back, and the worker takes nothing from it any more: beat says so, and so does /readyz.

    That the worker itself notices after a minute, and ends, is in test_pulses.py; here it is killed.
    """
    (log,) = [process.log for process in house.stack.processes() if process.name == "beat"]
    said_before = log.stat().st_size
    house.stack.redis.restart()
    customer, cart = house.cart()
    broker = Celery(broker=house.stack.urls.broker)

    def is_deaf() -> bool:
        # To every worker, again and again: one that has just reconnected may not listen to commands yet.
        answers = broker.control.cancel_consumer("intents", reply=True, timeout=1)
        return any(name.startswith("stripe-") for answer in answers or [] for name in answer)

    house.until(is_deaf, "deaf")
    page = customer.press_pay(cart)
    # A minute and more goes by.
    house.rows("UPDATE payments_job SET due_at = now() - interval '2 minutes' WHERE state = 'waiting'")
    house.rows("UPDATE payments_workerpulse SET drained_at = NULL WHERE queue = 'intents'")
    house.until(lambda: b"queue.silent" in log.read_bytes()[said_before:], "beat says so")
    ready = requests.get(f"{house.stack.urls.web}/readyz", timeout=30).json()
    assert (ready["status"], ready["queues"]) == ("degraded", "silent: intents")
    house.stack.kill_worker("stripe")
    house.paid_once(customer, customer.wait_for_the_form(page))
    assert requests.get(f"{house.stack.urls.web}/readyz", timeout=30).json()["status"] == "ok"


def test_redis_is_away_while_somebody_pays(house: House) -> None:
    customer, cart = house.cart()
    house.stack.redis.kill()
    page = customer.press_pay(cart)  # a bell that cannot ring costs the customer nothing
    house.stack.redis.restart()
    house.paid_once(customer, customer.wait_for_the_form(page))


def test_redis_takes_nothing_any_more(house: House) -> None:
    """Full, it answers every write with an error, bells among them: sales are accepted, and done once there is room."""
    server = redis.Redis.from_url(house.stack.urls.redis)
    customer, cart = house.cart()
    server.config_set("maxmemory", "1")
    try:
        page = customer.press_pay(cart)
    finally:
        server.config_set("maxmemory", "0")
    house.paid_once(customer, customer.wait_for_the_form(page))


def test_the_database_restarts_between_an_answer_and_its_commit(house: House) -> None:
    """A worker holds Stripe's answer when PostgreSQL goes: what it knew is asked again with the same key."""
    house.points.arm(faultpoints.STRIPE_ANSWERED, "pause")
    customer, cart = house.cart()
    page = customer.press_pay(cart)
    house.points.wait_until_struck(faultpoints.STRIPE_ANSWERED)
    house.stack.postgres.kill()
    house.stack.postgres.restart()
    house.points.release(faultpoints.STRIPE_ANSWERED)
    payment = customer.wait_for_the_form(page)
    house.paid_once(customer, payment)
    assert len(house.intents(payment)) == 1


def test_the_database_restarts_while_an_order_is_made(house: House) -> None:
    customer, cart = house.cart()
    payment = customer.ask_to_pay(cart)
    house.points.arm(faultpoints.ORDER_MADE, "pause")
    customer.pay(payment, GOOD_CARD)
    house.points.wait_until_struck(faultpoints.ORDER_MADE)
    house.stack.postgres.kill()
    house.stack.postgres.restart()
    house.points.release(faultpoints.ORDER_MADE)
    house.ended_as_one_order(customer, payment)


def test_a_worker_that_was_halted_beyond_its_lease_wakes_up(house: House) -> None:
    """SIGSTOP between Stripe's answer and our commit; another one does the job; the first one comes back."""
    house.points.arm(faultpoints.STRIPE_ANSWERED, "pause")
    customer, cart = house.cart()
    page = customer.press_pay(cart)
    house.points.wait_until_struck(faultpoints.STRIPE_ANSWERED)
    house.stack.send("worker-stripe-1", signal.SIGSTOP)
    house.rows("UPDATE payments_job SET leased_until = now() WHERE state = 'running'")
    house.points.release(faultpoints.STRIPE_ANSWERED)
    house.stack.send("worker-stripe-1", signal.SIGCONT)
    payment = customer.wait_for_the_form(page)
    house.paid_once(customer, payment)
    assert len(house.intents(payment)) == 1


def test_every_worker_is_killed_when_the_money_arrives(house: House) -> None:
    customer, cart = house.cart()
    payment = customer.ask_to_pay(cart)
    for worker in WORKERS:
        house.stack.kill(worker)
    house.paid_once(customer, payment)


def test_a_prefork_child_and_beat_are_killed(house: House) -> None:
    """No tick rings and a child is gone: bells alone carry the sale, and both are replaced."""
    customer, cart = house.cart()
    payment = customer.ask_to_pay(cart)
    house.stack.kill("beat")
    for child in house.children("worker-ledger-1")[:1]:
        os.kill(child, signal.SIGKILL)
    house.paid_once(customer, payment)


def asked_for(house: House, operation: str) -> None:
    """Wait until Stripe is being asked for something, and nobody has its answer."""
    asked = "SELECT 1 FROM payments_attempt WHERE operation = %s AND state = 'sent'"
    house.until(lambda: house.rows(asked, operation), operation)


def test_scenario_25_a_reader_takes_it_and_its_answer_never_comes(house: House) -> None:
    """It times out though the reader has it, and who waited for the answer is killed: looked at, and paid once."""
    till, reader, hand = house.till()
    house.fault("latency", ms=2000, match={"operation": "terminal.readers.process_payment_intent"})
    house.fault("reader_timeout_accepted", match={"reader": hand.id})
    sale = house.sale(till, reader)
    asked_for(house, "process_on_reader")
    house.stack.kill_worker("stripe")
    hand.wait_until_asked()
    house.hurry()
    till.wait_until(sale, "waiting")
    hand.tap()
    house.approved(till, sale)


def test_scenario_26_a_reader_is_busy_when_the_worker_is_killed(house: House) -> None:
    """The other till still waits behind the sale that holds the reader, which is named; then its turn comes."""
    till, reader, hand = house.till()
    first = house.sale(till, reader)
    till.wait_until(first, "waiting")
    other, _reader, _hand = house.till("desk")
    second = house.sale(other, reader)
    house.stack.kill_worker("stripe")
    status = other.wait_until(second, "queued")
    (holder,) = [one["holder"] for one in other.readers() if one["reader"] == reader]
    assert (status["position"], status["holder"], holder) == (1, holder, status["ahead"][0])
    assert holder
    house.hurry()
    hand.tap()
    house.approved(till, first)
    other.wait_until(second, "waiting")
    hand.tap()
    house.approved(other, second)


def test_scenario_27_the_customer_taps_while_a_cancellation_dies(house: House) -> None:
    """Cancel is a request: the card was first, the worker that cancels is killed, and Approved is what is shown."""
    till, reader, hand = house.till()
    sale = house.sale(till, reader)
    till.wait_until(sale, "waiting")
    house.fault("latency", ms=2000, match={"operation": "terminal.readers.cancel_action"})
    till.cancel(sale)
    asked_for(house, "cancel_on_reader")
    hand.tap()
    house.stack.kill_worker("stripe")
    house.hurry()
    house.approved(till, sale)


def test_scenario_39_a_rush(house: House) -> None:
    """Many press Pay in the same moment: none is stuck in between, none is charged twice."""
    buyers = [house.cart() for _ in range(24)]

    def buy(customer: Customer, cart: str) -> str:
        return house.paid_once(customer, customer.ask_to_pay(cart))

    numbers = at_once(*[lambda buyer=buyer: buy(*buyer) for buyer in buyers])
    assert len(set(numbers)) == 24


def test_a_cart_that_was_cancelled_cannot_be_paid(house: House) -> None:
    """The page still has the client secret of a cancelled payment: Stripe refuses it, nothing is charged."""
    customer, cart = house.cart()
    payment = customer.ask_to_pay(cart)
    customer.cancel(payment)
    customer.wait_for_the_end(payment)
    assert payment.state == "cancelled"
    with pytest.raises(Unexpected):
        customer.pay(payment, GOOD_CARD)
    assert house.charges(payment) == []
