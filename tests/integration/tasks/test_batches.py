"""A batch of events: what it costs is counted in statements, and one odd sale in it changes nothing for the others."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import requests
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tasks import relay
from tasks.webhooks import drain_inbox
from tests.contract.conftest import eventually
from tests.factories import ItemFactory, ProfileFactory
from tests.faults.test_dying_at_every_step import database_url
from tests.integration.conftest import AtStripe
from tests.integration.tasks.test_sale import arrive, awaiting, run, store
from tests.shop import claim_one, waiting
from web.payments import writes
from web.payments.models import Cart, InboxEvent, LedgerBalance, Order, Payment, PaymentEvent
from web.payments.operations import carts, drills, inbox
from web.payments.states import PaymentState

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., AtStripe]

STATEMENTS_A_BATCH = 21  # of any size: with its savepoints, its begin and its commit
STATEMENTS_A_JOB = 4  # beyond its claim
STATEMENTS_TO_CREATE_AN_INTENT = 31  # the claim, the attempt, the call, what came of it, the end
STRIPE_CALLS_A_SALE = 1  # beyond the customer's own


def paid(at: AtStripe, number: int) -> list[Payment]:
    """Return payments that their customers have paid, of which nothing has been heard yet."""
    payments = [awaiting(at) for _ in range(number)]
    for payment in payments:
        at.pay(payment)
    return payments


def stored(at: AtStripe) -> None:
    for event in at.events():
        store(at, event)


def test_a_batch_costs_the_same_statements_whatever_its_size(at_stripe: Make) -> None:
    at = at_stripe()
    counted = []
    for number in (2, 8):
        paid(at, number)
        stored(at)
        with CaptureQueriesContext(connection) as seen:
            drain_inbox()
        counted.append(len(seen))
    assert Order.objects.count() == 10
    assert not InboxEvent.objects.filter(state="received").exists()
    assert max(counted) <= STATEMENTS_A_BATCH, [one["sql"][:90] for one in seen]


def test_what_a_sale_asks_of_stripe_and_of_the_database(
    at_stripe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = at_stripe()
    at.shop.request(at.shop.cart())
    calls: list[str] = []
    send = requests.Session.request

    def counted(
        session: requests.Session, method: str, url: str, *rest: Any, **more: Any
    ) -> requests.Response:
        calls.append(f"{method} {url}")
        return send(session, method, url, *rest, **more)

    with CaptureQueriesContext(connection) as seen, monkeypatch.context() as patch:
        patch.setattr(requests.Session, "request", counted)
        run("create_intent")
    assert len(seen) <= STATEMENTS_TO_CREATE_AN_INTENT, [one["sql"][:90] for one in seen]
    payment = Payment.objects.get()
    at.pay(payment)
    events = at.events()
    with monkeypatch.context() as patch:
        patch.setattr(requests.Session, "request", counted)
        arrive(at, events)
    assert Order.objects.count() == 1
    assert len(calls) == STRIPE_CALLS_A_SALE, calls


def test_sales_applied_together_end_as_sales_applied_alone(at_stripe: Make) -> None:
    """The rows that a batch leaves are those that its sales would have left one by one, to the column."""
    at = at_stripe()
    together, alone = paid(at, 1), paid(at, 1)
    first, second = (str(payments[0].intent_id) for payments in (together, alone))
    told_last = {"charge.updated"}  # of each, a moment after the rest
    eventually(
        lambda: all(told_last <= {event["type"] for event in _told(at)[each]} for each in (first, second)),
        "all that Stripe tells of both",
    )
    by_intent = _told(at)
    arrive(at, by_intent[first])
    for event in by_intent[second]:
        store(at, event)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writes, "flush", _refuse)
        drain_inbox()
    assert _picture(together[0]) == _picture(alone[0])


def test_a_batch_that_takes_its_time_leaves_the_rest_to_the_next_one(
    at_stripe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sales that cannot be applied together are let go of, the one that has waited longest first of all."""
    at = at_stripe()
    payments = sorted(paid(at, 3), key=lambda payment: str(payment.cart_reference), reverse=True)
    stored(at)
    told, now = _told(at), timezone.now()
    for minutes, payment in zip((3, 2, 1), payments, strict=True):
        ids = [event["id"] for event in told[str(payment.intent_id)]]
        due_at = now - datetime.timedelta(minutes=minutes)
        assert InboxEvent.objects.filter(event_id__in=ids).update(due_at=due_at) == len(ids)
    untouched = InboxEvent.objects.filter(
        state=InboxEvent.State.RECEIVED, settled_at=None, payment=None, tries=0
    )
    monkeypatch.setattr(writes, "flush", _refuse)
    monkeypatch.setattr(inbox, "MOST_SECONDS_ALONE", 0)
    for left, payment in zip((2, 1, 0), payments, strict=True):
        waiting_before = untouched.count()
        batch = drain_inbox()
        assert batch.done == waiting_before - untouched.count() > 0
        assert batch.has_more == (left > 0)
        assert Order.objects.filter(cart_reference=payment.cart_reference).count() == 1
        assert Order.objects.count() == 3 - left
    assert untouched.count() == 0


