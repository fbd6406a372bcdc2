"""Stripe fails in the middle of every action that ends there: it says so, and ends right once Stripe is back.

Each case asks, lets a worker meet the fault, and looks twice: while it fails nothing is called done, and in the end
Stripe's own books show the one effect. What is asked through a page is asked here by the operation behind it.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from django.db import transaction
from django.utils import timezone
from pytest_django import Settings
from redis import Redis

from tasks import relay
from tasks.gateway import stripe_api
from tasks.reader_looks import look_at_readers
from tests.contract.conftest import eventually
from tests.factories import ProfileFactory, StaffFactory
from tests.giving_back import ask
from tests.integration.conftest import AtStripe
from tests.integration.tasks.desk import Desk, run
from tests.integration.tasks.test_cards import confirm
from tests.integration.tasks.test_refunds import sold
from tests.shop import claim
from web.payments.jobs import CATALOGUE
from web.payments.models import (
    BalanceEntry,
    Card,
    CardSetup,
    ConnectionToken,
    InboxEvent,
    Job,
    Payment,
    PaymentSettings,
    Reader,
    ReaderAction,
    Refund,
    StripeAccount,
)
from web.payments.operations import (
    accounts,
    backfill,
    balance,
    bulk_refunds,
    cards,
    intents,
    readers,
    refund_news,
    saved_cards,
    terminal,
)
from web.payments.queries.quotes import quote

FAULTS = ("error_500_before", "reset_after")
TIMEOUT_SECONDS = 0.7
QUEUES = ("intents", "terminal", "refunds", "orders", "reconcile")
MONEY = {"create_intent", "charge_card", "capture_intent", "submit_refund"}  # these meet a timeout as well


@dataclass
class Asked:
    """What was asked for: the call that shall fail, how far it is, and what Stripe has of it."""

    path: str  # of the call, a regular expression
    state: Callable[[], str]
    done: str
    effects: Callable[[], int]  # at Stripe; 1 in the end
    method: str = "POST"


Case = Callable[[AtStripe], Asked]
CASES: dict[str, Case] = {}


def case(made: Case) -> Case:
    """Put a case into the table, under the name of its job."""
    CASES[made.__name__.removeprefix("_")] = made
    return made


def _now() -> datetime.datetime:
    return timezone.now()


def _state(row: Payment | Refund | ReaderAction | CardSetup | Reader) -> Callable[[], str]:
    def state() -> str:
        row.refresh_from_db()
        return str(row.state)

    return state


def _intents_of(at: AtStripe, payment: Payment, *, status: str = "") -> Callable[[], int]:
    def count() -> int:
        mine = [one for one in at.intents() if one["metadata"].get("payment") == str(payment.public_id)]
        return len([one for one in mine if not status or one["status"] == status])

    return count


def _awaiting(at: AtStripe) -> Payment:
    payment = at.shop.request(at.shop.cart())
    run("create_intent")
    payment.refresh_from_db()
    return payment


def _card(at: AtStripe) -> Card:
    setup = _setup(at)
    run("create_card_setup")
    setup.refresh_from_db()
    confirm(at, setup)
    cards.request_read(setup=setup, now=_now())
    run("read_card_setup")
    setup.refresh_from_db()
    return setup.card


def _setup(at: AtStripe) -> CardSetup:
    owner = ProfileFactory.create(business=at.shop.business)
    return cards.request_setup(
        profile=owner, form_token=uuid.uuid4().hex, consent="I agree.", agrees=True, now=_now()
    )


def _registered(at: AtStripe) -> Reader:
    reader, _hand = Desk(at).reader()
    return reader


# --- payments ---------------------------------------------------------------------------------------------


@case
def _create_intent(at: AtStripe) -> Asked:
    payment = at.shop.request(at.shop.cart())
    return Asked("payment_intents$", _state(payment), "awaiting", _intents_of(at, payment))


@case
def _cancel_intent(at: AtStripe) -> Asked:
    payment = _awaiting(at)
    intents.request_cancel(payment_id=payment.id, now=_now(), actor="customer")
    return Asked("/cancel$", _state(payment), "cancelled", _intents_of(at, payment, status="canceled"))


@case
def _read_intent(at: AtStripe) -> Asked:
    payment = _awaiting(at)
    at.pay(payment)
    intents.request_read(payment_id=payment.id, now=_now())
    paid = _intents_of(at, payment, status="succeeded")
    return Asked("payment_intents/", _state(payment), "succeeded", paid, method="GET")


@case
def _charge_card(at: AtStripe) -> Asked:
    card = _card(at)
    cart = at.shop.cart()
    cart.customer = card.profile
    cart.save()
    payment = saved_cards.charge(
        business=at.shop.business, token=cart.token, card_id=card.public_id, form_token=uuid.uuid4().hex,
        expected_total_minor=quote(cart).totals.total.amount, staff=Desk(at).staff, now=_now(),
    ).payment  # fmt: skip
    return Asked("/confirm$", _state(payment), "succeeded", _intents_of(at, payment, status="succeeded"))


# --- card readers -----------------------------------------------------------------------------------------


@case
def _serve_reader(at: AtStripe) -> Asked:
    desk = Desk(at)
    reader, hand = desk.reader()
    action = desk.start(reader)

    def shown() -> int:
        return int(hand.screen().asks == "card") * _intents_of(at, action.payment)()

    return Asked("process_payment_intent$", _state(action), "waiting", shown)


@case
def _cancel_on_reader(at: AtStripe) -> Asked:
    desk = Desk(at)
    action = desk.shown(desk.reader()[0])
    desk.cancel(action)
    cancelled = _intents_of(at, action.payment, status="canceled")
    return Asked("payment_intents/.*/cancel$", _state(action), "cancelled", cancelled)


@case
def _capture_intent(at: AtStripe) -> Asked:
    PaymentSettings.objects.filter(business=at.shop.business).update(capture_mode="manual")
    desk = Desk(at)
    reader, hand = desk.reader()
    action = desk.shown(reader)
    hand.tap()
    _look(at)
    payment = Payment.objects.get(id=action.payment_id)
    terminal.request_capture(
        business=at.shop.business, payment_id=payment.public_id, staff=desk.staff, now=_now()
    )
    captured = _intents_of(at, payment, status="succeeded")
    return Asked("/capture$", _state(payment), "succeeded", captured)


@case
def _register_reader(at: AtStripe) -> Asked:
    label = uuid.uuid4().hex
    reader, _job = readers.register(
        business=at.shop.business, location=at.shop.location, label=label, registration_code="simulated-wpe",
        address=readers.Address("41 Mercer Street", "New York", "NY", "10013"), now=_now(),
    )  # fmt: skip
    there = at.v1.terminal.readers
    return Asked(
        "terminal/readers$",
        _state(reader),
        "ready",
        lambda: len([one for one in there.list({"limit": 100}).data if one.label == label]),
    )


@case
def _update_reader(at: AtStripe) -> Asked:
    reader = _registered(at)
    readers.rename(business=at.shop.business, reader_id=reader.public_id, label="Bar", now=_now())

    def there() -> bool:
        return at.v1.terminal.readers.retrieve(str(reader.stripe_reader_id)).label == "Bar"

    return Asked("terminal/readers/", _state_of_job("update_reader"), "done", lambda: int(there()))


@case
def _remove_reader(at: AtStripe) -> Asked:
    reader = _registered(at)
    readers.remove(business=at.shop.business, reader_id=reader.public_id, now=_now())

    def there() -> list[str]:
        return [one.id for one in at.v1.terminal.readers.list({"limit": 100}).data]

    return Asked(
        "terminal/readers/", _state_of_job("remove_reader"), "done",
        lambda: int(reader.stripe_reader_id not in there()), method="DELETE",
    )  # fmt: skip


@case
def _read_reader(at: AtStripe) -> Asked:
    reader = _registered(at)
    readers.refresh(business=at.shop.business, reader_id=reader.public_id, now=_now())
    read = Reader.objects.filter(id=reader.id).exclude(read_at=None)
    return Asked("terminal/readers/", _state_of_job("read_reader"), "done", read.count, method="GET")


@case
def _create_connection_token(at: AtStripe) -> Asked:
    asked = readers.request_connection_token(
        business=at.shop.business,
        location=None,
        staff=StaffFactory.create(business=at.shop.business),
        now=_now(),
    )
    got = ConnectionToken.objects.filter(id=asked.id).exclude(secret_sealed="")
    return Asked("connection_tokens$", _state_of_job("create_connection_token"), "done", got.count)


# --- saved cards ------------------------------------------------------------------------------------------


@case
def _create_card_setup(at: AtStripe) -> Asked:
    setup = _setup(at)

    def made() -> int:
        listed = at.v1.setup_intents.list({"limit": 100}).data
        return sum(one.metadata["card_setup"] == str(setup.public_id) for one in listed if one.metadata)

    return Asked("setup_intents$", _state(setup), "awaiting", made)


@case
def _read_card_setup(at: AtStripe) -> Asked:
    setup = _setup(at)
    run("create_card_setup")
    setup.refresh_from_db()
    confirm(at, setup)
    cards.request_read(setup=setup, now=_now())
    kept = Card.objects.filter(setup=setup)
    return Asked("setup_intents/", _state(setup), "succeeded", kept.count, method="GET")


@case
def _detach_card(at: AtStripe) -> Asked:
    card = _card(at)
    cards.remove(profile=card.profile, card_id=card.public_id, now=_now())

    def gone() -> int:
        return int(at.v1.payment_methods.retrieve(card.payment_method_id).customer is None)

    return Asked("/detach$", _state_of_job("detach_card"), "done", gone)


# --- giving back ------------------------------------------------------------------------------------------


def _refunds_of(at: AtStripe, payment: Payment) -> Callable[[], int]:
    payment.refresh_from_db()
    return lambda: len([one for one in at.books()["refunds"] if one["payment_intent"] == payment.intent_id])


@case
def _submit_refund(at: AtStripe) -> Asked:
    payment = sold(at)
    (refund,) = ask(payment).refunds
    return Asked("refunds$", _state(refund), "succeeded", _refunds_of(at, payment))


@case
def _ask_bulk_refund(at: AtStripe) -> Asked:
    item = at.shop.item
    payments = [sold(at) for _ in range(2)]
    made = bulk_refunds.start(
        business=at.shop.business, item=item, since=payments[0].created_at, until=None, reason="cancelled",
        form_token=uuid.uuid4().hex, expected_orders=2, staff=StaffFactory.create(business=at.shop.business),
        now=_now(),
    )  # fmt: skip
    run("ask_bulk_refund")

    def state() -> str:
        return " ".join(sorted(set(made.refunds.values_list("state", flat=True))))

    each = [_refunds_of(at, payment) for payment in payments]
    return Asked(
        "refunds$", state, "succeeded", lambda: max(one() for one in each) * min(one() for one in each)
    )


@case
def _import_refunds(at: AtStripe) -> Asked:
    payment = sold(at)
    at.v1.refunds.create({"payment_intent": str(payment.intent_id), "amount": 500})
    with transaction.atomic():
        refund_news.import_soon(payment, now=_now())
    known = Refund.objects.filter(payment=payment, origin="stripe")
    return Asked("refunds$", _state_of_job("import_refunds"), "done", known.count, method="GET")


# --- keys, and what is read for the books -----------------------------------------------------------------


@case
def _verify_account(at: AtStripe) -> Asked:
    account = at.shop.account
    accounts.check_keys(account=account, now=_now())
    used = StripeAccount.objects.filter(
        business=at.shop.business, state="active", account_id=f"acct_{at.slug}"
    )
    return Asked("account", _state_of_job("verify_account"), "done", used.count, method="GET")


@case
def _import_balance(at: AtStripe) -> Asked:
    payment = sold(at)
    listed = at.v1.balance_transactions.list
    eventually(lambda: payment.charge_id in [one.source for one in listed({"limit": 100}).data])
    with transaction.atomic():
        balance.request_import(at.shop.account, now=_now())
    there = BalanceEntry.objects.filter(source_id=payment.charge_id)
    return Asked("balance_transactions", _state_of_job("import_balance"), "done", there.count, method="GET")


@case
def _backfill_events(at: AtStripe) -> Asked:
    payment = _awaiting(at)
    at.pay(payment)
    backfill.ROUND.open_cursors(now=_now())
    backfill.ROUND.ask(account=at.shop.account, now=_now())
    missed = InboxEvent.objects.filter(event_type="payment_intent.succeeded", object_id=payment.intent_id)
    return Asked("events", _state_of_job("backfill_events"), "done", missed.count, method="GET")


def _state_of_job(name: str) -> Callable[[], str]:
    newest = Job.objects.filter(name=name).order_by("-id")
    return lambda: newest.values_list("state", flat=True)[0]


# --- the tests --------------------------------------------------------------------------------------------


@pytest.fixture
def at(transactional_db: None, at_stripe: Callable[..., AtStripe]) -> AtStripe:
    at = at_stripe()
    PaymentSettings.objects.filter(business=at.shop.business).update(keeps_cards=True)
    return at


@pytest.fixture(autouse=True)
def _nothing_waits(transactional_db: None) -> Iterator[None]:
    yield
    Job.objects.filter(state__in=("waiting", "running")).update(
        state="done", finished_at=_now(), leased_until=None
    )
    ReaderAction.objects.exclude(next_poll_at=None).update(next_poll_at=_now() + datetime.timedelta(days=1))


def _work() -> None:
    """Do all that is due, and hurry what waits for another try."""
    for _ in range(20):
        Job.objects.filter(state="waiting").update(due_at=_now())
        leases = [lease for queue in QUEUES for lease in claim(queue, limit=5)]
        if not leases:
            return
        for lease in leases:
            relay.run(lease)
    raise AssertionError("it never ends")


def _look(at: AtStripe) -> None:
    """Look at this shop's readers, and at no other's."""
    active = ReaderAction.objects.exclude(next_poll_at=None)
    active.exclude(business=at.shop.business).update(next_poll_at=_now() + datetime.timedelta(days=1))
    active.filter(business=at.shop.business).update(next_poll_at=_now())
    look_at_readers()


@contextmanager
def _patience(settings: Settings, seconds: float | None) -> Iterator[None]:
    """Wait for Stripe so long; a client keeps the patience that it was made with."""
    usual = settings.STRIPE_READ_TIMEOUT_SECONDS
    if seconds is None:
        yield
        return
    settings.STRIPE_READ_TIMEOUT_SECONDS = seconds
    stripe_api._client.cache_clear()
    yield
    settings.STRIPE_READ_TIMEOUT_SECONDS = usual
    stripe_api._client.cache_clear()


@pytest.mark.parametrize("name", CASES)
def test_stripe_fails_in_the_middle(at: AtStripe, settings: Settings, name: str) -> None:
    for fault in (*FAULTS, *(("timeout_after",) if name in MONEY else ())):
        Redis.from_url(
            settings.REDIS_URL
        ).flushdb()  # each fault by itself: two in a row may shut the breaker
        asked = CASES[name](at)
        at.fault(fault, match={"path": asked.path, "method": asked.method}, times=1)
        with _patience(settings, TIMEOUT_SECONDS if fault == "timeout_after" else None):
            run(name if name != "ask_bulk_refund" else "submit_refund")
        armed = at.sandbox.control("GET", "faults")["data"]
        assert [one["struck"] for one in armed if one["match"].get("account") == at.slug][-1] == 1, (
            "it never struck"
        )
        assert asked.state() != asked.done, f"{fault}: called done while Stripe failed"
        _work()
        if asked.state() != asked.done:  # what only a look can tell
            _look(at)
            _work()
        assert (asked.state(), asked.effects()) == (asked.done, 1), fault
        assert not Job.objects.filter(state="dead").exists()


def test_every_job_that_asks_stripe_is_here() -> None:
    """A new kind of job on a queue that waits on Stripe has a case, or is named here with where it is tested."""
    elsewhere = {
        "read_refund": "tests/integration/tasks/test_refunds.py",  # read until it is through
        "check_drift": "tests/integration/tasks/test_watch.py",  # compares, and changes nothing at Stripe
        "read_payout": "tests/integration/backoffice/test_reconciliation.py",  # reads lines, again where cut short
    }
    asking = {
        kind.name
        for kind in CATALOGUE.values()
        if kind.queue in ("intents", "terminal", "refunds", "reconcile")
    }
    assert asking - set(CASES) == set(elsewhere)
