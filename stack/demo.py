"""`make demo`: the whole of Paydesk running on this machine; sells online, shows how each sale went, stays up.

`python -m stack.demo --once` does the same and ends: 0 only if every sale ended as it should. Customers
come over real HTTP, workers are real processes, and what is counted at the end is counted twice: in our
books and in Stripe's.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import requests

from stack.clerk import Clerk
from stack.customer import Customer, Payment, Unexpected
from stack.lifetime import StartError
from stack.manager import Manager
from stack.processes import Stack
from stack.reader import Reader

ACCOUNT = "hanriver"
SECRET_KEY = f"sk_test_{ACCOUNT}_demo"
PUBLISHABLE_KEY = f"pk_test_{ACCOUNT}_demo"
PASSWORD = "paydesk-demo"  # noqa: S105  # of a studio that lives as long as this process, on this machine only
READY_SECONDS = 150  # on a machine that has other things to do; ordinarily a second or two
READERS = ("Front desk", "Studio door")
GOOD_CARD, BAD_CARD = "pm_card_visa", "pm_card_visa_chargeDeclined"


class Running(Protocol):
    """What the stories need of a running Paydesk: this machine's stack, or a compose project."""

    @property
    def urls(self) -> Addresses: ...

    def manage(self, *arguments: str, log: str = ...) -> str: ...


class Addresses(Protocol):
    """Where the site and the sandbox answer."""

    @property
    def web(self) -> str: ...

    @property
    def sandbox(self) -> str: ...


@dataclass
class Studio:
    """The seeded studio: where it answers and what it sells."""

    site: str
    seeded: dict[str, Any]

    def item(self, code: str) -> int:
        return int(self.seeded["items"][code])

    def person(self, local: str) -> dict[str, str]:
        """Return one of the studio's people: their address, name and id."""
        people: list[dict[str, str]] = self.seeded["people"]
        (known,) = (one for one in people if one["email"] == f"{local}@hanriver.example")
        return known


@dataclass
class Sale:
    """One story of the demo: what it should end as, and what it did."""

    title: str
    payment: Payment
    is_settled: bool
    seconds: float


