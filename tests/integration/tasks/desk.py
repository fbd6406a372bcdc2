"""A till with readers at the sandbox, for tests of what happens on them."""

from __future__ import annotations

import datetime
import itertools
import uuid
from dataclasses import dataclass, field
from typing import Any

import orjson
import stripe
from django.utils import timezone

from stack.reader import Reader as AtReader
from tasks import relay
from tasks.reader_looks import look_at_readers
from tasks.webhooks import drain_inbox
from tests.factories import StaffFactory
from tests.integration.conftest import AtStripe
from tests.shop import claim
from web.core.models import Profile
from web.payments.jobs import CATALOGUE, Lease
from web.payments.models import Attempt, Cart, Job, Order, Payment, Reader, ReaderAction
from web.payments.operations import arrivals, terminal
from web.payments.operations.arrivals import Arrived
from web.payments.queries.quotes import quote

_numbers = itertools.count(1)


@dataclass
class Desk:
    """A shop at the sandbox with a member of staff; readers are registered as they are asked for."""

    at: AtStripe
    staff: Profile = field(init=False)

    def __post_init__(self) -> None:
        self.staff = StaffFactory.create(business=self.at.shop.business, name="Dana Desk")

    def reader(self, label: str = "") -> tuple[Reader, AtReader]:
        """Return a ready reader: our row, and the person in front of it."""
        label = label or f"Reader {next(_numbers)}"
        hand = AtReader.register(sandbox=self.at.sandbox.base, key=f"sk_test_{self.at.slug}_one", label=label)
        row = Reader.objects.create(
            business=self.at.shop.business,
            account=self.at.shop.account,
            location=self.at.shop.location,
            state=Reader.State.READY,
            label=label,
            stripe_reader_id=hand.id,
            created_at=timezone.now(),
        )
        return row, hand

    def start(
        self, reader: Reader, cart: Cart | None = None, *, form_token: str | None = None, **rest: Any
    ) -> ReaderAction:
        """Ask for a cart's payment on a reader, as a till does."""
        cart = cart or self.at.shop.cart()
        return terminal.start(
            business=self.at.shop.business,
            token=cart.token,
            reader_id=reader.public_id,
            form_token=form_token or uuid.uuid4().hex,
            expected_total_minor=quote(cart).totals.total.amount
            if cart.frozen_total_minor is None
            else cart.frozen_total_minor,
            staff=rest.pop("staff", self.staff),
            now=timezone.now(),
            **rest,
        ).action

    def shown(self, reader: Reader, cart: Cart | None = None, **rest: Any) -> ReaderAction:
        """Return an action that its reader shows: waiting for a card."""
        action = self.start(reader, cart, **rest)
        run("serve_reader")
        action.refresh_from_db()
        assert action.state == "waiting", (action.state, action.failure_code)
        return action

    def cancel(self, action: ReaderAction) -> ReaderAction:
        return terminal.request_cancel(
            business=self.at.shop.business, action_id=action.public_id, staff=self.staff, now=timezone.now()
        )

    def hear(self, *kinds: str) -> None:
        """Let Stripe's events arrive (of these kinds only, if any are named), and apply them."""
        for event in self.at.events():
            if not kinds or event["type"] in kinds:
                arrivals.store(
                    account_id=self.at.shop.account.id,
                    event=Arrived(
                        event_id=event["id"],
                        event_type=event["type"],
                        object_id=event["data"]["object"]["id"],
                        occurred_at=datetime.datetime.fromtimestamp(event["created"], tz=datetime.UTC),
                        payload_json=orjson.dumps(event).decode(),
                    ),
                    now=timezone.now(),
                )
        drain_inbox()

    def intent(self, action: ReaderAction) -> stripe.PaymentIntent:
        """Return the intent as Stripe has it."""
        payment = Payment.objects.get(id=action.payment_id)
        assert payment.intent_id is not None
        return self.at.v1.payment_intents.retrieve(payment.intent_id)


def run(name: str) -> Lease:
    """Claim the due jobs of a queue, oldest first, and run them until one of this name has run."""
    for _ in range(20):
        leases = claim(CATALOGUE[name].queue)
        assert leases, f"no {name} is due"
        relay.run(leases[0])
        if leases[0].kind.name == name:
            return leases[0]
    raise AssertionError(name)


def work() -> None:
    """Run everything that is due, hurrying what waits for another try, until nothing is."""
    for _ in range(30):
        Job.objects.filter(state="waiting").update(due_at=timezone.now())
        leases = [lease for queue in ("intents", "terminal", "refunds") for lease in claim(queue, limit=5)]
        if not leases:
            return
        for lease in leases:
            relay.run(lease)
    raise AssertionError("it never ends")


def look() -> int:
    """Let every active action be due, and look at some."""
    ReaderAction.objects.filter(next_poll_at__isnull=False).update(next_poll_at=timezone.now())
    return look_at_readers()


def state_of(action: ReaderAction) -> tuple[str, str]:
    """Return the states of an action and its payment as they are now."""
    action.refresh_from_db()
    return action.state, Payment.objects.get(id=action.payment_id).state


def charged(desk: Desk) -> list[int]:
    """Return the amounts that Stripe has taken in this account."""
    return [charge["amount"] for charge in desk.at.books()["charges"] if charge["status"] == "succeeded"]


def paid_once(desk: Desk, action: ReaderAction) -> Order:
    """Assert the one good end."""
    assert state_of(action) == ("succeeded", "succeeded")
    order = Order.objects.get()
    assert charged(desk) == [order.total_minor]
    assert not Cart.objects.exists()
    assert not Attempt.objects.filter(state__in=["sent", "unknown"]).exists()
    return order