def test_a_sale_that_somebody_holds_is_waited_for_once(at_stripe: Make) -> None:
    """Not once for each of its events, with every other sale of the batch in hand; it is tried again later."""
    at = at_stripe()
    (payment,) = paid(at, 1)
    stored(at)
    with psycopg.connect(database_url()) as holder:
        holder.execute(
            "SELECT 1 FROM payments_cart WHERE reference = %s FOR UPDATE", [payment.cart_reference]
        )
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '300ms'")
        try:
            began = time.monotonic()
            batch = drain_inbox()
            took = time.monotonic() - began
        finally:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '5s'")
    events = InboxEvent.objects.filter(state=InboxEvent.State.RECEIVED)
    assert events.count() == batch.done > 2
    assert set(events.values_list("tries", "error")) == {(1, "OperationalError")}
    assert took < 0.3 * events.count(), "the batch waits, then its sale's group does: twice in all"
    InboxEvent.objects.update(due_at=timezone.now())
    drain_inbox()
    assert Order.objects.count() == 1


def _told(at: AtStripe) -> dict[str, list[dict[str, Any]]]:
    """Return the events of each intent, and of its charge."""
    found: dict[str, list[dict[str, Any]]] = {}
    for event in at.events():
        thing = event["data"]["object"]
        found.setdefault(thing.get("payment_intent") or thing["id"], []).append(event)
    return found


def _refuse(_gathered: object) -> None:
    raise DatabaseError("refused")


def _picture(payment: Payment) -> list[Any]:
    own = {"id", "public_id", "number", "token", "cart_reference", "order_id", "form_token", "intent_id",
           "charge_id", "snapshot_at", "state_changed_at", "created_at", "next_check_at", "traceparent"}  # fmt: skip
    payment.refresh_from_db()
    assert payment.order is not None
    rows = [payment, payment.order, *payment.order.lines.all()]
    values = [
        {
            field.attname: getattr(row, field.attname)
            for field in row._meta.concrete_fields
            if field.attname not in own
        }
        for row in rows
    ]
    lines = PaymentEvent.objects.filter(cart_reference=payment.cart_reference).order_by("id")
    history = [(line.kind, line.from_state, line.to_state, line.cause, line.actor) for line in lines]
    # Stripe's events of one second have no order among themselves.
    return [*values, sorted(history), Cart.objects.filter(reference=payment.cart_reference).count()]


def test_one_odd_sale_is_applied_alone_and_the_others_together(at_stripe: Make) -> None:
    """A pass that a customer buys is credited to a ledger, which batches do not do; another amount is held."""
    at = at_stripe()
    customer = ProfileFactory.create(business=at.shop.business)
    gives = ItemFactory.create(business=at.shop.business, item_type="service_pass", gives_credits=10)
    plain = at.shop.item
    at.shop.item = gives
    cart = at.shop.cart()
    Cart.objects.filter(id=cart.id).update(customer=customer)
    at.shop.request(cart)
    run("create_intent")
    of_customer = Payment.objects.get()
    at.shop.item = plain
    others = [awaiting(at) for _ in range(3)]
    for payment in (of_customer, *others):
        at.pay(payment)
    events = at.events()
    for event in events:
        if (
            event["data"]["object"]["id"] == others[0].intent_id
            and "amount_received" in event["data"]["object"]
        ):
            event["data"]["object"]["amount_received"] = min(event["data"]["object"]["amount_received"], 100)
    arrive(at, events)
    states = [Payment.objects.get(id=payment.id).state for payment in (of_customer, *others)]
    assert states == ["succeeded", "held", "succeeded", "succeeded"]
    assert Order.objects.count() == 3
    assert LedgerBalance.objects.get(customer=customer, ledger="credits").amount == 10
    assert waiting("send_receipt") == 3


def test_while_rows_are_gathered_nothing_is_written(at_stripe: Make) -> None:
    at = at_stripe()
    cart = at.shop.cart()
    with transaction.atomic():
        cart.guest_name = "Nobody"
        with pytest.raises(writes.NotInABatch), writes.nothing_is_written():
            cart.save()
        # The transaction is as it was: nothing was sent, so it may go on.
        carts.set_buyer(business=at.shop.business, token=cart.token, name="Bea", email="bea@example.com")
    cart.refresh_from_db()
    assert cart.guest_name == "Bea"


def test_two_steps_of_a_payment_are_never_stored_as_one(at_stripe: Make) -> None:
    payment = awaiting(at_stripe())
    gathered = writes.Gathered([payment], iter([1]), {})
    for state in (PaymentState.AWAITING, PaymentState.PROCESSING):
        payment.state = state
        gathered.payment(payment)
    payment.state = PaymentState.SUCCEEDED
    with pytest.raises(writes.NotInABatch):
        gathered.payment(payment)


def test_what_a_job_costs() -> None:
    """Begin, lock, effect, end, commit; what it ended in its own transaction is not ended again."""
    drills.put(steps=1, now=timezone.now())
    lease = claim_one("drill_step")
    with CaptureQueriesContext(connection) as seen:
        relay.run(lease)
    assert lease.is_done
    assert len(seen) == STATEMENTS_A_JOB, [one["sql"][:90] for one in seen]