def main() -> None:
    """Run the demo; end with code 1 and the reason when a part does not start or a sale goes wrong."""
    parser = argparse.ArgumentParser(
        description="Run the whole of Paydesk on this machine and sell something"
    )
    parser.add_argument("--once", action="store_true", help="end when it has sold")
    options = parser.parse_args()
    try:
        with Stack() as stack:
            studio = open_studio(stack)
            summary, is_good = sell(stack, studio)
            if not options.once:
                print(f"\n{summary}", flush=True)
                print_addresses(stack, studio)
                with contextlib.suppress(KeyboardInterrupt):
                    signal.pause()
                print("\nstopping", flush=True)
        if options.once:
            print(summary, flush=True)  # the last line, after everything has ended
            sys.exit(0 if is_good else 1)
    except (StartError, Unexpected, requests.RequestException) as error:
        sys.exit(f"demo: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def open_studio(stack: Running, *, as_seen_by_stripe: str = "") -> Studio:
    """Seed a studio, give it an account at the sandbox with a webhook, wait until a worker has checked its keys.

    `as_seen_by_stripe` is the site's address from where the sandbox runs, if it is another one.
    """
    print("studio: seeding", flush=True)
    keys = ("--publishable-key", PUBLISHABLE_KEY, "--secret-key", SECRET_KEY, "--password", PASSWORD)
    seeded = json.loads(stack.manage("seed_studio", *keys, log="seed.log"))
    answer = requests.post(
        f"{stack.urls.sandbox}/v1/webhook_endpoints",
        data={"url": (as_seen_by_stripe or stack.urls.web) + seeded["webhook_path"], "enabled_events[]": "*"},
        headers={"Authorization": f"Bearer {SECRET_KEY}"},
        timeout=20,
    )
    answer.raise_for_status()
    secret = answer.json()["secret"]
    readers = [argument for label in READERS for argument in ("--reader", label)]
    ready = ("--webhook-secret", secret, *readers, "--wait", str(READY_SECONDS))
    seeded = json.loads(stack.manage("seed_studio", *ready, log="seed.log"))
    return Studio(stack.urls.web.replace("127.0.0.1", "localhost"), seeded)


# --- the stories ------------------------------------------------------------------------------------


def sell(stack: Running, studio: Studio) -> tuple[str, bool]:
    """Play every story; return the last line to print, and whether all ended as they should."""
    print("\nselling", flush=True)
    stories: list[Callable[[Running, Studio], Sale]] = [
        _paid_and_a_part_given_back,
        _declined_then_paid,
        _on_a_reader,
        _balance_and_card,
        _abandoned,
    ]
    sales = []
    for story in stories:
        sale = story(stack, studio)
        sales.append(sale)
        print(f"\n{sale.title}: {sale.payment.state} after {sale.seconds:.1f} s", flush=True)
        print(stack.manage("timeline", sale.payment.id, log="timeline.log").rstrip(), flush=True)
    return _summary(stack, sales)


def _customer(stack: Running, studio: Studio) -> Customer:
    return Customer(site=studio.site, stripe=stack.urls.sandbox)


def _paid_and_a_part_given_back(stack: Running, studio: Studio) -> Sale:
    began = time.monotonic()
    customer = _customer(stack, studio)
    cart = customer.fill_cart(
        {studio.item("PASS10"): 1, studio.item("BLOCK"): 2},
        name="Noor Guest",
        email="noor@guest.example",
        tip_percent=15,
    )
    payment = customer.ask_to_pay(cart)
    customer.pay(payment, GOOD_CARD)
    title = "A guest buys a pass and two blocks, with a tip; the pass is given back"
    sale = _ended(title, customer, payment, began)
    if sale.is_settled:
        _give_back_the_pass(studio, payment)
    return sale


def _give_back_the_pass(studio: Studio, payment: Payment) -> None:
    """Let the owner give the order's first line back, and wait until Stripe has."""
    manager = Manager(site=studio.site, email=studio.person("owner")["email"], password=PASSWORD)
    number = str(payment.status["order"]["number"])
    manager.give_back_first_item(number, reason="The teacher is ill")
    manager.wait_until_given_back(number)


def _declined_then_paid(stack: Running, studio: Studio) -> Sale:
    began = time.monotonic()
    customer = _customer(stack, studio)
    cart = customer.fill_cart({studio.item("VIDEO"): 1}, name="Leo Guest", email="leo@guest.example")
    payment = customer.ask_to_pay(cart)
    if not customer.pay(payment, BAD_CARD):
        raise Unexpected("the bad card was not declined")
    customer.pay(payment, GOOD_CARD)
    return _ended("A card is declined, another one pays the same payment", customer, payment, began)


def _at_the_desk(stack: Running, studio: Studio) -> tuple[Clerk, str, Reader]:
    """Return who stands at the till, the reader that it uses as the till names it, and the person at that."""
    clerk = Clerk(site=studio.site, email=studio.person("desk")["email"], password=PASSWORD)
    (reader,) = clerk.wait_for_readers()
    (known,) = (one for one in studio.seeded["readers"] if one["label"] == reader["label"])
    return clerk, reader["reader"], Reader(sandbox=stack.urls.sandbox, id=known["id"])


def _on_a_reader(stack: Running, studio: Studio) -> Sale:
    began = time.monotonic()
    clerk, reader, person = _at_the_desk(stack, studio)
    cart = clerk.fill_cart(studio.item("PASS1"))
    sale = clerk.put_on_reader(cart, reader=reader, total=2200, asks_for_tip=True)
    clerk.wait_until(sale, "waiting", "processing", "succeeded")
    person.give_tip(300)
    person.tap()
    status = clerk.wait_until(sale)
    is_settled = status["state"] == "succeeded" and status["order"] and status["order"]["total"] == 2500
    payment = Payment(sale.status_url, cart, {"payment": sale.payment, "state": status["payment_state"]})
    title = "At the desk a card is held to the reader, with a tip"
    return Sale(title, payment, bool(is_settled), time.monotonic() - began)


def _balance_and_card(stack: Running, studio: Studio) -> Sale:
    """Sam has 120.00 of balance and takes a pass for 180.00: the card pays what is missing."""
    began = time.monotonic()
    clerk, reader, person = _at_the_desk(stack, studio)
    cart = clerk.fill_cart(studio.item("PASS10"), customer=studio.person("sam")["id"])
    clerk.use_balance(cart, total=18000)
    sale = clerk.put_on_reader(cart, reader=reader, total=18000)
    clerk.wait_until(sale, "waiting", "processing", "succeeded")
    asked = person.wait_until_asked().amount
    if asked != 6000:
        raise Unexpected(f"the reader asks for {asked}, not for what the balance leaves")
    person.tap()
    status = clerk.wait_until(sale)
    is_settled = status["state"] == "succeeded" and status["order"] and status["order"]["total"] == 18000
    payment = Payment(sale.status_url, cart, {"payment": sale.payment, "state": status["payment_state"]})
    title = "At the desk the balance pays a part, and a card the rest"
    return Sale(title, payment, bool(is_settled), time.monotonic() - began)


def _abandoned(stack: Running, studio: Studio) -> Sale:
    began = time.monotonic()
    customer = _customer(stack, studio)
    cart = customer.fill_cart({studio.item("WS-BACK"): 1}, name="Ida Guest", email="ida@guest.example")
    payment = customer.ask_to_pay(cart)
    is_open = payment.state == "awaiting"
    return Sale("A customer leaves before paying", payment, not is_open, time.monotonic() - began)


def _ended(title: str, customer: Customer, payment: Payment, began: float) -> Sale:
    status = customer.wait_for_the_end(payment)
    is_settled = status["state"] == "succeeded" and bool(status["order"])
    if is_settled and status["order"]["number"] not in customer.receipt(payment):
        raise Unexpected("a receipt without its order's number")
    return Sale(title, payment, is_settled, time.monotonic() - began)


def _summary(stack: Running, sales: list[Sale]) -> tuple[str, bool]:
    """Compare our books with Stripe's: every charge has its order, every order its charge, and one refund."""
    books = requests.get(f"{stack.urls.sandbox}/_sandbox/books/{ACCOUNT}", timeout=20).json()
    charged = {
        charge["metadata"].get("payment") or charge["payment_intent"]
        for charge in books["charges"]
        if charge["status"] == "succeeded"
    }
    paid_intents = {
        intent["metadata"]["payment"]
        for intent in books["payment_intents"]
        if intent["status"] == "succeeded"
    }
    settled = {sale.payment.id for sale in sales if sale.is_settled}
    opened = [sale for sale in sales if not sale.is_settled and sale.payment.state == "awaiting"]
    lost = len(paid_intents ^ settled) + abs(len(charged) - len(settled))
    lost += abs(len(books["refunds"]) - 1)  # its last button was pressed twice
    line = f"demo: {len(settled)} sales settled, {len(opened)} carts open, {lost} lost"
    return line, lost == 0 and len(settled) + len(opened) == len(sales) and len(opened) == 1


def print_addresses(stack: Stack, studio: Studio) -> None:
    """Print where everything answers and who can sign in."""
    print(f"\n  shop       {studio.site}/")
    print(f"  till       {studio.site}/checkout/")
    print(f"  settings   {studio.site}/settings/")
    print(f"  purchases  {studio.site}/purchases/")
    for reader in studio.seeded.get("readers", []):
        address = f"{stack.urls.sandbox}/_sandbox/reader/{reader['id']}"
        print(f"  reader     {address} ({reader['label']}: hold a card to it)")
    print(f"  Stripe     {stack.urls.sandbox}/ (the sandbox: play the customer, see events)")
    print(f"  mail       {stack.mail_dir}")
    print(f"  logs       {stack.run_dir}\n")
    for person in studio.seeded["people"]:
        if person["email"].endswith("hanriver.example"):
            print(f"  {person['role']:<9} {person['email']:<24} {PASSWORD}")
    print("\nCtrl-C ends it.", flush=True)


if __name__ == "__main__":
    main()
