"""What customers and staff do: each story ends with what became of it, or complains."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

from stack.chaos.patient import PatientClerk, PatientCustomer, PatientManager
from stack.customer import Payment, Unexpected
from stack.demo import BAD_CARD, GOOD_CARD, PASSWORD, Studio

THREE_D_SECURE = "pm_card_threeDSecure2Required"
DISPUTED_CARD = "pm_card_createDispute"
DIFFICULT_CARDS = (BAD_CARD, "pm_card_chargeDeclinedInsufficientFunds", "pm_card_chargeDeclinedExpiredCard")
AT_THE_TILL, ITS_TOTAL = "PASS1", 2200  # untaxed


@dataclass
class Scene:
    """Where the stories play: the studio, the sandbox's controls, and the staff, signed in before anything breaks."""

    studio: Studio
    sandbox: str
    clerk: PatientClerk
    readers: list[str]

    @classmethod
    def open(cls, studio: Studio, sandbox: str) -> Scene:
        clerk = PatientClerk(site=studio.site, email=studio.person("desk")["email"], password=PASSWORD)
        readers = [reader["reader"] for reader in clerk.wait_for_readers(len(studio.seeded["readers"]))]
        return cls(studio, sandbox, clerk, readers)

    def control(self, method: str, name: str, **given: Any) -> Any:
        """Call the sandbox's control API."""
        answer = requests.request(method, f"{self.sandbox}/_sandbox/{name}", json=given or None, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def manager(self) -> PatientManager:
        return PatientManager(
            site=self.studio.site, email=self.studio.person("owner")["email"], password=PASSWORD
        )


Story = Callable[[Scene, random.Random, PatientCustomer, str], str]


def buys(_scene: Scene, _chance: random.Random, customer: PatientCustomer, cart: str) -> str:
    payment = customer.ask_to_pay(cart)
    customer.pay(payment, GOOD_CARD)
    return _paid(customer, payment)


def leaves_after_paying(_scene: Scene, _chance: random.Random, customer: PatientCustomer, cart: str) -> str:
    """Pay and close the browser: nobody asks for a read."""
    payment = customer.ask_to_pay(cart)
    customer.confirm(payment, GOOD_CARD)
    return "left after paying"


def is_declined_first(_scene: Scene, chance: random.Random, customer: PatientCustomer, cart: str) -> str:
    payment = customer.ask_to_pay(cart)
    for _ in range(chance.randint(1, 3)):
        if not customer.pay(payment, chance.choice(DIFFICULT_CARDS)):
            raise Unexpected("a bad card was not declined")
    customer.pay(payment, GOOD_CARD)
    return _paid(customer, payment)


def clicks_twice(_scene: Scene, chance: random.Random, customer: PatientCustomer, cart: str) -> str:
    """Press Pay several times at once, then once more in another tab: one payment."""
    form = customer.form(cart)
    pressed: list[str] = []
    clicks = [
        threading.Thread(target=lambda: pressed.append(customer.send(form).id_in_url))
        for _ in range(chance.randint(1, 3))
    ]
    for click in clicks:
        click.start()
    payment = customer.send(form)
    for click in clicks:
        click.join()
    other = customer.press_pay(cart)
    if {*pressed, payment.id_in_url, other.id_in_url} != {payment.id_in_url}:
        raise Unexpected("several payments for one cart")
    payment = customer.wait_for_the_form(payment)
    customer.pay(payment, GOOD_CARD)
    return _paid(customer, payment)


def proves_who_it_is(scene: Scene, chance: random.Random, customer: PatientCustomer, cart: str) -> str:
    """Pay by 3-D Secure, which may fail the first time."""
    payment = customer.ask_to_pay(cart)
    for outcome in ["fail"] * chance.randint(0, 1) + ["authorise"]:
        customer.confirm(payment, THREE_D_SECURE)
        intent = payment.client_secret.partition("_secret_")[0]
        scene.control("POST", f"payment_intents/{intent}/authenticate", outcome=outcome)
        customer.check(payment)
    return _paid(customer, payment)


def cancels(_scene: Scene, _chance: random.Random, customer: PatientCustomer, cart: str) -> str:
    payment = customer.press_pay(cart)
    customer.cancel(payment)
    return str(customer.wait_for_the_end(payment)["state"])


def cancels_and_buys(_scene: Scene, _chance: random.Random, customer: PatientCustomer, cart: str) -> str:
    """Cancel, and pay the same cart again with a new form."""
    payment = customer.ask_to_pay(cart)
    customer.cancel(payment)
    if customer.wait_for_the_end(payment)["state"] != "cancelled":
        raise Unexpected("an unpaid payment did not end cancelled")
    again = customer.ask_to_pay(cart)
    customer.pay(again, GOOD_CARD)
    return _paid(customer, again)


def cancels_while_paying(_scene: Scene, chance: random.Random, customer: PatientCustomer, cart: str) -> str:
    """Cancel in one tab and pay in the other: either, never both."""
    payment = customer.ask_to_pay(cart)
    declined: list[str] = []
    paying = threading.Thread(target=lambda: declined.append(customer.try_to_confirm(payment, GOOD_CARD)))
    if chance.random() < 0.5:
        paying.start()
        customer.cancel(payment)
    else:
        customer.cancel(payment)
        paying.start()
    paying.join()
    state = str(customer.wait_for_the_end(payment)["state"])
    if (state == "succeeded") != (declined == [""]):
        raise Unexpected(f"Stripe said {declined}, we say {state}")
    return f"cancelled while paying: {state}"


def abandons(_scene: Scene, chance: random.Random, customer: PatientCustomer, cart: str) -> str:
    payment = customer.press_pay(cart) if chance.random() < 0.5 else customer.ask_to_pay(cart)
    return f"left a {'form' if payment.client_secret else 'page'}"


def is_served_at_the_till(scene: Scene, chance: random.Random, _customer: PatientCustomer, _cart: str) -> str:
    """Pay on a reader that other tills use too; a customer whose card is declined takes another one."""
    clerk = scene.clerk.beside()
    cart = clerk.fill_cart(scene.studio.item(AT_THE_TILL))
    sale = clerk.sell(cart, reader=chance.choice(scene.readers), total=ITS_TOTAL)
    if not sale.status["order"]:
        raise Unexpected("paid on a reader, and no order")
    return "paid at the till"


def brings_something_back(scene: Scene, _chance: random.Random, customer: PatientCustomer, cart: str) -> str:
    """Buy, and have an item taken back: the last button is pressed twice."""
    payment = customer.ask_to_pay(cart)
    customer.pay(payment, GOOD_CARD)
    _paid(customer, payment)
    number = str(payment.status["order"]["number"])
    manager = scene.manager()
    manager.give_back_first_item(number, reason="It did not fit")
    manager.wait_until_given_back(number)
    return "paid, and a part given back"


def disputes_it(_scene: Scene, _chance: random.Random, customer: PatientCustomer, cart: str) -> str:
    """Pay, and have the bank take it back a moment later."""
    payment = customer.ask_to_pay(cart)
    customer.pay(payment, DISPUTED_CARD)
    _paid(customer, payment)
    return "paid, and disputed"


STORIES: tuple[tuple[Story, int], ...] = (
    (buys, 28),
    (is_served_at_the_till, 10),
    (brings_something_back, 7),
    (disputes_it, 2),
    (leaves_after_paying, 10),
    (is_declined_first, 9),
    (clicks_twice, 9),
    (proves_who_it_is, 6),
    (cancels, 5),
    (cancels_and_buys, 5),
    (cancels_while_paying, 5),
    (abandons, 5),
)


def _paid(customer: PatientCustomer, payment: Payment) -> str:
    status = customer.wait_for_the_end(payment)
    if status["state"] != "succeeded" or not status["order"]:
        raise Unexpected(f"paid, and told {status['state']}")
    if status["order"]["number"] not in customer.receipt(payment):
        raise Unexpected("a receipt without its order's number")
    return "paid"
