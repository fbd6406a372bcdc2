"""A whole Paydesk of real processes with a studio that sells, and what a fault test does to it.

A test breaks something, customers go on, and at the end everything must become quiet and the books must agree.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import requests
from psycopg.rows import dict_row

from stack import books, demo, quiet, rabbitmq
from stack.clerk import Clerk, OnReader
from stack.customer import Customer, Payment
from stack.demo import ACCOUNT, GOOD_CARD, PASSWORD, Studio
from stack.processes import Stack
from stack.reader import Reader
from tests.faults.points import Points

PATIENCE_SECONDS = 90.0  # a machine that is busy with other things; ordinarily a second or two
_numbers = itertools.count(1)


class House:
    """A running stack, its studio, its armed points, and what a test asks of them."""

    def __init__(self, stack: Stack, studio: Studio, points: Points) -> None:
        self.stack, self.studio, self.points = stack, studio, points
        self._time_passes: threading.Event | None = None

    # --- selling ---

    def customer(self) -> Customer:
        return Customer(site=self.studio.site, stripe=self.stack.urls.sandbox)

    def cart(self, code: str = "VIDEO") -> tuple[Customer, str]:
        """Return a new customer, and the token of their cart with one of an item in it."""
        customer = self.customer()
        number = next(_numbers)
        items = {self.studio.item(code): 1}
        return customer, customer.fill_cart(
            items, name=f"Guest {number}", email=f"guest{number}@guest.example"
        )

    def till(self, who: str = "owner") -> tuple[Clerk, str, Reader]:
        """Return a member of staff at a till, the reader beside it as the till knows it, and who stands there."""
        clerk = Clerk(site=self.studio.site, email=self.studio.person(who)["email"], password=PASSWORD)
        (reader,) = clerk.wait_for_readers()
        (known,) = [one for one in self.studio.seeded["readers"] if one["label"] == reader["label"]]
        return clerk, str(reader["reader"]), Reader(sandbox=self.stack.urls.sandbox, id=known["id"])

    def sale(self, till: Clerk, reader: str) -> OnReader:
        """Put a new sale of one pass on a reader."""
        cart = till.fill_cart(self.studio.item("PASS1"))
        return till.put_on_reader(cart, reader=reader, total=2200)

    def approved(self, till: Clerk, sale: OnReader) -> None:
        """Follow a sale on a reader to its end, and assert one order, one intent and one charge."""
        status = till.wait_until(sale)
        assert (status["state"], status["payment_state"]) == ("succeeded", "succeeded"), status
        assert status["order"] is not None
        at_stripe = self.at_stripe()
        intents = [
            one for one in at_stripe["payment_intents"] if one["metadata"].get("payment") == sale.payment
        ]
        assert [one["status"] for one in intents] == ["succeeded"]
        charges = [one for one in at_stripe["charges"] if one["payment_intent"] == intents[0]["id"]]
        assert [one["status"] for one in charges] == ["succeeded"]

    def paid_once(self, customer: Customer, payment: Payment, card: str = GOOD_CARD) -> str:
        """Pay, follow to the end, assert one order and one charge, and return the order's number."""
        assert customer.pay(payment, card) == ""
        return self.ended_as_one_order(customer, payment)

    def ended_as_one_order(self, customer: Customer, payment: Payment) -> str:
        status = customer.wait_for_the_end(payment)
        assert status["state"] == "succeeded", status
        number = str(status["order"]["number"])
        assert self.one("SELECT count(*) FROM payments_order WHERE number = %s", number) == 1
        assert [charge["status"] for charge in self.charges(payment)].count("succeeded") == 1
        return number

    def charges(self, payment: Payment) -> list[dict[str, Any]]:
        """Return Stripe's charges of a payment of ours, failed ones too."""
        ids = {intent["id"] for intent in self.intents(payment)}
        return [charge for charge in self.at_stripe()["charges"] if charge["payment_intent"] in ids]

    def intents(self, payment: Payment) -> list[dict[str, Any]]:
        """Return Stripe's intents that were made for a payment of ours."""
        wanted = payment.status_url.rstrip("/").rpartition("/")[2]
        return [
            one for one in self.at_stripe()["payment_intents"] if one["metadata"].get("payment") == wanted
        ]

    # --- looking ---

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.stack.urls.database, row_factory=dict_row, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def one(self, query: str, *parameters: Any) -> Any:
        """Return the one value of a query."""
        ((value,),) = [tuple(row.values()) for row in self.rows(query, *parameters)]
        return value

    def at_stripe(self) -> dict[str, list[dict[str, Any]]]:
        return books.stripe_books(self.stack.urls.sandbox, ACCOUNT)

    def control(self, method: str, name: str, **given: Any) -> Any:
        """Call the sandbox's control API."""
        answer = requests.request(
            method, f"{self.stack.urls.sandbox}/_sandbox/{name}", json=given or None, timeout=30
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def events(self, payment: Payment, kind: str) -> list[str]:
        """Return the ids of Stripe's events of one kind about a payment's intent, or its charges."""
        about = {one["id"] for one in [*self.intents(payment), *self.charges(payment)]}
        events = self.control("GET", f"events/{ACCOUNT}")["data"]
        return [event["id"] for event in events if event["type"] == kind and event["object"] in about]

    def deliveries(self, event_id: str) -> list[dict[str, Any]]:
        """Return the deliveries of an event, those that a test asked for too."""
        deliveries = self.control("GET", f"deliveries/{ACCOUNT}")["data"]
        return [one for one in deliveries if one["event"] == event_id]

    @staticmethod
    def statuses(delivery: dict[str, Any]) -> list[int]:
        """Return what each try of a delivery was answered."""
        return [attempt["status"] for attempt in delivery["history"]]

    # --- breaking ---

    def fault(self, kind: str, **rest: Any) -> dict[str, Any]:
        """Arm a fault at the sandbox."""
        armed: dict[str, Any] = self.control("POST", "faults", kind=kind, **rest)
        return armed

    @contextlib.contextmanager
    def without(self, *parts: str) -> Iterator[None]:
        """Take parts down for a while."""
        for part in parts:
            self.stack.take_down(part)
        try:
            yield
        finally:
            for part in parts:
                self.stack.bring_up(part)

    def children(self, name: str) -> list[int]:
        """Return the process ids of a part's children: those of a prefork pool."""
        pid = self.stack.pid(name)
        path = Path(f"/proc/{pid}/task/{pid}/children")
        return [int(child) for child in path.read_text().split()]

    # --- the end of a test ---

    def hurry(self) -> None:
        """Let time pass, from now until the end of the test: what waits for another try is due, and the leases of
        the dead have run out, of those too who are only about to die."""
        quiet.hurry(self.stack.urls.database)
        if self._time_passes is None:
            self._time_passes = threading.Event()
            threading.Thread(target=self._hurry_until, args=[self._time_passes], daemon=True).start()

    def _hurry_until(self, is_over: threading.Event) -> None:
        while not is_over.wait(quiet.LOOK_SECONDS):
            with contextlib.suppress(psycopg.OperationalError):  # PostgreSQL is what this test breaks
                quiet.hurry(self.stack.urls.database, those_at_rest=False)

    def until(self, is_so: Callable[[], Any], what: str) -> None:
        """Wait for something that must come."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_so():
            assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_SECONDS:.0f} s"
            time.sleep(0.05)

    def healthy(self) -> None:
        """Disarm every fault, have every part running, and time pass as it does."""
        if self._time_passes is not None:
            self._time_passes.set()
            self._time_passes = None
        self.points.disarm()
        self.control("DELETE", "faults")
        for process in self.stack.processes():
            self.stack.bring_up(process.name)

    def agree(self) -> None:
        """Wait until all is quiet, time passing fast, and assert that the books agree."""
        urls = self.stack.urls
        found = quiet.until_the_books_agree(
            urls.database, urls.sandbox, [ACCOUNT], seconds=PATIENCE_SECONDS, mail_dir=self.stack.mail_dir
        )
        assert not found, "\n".join(map(str, found))


@contextlib.contextmanager
def opened(folder: Path, **options: Any) -> Iterator[House]:
    """Run a house of its own, with servers of its own."""
    points = Points(folder)
    env = {"PAYDESK_FAULT_DIR": str(folder), **options.pop("env", {})}
    if broker := os.environ.get(rabbitmq.VARIABLE):
        env["CELERY_BROKER_URL"] = broker
    with Stack(say=lambda _line: None, env=env, **options) as stack:
        yield House(stack, demo.open_studio(stack), points)
