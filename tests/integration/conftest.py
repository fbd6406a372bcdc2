"""The local Stripe in its own process, for what integrates with it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import stripe
from pytest_django import Settings
from redis import Redis

from tests import produced
from tests.contract.conftest import Running
from tests.shop import Shop
from web.payments.models import Payment

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One sandbox for the session; every shop has an account of its own in it."""
    yield from run_sandbox(tmp_path_factory)


def run_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run a sandbox, and judge at its end what it was sent."""
    running = Running(
        str(tmp_path_factory.mktemp("sandbox") / "state.sqlite3"), "--webhook-retry-base-ms", "20"
    )
    yield running
    produced.judge(running.base)
    running.stop()


class AtStripe:
    """A shop and what it looks like from Stripe's side."""

    def __init__(self, sandbox: Running, shop: Shop, slug: str) -> None:
        self.sandbox, self.shop, self.slug = sandbox, shop, slug
        self.v1 = sandbox.client(f"sk_test_{slug}_one").v1

    def books(self) -> dict[str, Any]:
        """Return Stripe's own record of the account."""
        books: dict[str, Any] = self.sandbox.control("GET", f"books/{self.slug}")
        return books

    def intents(self) -> list[dict[str, Any]]:
        """Return all intents of the account."""
        return list(self.books()["payment_intents"])

    def pay(self, paid: Payment | str, card: str = "pm_card_visa") -> stripe.PaymentIntent:
        """Confirm a payment's intent, or one by its id, as Stripe.js does for a customer."""
        intent_id = paid if isinstance(paid, str) else paid.intent_id
        assert intent_id is not None
        return self.v1.payment_intents.confirm(
            intent_id, {"payment_method": card, "return_url": "https://shop.example/return"}
        )

    def events(self) -> list[dict[str, Any]]:
        """Return all events of the account as webhooks would carry them, oldest first."""
        listed = self.v1.events.list({"limit": 100})
        return [event.to_dict() for event in listed.auto_paging_iter()][::-1]

    def fault(self, kind: str, **rest: Any) -> None:
        """Arm a fault for this account."""
        match = {"account": self.slug, **rest.pop("match", {})}
        self.sandbox.control("POST", "faults", kind=kind, match=match, **rest)


@pytest.fixture
def at_stripe(sandbox: Running, settings: Settings) -> Callable[..., AtStripe]:
    """Make a shop whose account is at the sandbox; ask for it after the database fixture."""
    settings.STRIPE_API_BASE = sandbox.base
    Redis.from_url(
        settings.REDIS_URL
    ).flushdb()  # what earlier tests used up of budgets, and shut of breakers

    def make(**options: Any) -> AtStripe:
        slug = f"integration{next(_numbers)}"
        return AtStripe(sandbox, Shop.make(slug=slug, **options), slug)

    return make
