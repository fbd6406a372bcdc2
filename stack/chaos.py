"""`make chaos`: customers buy while everything around them fails at random; then our books must agree with Stripe's.

`SEED=7 SALES=3000 make chaos` plans the same again: what each customer does, which faults Stripe has and how
often, what is killed and when. (What meets what is the machine's to decide.) Exit code 0: all is quiet, no
customer was charged twice, no paid order is lost, and nobody who paid was left without an answer.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from stack import books, demo, quiet
from stack.books import Discrepancy
from stack.customer import Customer, Payment, Unexpected
from stack.demo import ACCOUNT, BAD_CARD, GOOD_CARD, Studio
from stack.processes import Stack

CUSTOMERS = 12  # at once: more only wait for two cores
SETTLE_SECONDS = 240.0
UNHURRIED_SECONDS = 5.0
AWAY_SECONDS = 90.0  # how long a customer presses again while the site is away
THREE_D_SECURE = "pm_card_threeDSecure2Required"
DIFFICULT_CARDS = (BAD_CARD, "pm_card_chargeDeclinedInsufficientFunds", "pm_card_chargeDeclinedExpiredCard")

# What Stripe does wrong, and how often; to the calls of our workers, and on the way of its events.
CALLS = r"^/v1/(payment_intents|refunds|charges)"
HTTP_FAULTS: tuple[tuple[str, float, dict[str, Any]], ...] = (
    ("latency", 0.05, {"ms": 400}),
    ("reset_before", 0.02, {}),
    ("reset_after", 0.03, {}),
    ("error_500_before", 0.02, {}),
    ("error_500_after", 0.03, {}),
    ("rate_limit_429", 0.02, {}),
    ("lock_timeout_429", 0.02, {}),
    ("truncated_body", 0.01, {}),
    ("garbage_200", 0.01, {}),
    ("webhook_before_answer", 0.05, {}),
    ("timeout_after", 0.002, {}),
    ("timeout_before", 0.002, {}),
)
WEBHOOK_FAULTS: tuple[tuple[str, float, dict[str, Any]], ...] = (
    ("webhook_drop", 0.05, {}),
    ("webhook_delay", 0.10, {"ms": 3000}),
    ("webhook_reorder", 0.10, {"ms": 1500}),
    ("webhook_double", 0.10, {}),
    ("webhook_bad_signature", 0.05, {}),
)


class PatientCustomer(Customer):
    """One who loads a page again, and presses again, until the site answers."""

    def _request(self, method: str, path: str, **options: Any) -> requests.Response:
        deadline = time.monotonic() + AWAY_SECONDS
        while True:
            with contextlib.suppress(requests.RequestException):
                response = super()._request(method, path, **options)
                if response.status_code < 500 or time.monotonic() > deadline:
                    return response
            if time.monotonic() > deadline:
                raise Unexpected(f"{method} {path}: away for {AWAY_SECONDS:.0f} s")
            time.sleep(0.5)


@dataclass
class Outcome:
    """What came of the run."""

    seed: int
    stories: collections.Counter[str] = field(default_factory=collections.Counter)
    ends: collections.Counter[str] = field(default_factory=collections.Counter)
    complaints: list[str] = field(default_factory=list)
    disasters: list[str] = field(default_factory=list)
    found: list[Discrepancy] = field(default_factory=list)
    counts: dict[str, Any] = field(default_factory=dict)
    selling_seconds: float = 0.0
    settling_seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        return not self.found and not self.complaints

    def lines(self) -> list[str]:
        """Return what a person reads."""
        told = [f"chaos: {dict(self.stories)}", f"ended: {dict(self.ends)}", f"broken: {self.disasters}"]
        told += [f"complaint: {line}" for line in self.complaints[:20]]
        told += [f"books: {one}" for one in self.found[:40]]
        told.append(f"counted: {self.counts}")
        verdict = "the books agree" if self.is_good else "SOMETHING IS WRONG"
        told.append(
            f"chaos: {sum(self.stories.values())} sales in {self.selling_seconds:.0f} s, quiet"
            f" {self.settling_seconds:.0f} s later, {len(self.found)} discrepancies,"
            f" {len(self.complaints)} complaints: {verdict} (SEED={self.seed})"
        )
        return told


Story = Callable[["Chaos", random.Random, PatientCustomer, str], str]


class Chaos:
    """One run against a running stack."""

    def __init__(self, stack: Stack, studio: Studio, *, seed: int, sales: int) -> None:
        self.stack, self.studio, self.seed, self.sales = stack, studio, seed, sales
        self.outcome = Outcome(seed)
        self._guard = threading.Lock()
        self._done = 0

    def run(self) -> Outcome:
        """Sell while things break, end every fault, wait for quiet, check the books."""
        began = time.monotonic()
        self._arm()
        disasters = threading.Thread(target=self._break_things, name="disasters")
        disasters.start()
        with ThreadPoolExecutor(CUSTOMERS) as pool:
            list(pool.map(self._sell, range(self.sales)))
        disasters.join()
        self.outcome.selling_seconds = time.monotonic() - began
        self._mend()
        began = time.monotonic()
        urls = self.stack.urls
        self.outcome.found = quiet.until_the_books_agree(
            urls.database,
            urls.sandbox,
            [ACCOUNT],
            seconds=SETTLE_SECONDS,
            mail_dir=self.stack.mail_dir,
            unhurried_seconds=UNHURRIED_SECONDS,
        )
        self.outcome.settling_seconds = time.monotonic() - began
        self.outcome.counts = books.counts(urls.database)
        return self.outcome

    # --- what Stripe does wrong ---

    def control(self, method: str, name: str, **given: Any) -> Any:
        """Call the sandbox's control API."""
        answer = requests.request(
            method, f"{self.stack.urls.sandbox}/_sandbox/{name}", json=given or None, timeout=30
        )
        answer.raise_for_status()
        return answer.json()

    def _arm(self) -> None:
        for number, (kind, probability, rest) in enumerate(HTTP_FAULTS):
            # Customers confirm at Stripe themselves; what fails there is between the two of them.
            match = {"account": ACCOUNT, "path": f"{CALLS}(?!.*confirm)"}
            self.control(
                "POST", "faults", kind=kind, probability=probability, seed=self.seed + number, match=match, **rest
            )  # fmt: skip
        for number, (kind, probability, rest) in enumerate(WEBHOOK_FAULTS):
            self.control(
                "POST", "faults", kind=kind, probability=probability, seed=self.seed - number,
                match={"account": ACCOUNT}, **rest,
            )  # fmt: skip

    def _mend(self) -> None:
        self.control("DELETE", "faults")
        for process in self.stack.processes():
            self.stack.bring_up(process.name)

    # --- what customers do ---

    def _sell(self, number: int) -> None:
        chance = random.Random(f"{self.seed} {number}")  # noqa: S311 - repeatable on purpose
        (story,) = chance.choices(
            [story for story, _weight in STORIES], [weight for _story, weight in STORIES]
        )
        customer = PatientCustomer(site=self.studio.site, stripe=self.stack.urls.sandbox)
        try:
            end = story(self, chance, customer, self._cart(chance, customer, number))
        except (Unexpected, requests.RequestException, KeyError) as error:
            end = "complained"
            with self._guard:
                self.outcome.complaints.append(f"sale {number} ({story.__name__}): {error}")
        with self._guard:
            self._done += 1
            self.outcome.stories[story.__name__] += 1
            self.outcome.ends[end] += 1

    def _cart(self, chance: random.Random, customer: Customer, number: int) -> str:
        code = chance.choice(("VIDEO", "BLOCK", "WS-BACK", "PASS1"))
        return customer.fill_cart(
            {self.studio.item(code): chance.randint(1, 3)},
            name=f"Guest {number}",
            email=f"guest{number}@guest.example",
            tip_percent=chance.choice((None, 15)),
        )

    # --- what else breaks ---

    def _break_things(self) -> None:
        chance = random.Random(f"{self.seed} disasters")  # noqa: S311
        disasters = list(DISASTERS) * max(1, self.sales // 1000)
        chance.shuffle(disasters)
        for number, disaster in enumerate(disasters, start=1):
            at = self.sales * number // (len(disasters) + 1)
            while self._done < at:
                time.sleep(0.05)
            try:
                disaster(self.stack, chance)
                self.outcome.disasters.append(disaster.__name__)
            except ProcessLookupError:  # it is down already: the stack is starting it again
                self.outcome.disasters.append(f"{disaster.__name__} (was down)")


# --- stories ----------------------------------------------------------------------------------------


def buys(_chaos: Chaos, _chance: random.Random, customer: PatientCustomer, cart: str) -> str:
    payment = customer.ask_to_pay(cart)
    customer.pay(payment, GOOD_CARD)
    return _paid(customer, payment)


def leaves_after_paying(_chaos: Chaos, _chance: random.Random, customer: PatientCustomer, cart: str) -> str:
    """Pay and close the browser: nobody asks for a read."""
    payment = customer.ask_to_pay(cart)
    customer.confirm(payment, GOOD_CARD)
    return "left after paying"


def is_declined_first(_chaos: Chaos, chance: random.Random, customer: PatientCustomer, cart: str) -> str:
    payment = customer.ask_to_pay(cart)
    for _ in range(chance.randint(1, 3)):
        if not customer.pay(payment, chance.choice(DIFFICULT_CARDS)):
            raise Unexpected("a bad card was not declined")
    customer.pay(payment, GOOD_CARD)
    return _paid(customer, payment)


def clicks_twice(_chaos: Chaos, chance: random.Random, customer: PatientCustomer, cart: str) -> str:
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


def proves_who_it_is(chaos: Chaos, chance: random.Random, customer: PatientCustomer, cart: str) -> str:
    """Pay by 3-D Secure, which may fail the first time."""
    payment = customer.ask_to_pay(cart)
    for outcome in ["fail"] * chance.randint(0, 1) + ["authorise"]:
        customer.confirm(payment, THREE_D_SECURE)
        intent = payment.client_secret.partition("_secret_")[0]
        chaos.control("POST", f"payment_intents/{intent}/authenticate", outcome=outcome)
        customer.check(payment)
    return _paid(customer, payment)


def cancels(_chaos: Chaos, _chance: random.Random, customer: PatientCustomer, cart: str) -> str:
    payment = customer.press_pay(cart)
    customer.cancel(payment)
    return str(customer.wait_for_the_end(payment)["state"])


def cancels_and_buys(_chaos: Chaos, _chance: random.Random, customer: PatientCustomer, cart: str) -> str:
    """Cancel, and pay the same cart again with a new form."""
    payment = customer.ask_to_pay(cart)
    customer.cancel(payment)
    if customer.wait_for_the_end(payment)["state"] != "cancelled":
        raise Unexpected("an unpaid payment did not end cancelled")
    again = customer.ask_to_pay(cart)
    customer.pay(again, GOOD_CARD)
    return _paid(customer, again)


def cancels_while_paying(_chaos: Chaos, chance: random.Random, customer: PatientCustomer, cart: str) -> str:
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


def abandons(_chaos: Chaos, chance: random.Random, customer: PatientCustomer, cart: str) -> str:
    payment = customer.press_pay(cart) if chance.random() < 0.5 else customer.ask_to_pay(cart)
    return f"left a {'form' if payment.client_secret else 'page'}"


STORIES: tuple[tuple[Story, int], ...] = (
    (buys, 44),
    (leaves_after_paying, 10),
    (is_declined_first, 10),
    (clicks_twice, 10),
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


# --- disasters --------------------------------------------------------------------------------------


def stripe_worker_killed(stack: Stack, _chance: random.Random) -> None:
    stack.kill_worker("stripe")


def ledger_worker_killed(stack: Stack, _chance: random.Random) -> None:
    stack.kill_worker("ledger")


def mail_worker_killed(stack: Stack, _chance: random.Random) -> None:
    stack.kill_worker("mail")


def child_killed(stack: Stack, chance: random.Random) -> None:
    """Kill one process of the prefork pool."""
    pid = stack.pid("worker-ledger-1")
    if pid is None:
        raise ProcessLookupError("worker-ledger-1 is down")
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if children:
            os.kill(int(chance.choice(children)), signal.SIGKILL)


def every_worker_killed(stack: Stack, _chance: random.Random) -> None:
    for kind in ("stripe", "mail", "ledger"):
        with contextlib.suppress(ProcessLookupError):
            stack.kill(f"worker-{kind}-1")


def stripe_worker_halted(stack: Stack, _chance: random.Random) -> None:
    """Stop it for some seconds, as a virtual machine that is moved."""
    stack.send("worker-stripe-1", signal.SIGSTOP)
    time.sleep(3)
    stack.send("worker-stripe-1", signal.SIGCONT)


def beat_killed(stack: Stack, _chance: random.Random) -> None:
    stack.kill("beat")


def web_killed(stack: Stack, _chance: random.Random) -> None:
    stack.kill("web")


def redis_wiped(stack: Stack, _chance: random.Random) -> None:
    stack.redis.wipe()


def redis_killed(stack: Stack, _chance: random.Random) -> None:
    stack.redis.kill()
    time.sleep(1)
    stack.redis.restart()


def postgres_killed(stack: Stack, _chance: random.Random) -> None:
    stack.postgres.kill()
    stack.postgres.restart()


Disaster = Callable[[Stack, random.Random], None]
DISASTERS: tuple[Disaster, ...] = (
    stripe_worker_killed,
    ledger_worker_killed,
    mail_worker_killed,
    child_killed,
    every_worker_killed,
    stripe_worker_halted,
    beat_killed,
    web_killed,
    redis_wiped,
    redis_killed,
    postgres_killed,
)


def main() -> None:
    """Run it; print what happened; end with 1 where the books disagree or a customer complained."""
    parser = argparse.ArgumentParser(description="Sell while everything fails, then check the books")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    parser.add_argument("--sales", type=int, default=3000)
    options = parser.parse_args()
    print(f"chaos: SEED={options.seed} SALES={options.sales}", flush=True)
    with Stack() as stack:
        outcome = Chaos(stack, demo.open_studio(stack), seed=options.seed, sales=options.sales).run()
    print("\n".join(outcome.lines()), flush=True)
    sys.exit(0 if outcome.is_good else 1)


if __name__ == "__main__":
    main()
