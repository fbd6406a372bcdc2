"""A deployment: every process is asked to end and replaced, one by one, while people buy."""

from __future__ import annotations

import threading

import pytest

from stack.chaos.patient import PatientCustomer
from stack.demo import GOOD_CARD
from tests.faults.house import House

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
GRACE_SECONDS = 45.0  # of a deployment; compose.yaml grants its workers 50
PARTS = ("worker-stripe-1", "worker-ledger-1", "worker-mail-1", "beat", "web")
BUYERS = 3


class Buyers:
    """Customers who buy one thing after the other until they are told to stop."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.orders: list[str] = []
        self.trouble: list[str] = []
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._buy, args=(n,), daemon=True) for n in range(BUYERS)]

    def __enter__(self) -> Buyers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(150)

    def _buy(self, number: int) -> None:
        while not self._ending.is_set():
            customer = PatientCustomer(site=self.house.studio.site, stripe=self.house.stack.urls.sandbox)
            try:
                items = {self.house.studio.item("VIDEO"): 1}
                cart = customer.fill_cart(items, name=f"Buyer {number}", email=f"buyer{number}@guest.example")
                payment = customer.ask_to_pay(cart)
                self.orders.append(self.house.paid_once(customer, payment))
            except (Exception, AssertionError) as error:
                self.trouble.append(f"{type(error).__name__}: {error}")

    def have_bought(self, more: int) -> None:
        """Wait until so many more sales have ended."""
        wanted = len(self.orders) + more
        self.house.until(lambda: len(self.orders) >= wanted or self.trouble, f"{more} more sales")


def test_every_process_is_replaced_while_people_buy_and_nothing_is_lost_or_doubled(house: House) -> None:
    took = {}
    with Buyers(house) as buyers:
        for part in PARTS:
            buyers.have_bought(1)  # there is work in it when it is asked to end
            took[part] = house.stack.replace(part, seconds=GRACE_SECONDS)
        buyers.have_bought(BUYERS)
    print(len(buyers.orders), "orders;", {part: round(seconds, 1) for part, seconds in took.items()})
    assert buyers.trouble == []
    assert len(set(buyers.orders)) == len(buyers.orders)


def test_a_worker_that_is_asked_to_end_finishes_its_call_to_stripe(house: House) -> None:
    """Nobody else has to send the key again: the call is finished, not handed over."""
    house.fault("latency", ms=4000, match={"operation": "payment_intents.create"}, times=1)
    customer, cart = house.cart()
    payment = customer.press_pay(cart)
    sent = "SELECT a.state, a.sends FROM payments_attempt a JOIN payments_payment p ON p.id = payment_id \
WHERE p.public_id = %s"
    house.until(lambda: house.rows(sent, payment.id_in_url), "the call is under way")
    house.stack.replace("worker-stripe-1", seconds=GRACE_SECONDS)
    customer.wait_for_the_form(payment)
    (attempt,) = house.rows(sent, payment.id_in_url)
    assert (attempt["state"], attempt["sends"]) == ("succeeded", 1)
    assert (
        house.one(
            "SELECT max(attempts) FROM payments_job WHERE name = 'create_intent' AND arguments ->> \
'payment_id' = (SELECT id::text FROM payments_payment WHERE public_id = %s)",
            payment.id_in_url,
        )
        == 1
    )
    assert customer.pay(payment, GOOD_CARD) == ""
    house.ended_as_one_order(customer, payment)
