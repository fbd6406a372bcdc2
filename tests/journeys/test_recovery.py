"""Parts are lost while people buy: the database restarts, the broker forgets everything, workers are gone."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest

from stack import demo
from stack.customer import Customer, Payment
from stack.demo import GOOD_CARD, Studio
from stack.processes import Stack
from tests import produced

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Stack, Studio]]:
    """A stack with servers of its own, not the session's: they are going to be killed."""
    with pytest.MonkeyPatch.context() as environment:
        for name in ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL"):
            environment.delenv(name, raising=False)
        with Stack(say=lambda _line: None) as stack:
            yield stack, demo.open_studio(stack)
            produced.judge(stack.urls.sandbox)


def rows(stack: Stack, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(stack.urls.database) as connection:
        return connection.execute(query.encode()).fetchall()


def new_cart(stack: Stack, studio: Studio) -> tuple[Customer, str]:
    customer = Customer(site=studio.site, stripe=stack.urls.sandbox)
    cart = customer.fill_cart({studio.item("VIDEO"): 1}, name="Rae Guest", email="rae@guest.example")
    return customer, cart


def paid_once(stack: Stack, customer: Customer, payment: Payment) -> None:
    """Pay, follow to the end, and assert one order of ours and one charge of Stripe's."""
    assert customer.pay(payment, GOOD_CARD) == ""
    status = customer.wait_for_the_end(payment)
    assert status["state"] == "succeeded"
    number = status["order"]["number"]
    assert rows(stack, f"SELECT count(*) FROM payments_order WHERE number = '{number}'") == [(1,)]
    intents = f"SELECT intent_id FROM payments_payment WHERE public_id = '{payment.id}'"
    assert len(rows(stack, intents)) == 1


def test_the_database_restarts(running: tuple[Stack, Studio]) -> None:
    stack, studio = running
    customer, cart = new_cart(stack, studio)
    stack.postgres.kill()
    stack.postgres.restart()
    payment = customer.ask_to_pay(cart)
    paid_once(stack, customer, payment)


def test_the_broker_forgets_everything(running: tuple[Stack, Studio]) -> None:
    """Jobs wait, no worker is there, and Redis loses its memory: the rows are the work."""
    stack, studio = running
    customer, cart = new_cart(stack, studio)
    stack.take_down("worker-stripe-1")
    page = customer.press_pay(cart)
    waiting = "SELECT count(*) FROM payments_job WHERE state = 'waiting' AND name = 'create_intent'"
    assert rows(stack, waiting) == [(1,)]
    stack.redis.wipe()
    stack.bring_up("worker-stripe-1")
    paid_once(stack, customer, customer.wait_for_the_form(page))


def test_redis_is_away_while_somebody_presses_pay(running: tuple[Stack, Studio]) -> None:
    stack, studio = running
    customer, cart = new_cart(stack, studio)
    stack.redis.kill()
    started = time.monotonic()
    page = customer.press_pay(cart)
    assert time.monotonic() - started < 5, "a bell that cannot ring costs the customer nothing"
    stack.redis.restart()
    paid_once(stack, customer, customer.wait_for_the_form(page))


def test_every_worker_is_gone_when_the_money_arrives(running: tuple[Stack, Studio]) -> None:
    stack, studio = running
    customer, cart = new_cart(stack, studio)
    payment = customer.ask_to_pay(cart)
    for kind in ("stripe", "mail", "ledger"):
        stack.kill_worker(kind)
    paid_once(stack, customer, payment)


def test_nothing_is_left_in_limbo(running: tuple[Stack, Studio]) -> None:
    """After all of the above: no job runs or waits for ever, no event is unapplied, every receipt went out once."""
    stack, _studio = running
    deadline = time.monotonic() + PATIENCE_SECONDS
    open_work = (
        "SELECT (SELECT count(*) FROM payments_job WHERE state <> 'done'),"
        " (SELECT count(*) FROM payments_inboxevent WHERE state = 'received'),"
        " (SELECT count(*) FROM payments_order) - (SELECT count(*) FROM payments_receipt WHERE sent_at IS NOT NULL)"
    )
    while rows(stack, open_work) != [(0, 0, 0)]:
        assert time.monotonic() < deadline, rows(stack, open_work)
        time.sleep(0.5)
    assert rows(stack, "SELECT count(*) FROM payments_cart") == [(0,)]
