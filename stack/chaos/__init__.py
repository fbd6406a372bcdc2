"""`make chaos`: customers buy while everything around them fails at random; then our books must agree with Stripe's.

`SEED=7 SALES=3000 make chaos` plans the same again: what each customer does, which faults Stripe has and how
often, what is killed and when. (What meets what is the machine's to decide.) Exit code 0: all is quiet, no
customer was charged twice, no paid order is lost, and nobody who paid was left without an answer.
"""

from __future__ import annotations

import collections
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import requests

from stack import books, quiet
from stack.books import Discrepancy
from stack.chaos.disasters import DISASTERS
from stack.chaos.faults import CALLS, HTTP_FAULTS, WEBHOOK_FAULTS
from stack.chaos.patient import PatientCustomer
from stack.chaos.stories import STORIES, Scene
from stack.customer import Customer, Unexpected
from stack.demo import ACCOUNT, Studio
from stack.processes import Stack
from stack.reader import Reader, tap_all_by_themselves

CUSTOMERS = 12  # at once: more only wait for two cores
SETTLE_SECONDS = 240.0
UNHURRIED_SECONDS = 5.0
TOLD_EVERY = 250  # sales
PEOPLE_AT_READERS: dict[str, Any] = {"after_ms": 500, "outcomes": {"pay": 0.85, "decline": 0.15}}


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


class Chaos:
    """One run against a running stack."""

    def __init__(self, stack: Stack, studio: Studio, *, seed: int, sales: int) -> None:
        self.stack, self.studio, self.seed, self.sales = stack, studio, seed, sales
        self.outcome = Outcome(seed)
        self._guard = threading.Lock()
        self._scene: Scene
        self._done = 0

    def run(self) -> Outcome:
        """Sell while things break, end every fault, wait for quiet, check the books."""
        tap_all_by_themselves(sandbox=self.stack.urls.sandbox, account=ACCOUNT, **PEOPLE_AT_READERS)
        self._scene = Scene.open(self.studio, self.stack.urls.sandbox)
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

    def _arm(self) -> None:
        for number, (kind, probability, rest) in enumerate(HTTP_FAULTS):
            # Customers confirm at Stripe themselves; what fails there is between the two of them.
            match = {"account": ACCOUNT, "path": f"{CALLS}(?!.*confirm)"}
            self._scene.control(
                "POST", "faults", kind=kind, probability=probability, seed=self.seed + number, match=match, **rest
            )  # fmt: skip
        for number, (kind, probability, rest) in enumerate(WEBHOOK_FAULTS):
            self._scene.control(
                "POST", "faults", kind=kind, probability=probability, seed=self.seed - number,
                match={"account": ACCOUNT}, **rest,
            )  # fmt: skip

    def _mend(self) -> None:
        self._scene.control("DELETE", "faults")
        for process in self.stack.processes():
            self.stack.bring_up(process.name)
        for reader in Reader.everyone(sandbox=self.stack.urls.sandbox, account=ACCOUNT):
            reader.leave_alone()
        # What a webhook should have told, and did not: as on any day, but at once and not within minutes.
        self.stack.manage("backfill", log="backfill.log")

    # --- what customers do ---

    def _sell(self, number: int) -> None:
        chance = random.Random(f"{self.seed} {number}")  # noqa: S311 - repeatable on purpose
        (story,) = chance.choices(
            [story for story, _weight in STORIES], [weight for _story, weight in STORIES]
        )
        customer = PatientCustomer(site=self.studio.site, stripe=self.stack.urls.sandbox)
        try:
            end = story(self._scene, chance, customer, self._cart(chance, customer, number))
        except (Unexpected, requests.RequestException, KeyError) as error:
            end = "complained"
            with self._guard:
                self.outcome.complaints.append(f"sale {number} ({story.__name__}): {error}")
        with self._guard:
            self._done += 1
            if self._done % TOLD_EVERY == 0:
                print(f"chaos: {self._done} of {self.sales} sales", flush=True)
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
