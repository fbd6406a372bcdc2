"""What causes need: a studio that sells, Stripe's control desk, and time that passes for rows."""

from __future__ import annotations

import datetime
import itertools
import re
import time
from collections.abc import Callable
from typing import Any

import psycopg
import requests
from psycopg.rows import dict_row

from stack.alerts.runbook import Runbook
from stack.clerk import Clerk
from stack.customer import Customer, Payment
from stack.demo import PASSWORD, SECRET_KEY, Studio
from stack.processes import Stack

PATIENCE_SECONDS = 120.0
_numbers = itertools.count(1)
_FORM = re.compile(r'<form method="post" action="([^"]+/refund/)"[^>]*>(.*?)</form>', re.DOTALL)
_FIELD = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


class House:
    """A running stack, its studio, and the runbooks that were opened."""

    def __init__(self, stack: Stack, studio: Studio) -> None:
        self.stack, self.studio = stack, studio
        self.books: dict[str, Runbook] = {}
        self.kept: dict[str, Any] = {}  # what a cause leaves for its cure

    def book(self, page: str) -> Runbook:
        """Open a runbook."""
        return self.books.setdefault(page, Runbook(page, self.stack))

    # --- people ---

    def customer(self) -> tuple[Customer, str]:
        """Return a new customer and the token of their cart."""
        customer = Customer(site=self.studio.site, stripe=self.stack.urls.sandbox)
        number = next(_numbers)
        items = {self.studio.item("VIDEO"): 1}
        return customer, customer.fill_cart(
            items, name=f"Guest {number}", email=f"guest{number}@guest.example"
        )

    def at_the_form(self) -> tuple[Customer, Payment]:
        """Return a customer whose page could confirm now."""
        customer, cart = self.customer()
        return customer, customer.ask_to_pay(cart)

    def presses_pay(self) -> tuple[Customer, Payment]:
        """Return a customer who has pressed Pay and waits."""
        customer, cart = self.customer()
        return customer, customer.press_pay(cart)

    def clerk(self) -> Clerk:
        return Clerk(site=self.studio.site, email=self.studio.person("owner")["email"], password=PASSWORD)

    def give_back_held(self) -> int:
        """Press the button that gives back, of each payment that Purchases lists as held; return how many."""
        clerk = self.clerk()
        forms = _FORM.findall(clerk.page("/purchases/"))
        for action, inside in forms:
            clerk.post(action, dict(_FIELD.findall(inside)))
        return len(forms)

    def paste_webhook_secret(self, secret: str) -> None:
        """Paste it in Settings, as the owner."""
        self.fill_in("/settings/", "/settings/webhook/", secret=secret)

    def fill_in(self, page: str, address: str, **fields: str) -> None:
        """Send a form of a page, as the owner who has just signed in."""
        clerk = self.clerk()
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', clerk.page(page))
        assert token is not None
        clerk.post(address, {"csrfmiddlewaretoken": token[1], **fields})

    # --- Stripe ---

    def stripe(self, method: str, path: str, **data: Any) -> dict[str, Any]:
        """Call Stripe's API with the studio's key, as somebody at its dashboard would."""
        answer = requests.request(
            method,
            f"{self.stack.urls.sandbox}/v1/{path}",
            data=data,
            headers={"Authorization": f"Bearer {SECRET_KEY}"},
            timeout=30,
        )
        answer.raise_for_status()
        told: dict[str, Any] = answer.json()
        return told

    def control(self, method: str, name: str, **given: Any) -> Any:
        """Call the sandbox's control API."""
        answer = requests.request(
            method, f"{self.stack.urls.sandbox}/_sandbox/{name}", json=given or None, timeout=30
        )
        answer.raise_for_status()
        return answer.json()

    # --- rows ---

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.stack.urls.database, row_factory=dict_row, autocommit=True) as own:
            cursor = own.execute(query.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def minutes_pass(self, minutes: int) -> None:
        """Let time pass for whatever waits, has not moved, or was last heard."""
        for change in (
            "UPDATE payments_job SET due_at = due_at - %(ago)s WHERE state = 'waiting'",
            "UPDATE payments_inboxevent SET due_at = due_at - %(ago)s WHERE state = 'received'",
            (
                "UPDATE payments_payment SET state_changed_at = state_changed_at - %(ago)s"
                " WHERE state IN ('requested', 'unknown', 'cancelling', 'processing')"
            ),
            "UPDATE payments_readeraction SET next_poll_at = next_poll_at - %(ago)s WHERE next_poll_at IS NOT NULL",
            "UPDATE payments_workerpulse SET drained_at = drained_at - %(ago)s",
        ):
            with psycopg.connect(self.stack.urls.database, autocommit=True) as own:
                own.execute(change.encode(), {"ago": datetime.timedelta(minutes=minutes)})

    def until(self, is_so: Callable[[], Any], what: str) -> None:
        """Wait for something that must come."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_so():
            assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_SECONDS:.0f} s"
            time.sleep(0.3)
