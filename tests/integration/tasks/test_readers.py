"""Readers of a business: registered by their code, renamed, removed, at Stripe by a worker; many tills at one."""

from __future__ import annotations

import contextlib
import datetime
import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from stack.reader import Unexpected
from tasks.terminal import watch_readers
from tests.integration.conftest import AtStripe
from tests.integration.tasks.desk import Desk, look, run, work
from tests.shop import Shop
from web.payments.models import (
    AuditEntry,
    Cart,
    ConnectionToken,
    Job,
    Payment,
    Reader,
    ReaderAction,
    StripeLocation,
)
from web.payments.operations import readers, terminal
from web.payments.operations.payments import FormReused
from web.payments.operations.readers import Address

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., AtStripe]
ADDRESS = Address(line1="41 Mercer Street", city="New York", region="NY", postal_code="10013")


def register(at: AtStripe, code: str = "simulated-wpe", address: Address | None = ADDRESS) -> Reader:
    reader, _job = readers.register(
        business=at.shop.business,
        location=at.shop.location,
        label="Front desk",
        registration_code=code,
        address=address,
        now=timezone.now(),
    )
    return reader


def test_a_reader_from_its_code_to_its_removal(at_stripe: Make) -> None:
    at = at_stripe()
    with pytest.raises(readers.AddressMissing):
        register(at, address=None)
    reader = register(at)
    assert reader.state == "registering"
    run("register_reader")
    reader.refresh_from_db()
    assert (reader.state, reader.problem, reader.registration_code) == ("ready", "", "")
    assert reader.stripe_reader_id is not None
    assert reader.device_type
    assert reader.serial_number
    place = StripeLocation.objects.get()
    at_theirs = at.v1.terminal.readers.retrieve(reader.stripe_reader_id)
    assert (at_theirs.label, at_theirs.location) == ("Front desk", place.stripe_location_id)
    business = at.shop.business
    readers.rename(business=business, reader_id=reader.public_id, label="Bar", now=timezone.now())
    run("update_reader")
    assert at.v1.terminal.readers.retrieve(reader.stripe_reader_id).label == "Bar"
    readers.refresh(business=business, reader_id=reader.public_id, now=timezone.now())
    run("read_reader")
    reader.refresh_from_db()
    assert reader.is_online
    assert reader.read_at is not None
    readers.remove(business=business, reader_id=reader.public_id, now=timezone.now())
    run("remove_reader")
    assert list(at.v1.terminal.readers.list().data) == []
    told = [line.changes for line in AuditEntry.objects.order_by("id")]
    assert told == [
        {"state": [None, "registering"]},
        {"label": ["Front desk", "Bar"]},
        {"state": ["ready", "removed"]},
    ]
    with pytest.raises(terminal.ReaderNotFound):
        readers.refresh(business=business, reader_id=reader.public_id, now=timezone.now())


def test_a_wrong_code_says_so_and_another_one_can_be_tried(at_stripe: Make) -> None:
    at = at_stripe()
    reader = register(at, code="no-such-code")
    run("register_reader")
    reader.refresh_from_db()
    assert reader.state == "refused"
    assert "code" in reader.problem
    readers.register_again(
        business=at.shop.business,
        reader_id=reader.public_id,
        registration_code="simulated-wpe",
        now=timezone.now(),
    )
    run("register_reader")
    reader.refresh_from_db()
    assert (reader.state, reader.problem) == ("ready", "")


def test_an_answer_that_was_lost_registers_once(at_stripe: Make) -> None:
    at = at_stripe()
    reader = register(at)
    at.fault("reset_after", match={"path": "/v1/terminal/readers", "method": "POST"}, times=1)
    run("register_reader")
    Job.objects.filter(state="waiting").update(due_at=timezone.now())
    run("register_reader")
    reader.refresh_from_db()
    assert reader.state == "ready"
    assert len(at.v1.terminal.readers.list().data) == 1


def test_a_reader_in_use_is_not_removed(at_stripe: Make) -> None:
    desk = Desk(at_stripe())
    reader, _hand = desk.reader()
    desk.start(reader)
    with pytest.raises(readers.ReaderInUse):
        readers.remove(business=desk.at.shop.business, reader_id=reader.public_id, now=timezone.now())
    with pytest.raises(terminal.ReaderNotFound):
        readers.remove(business=Shop.make().business, reader_id=reader.public_id, now=timezone.now())


def test_a_connection_token_is_sealed(at_stripe: Make, caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(at_stripe())
    asked = readers.request_connection_token(
        business=desk.at.shop.business, location=None, staff=desk.staff, now=timezone.now()
    )
    run("create_connection_token")
    sealed = ConnectionToken.objects.get().secret_sealed
    secret, _problem = readers.take_connection_token(
        business=desk.at.shop.business, token_id=asked.public_id, staff=desk.staff, now=timezone.now()
    )
    assert secret.startswith("pst_")
    assert secret not in sealed
    assert secret not in caplog.text
    with pytest.raises(readers.TokenNotFound):
        readers.take_connection_token(
            business=desk.at.shop.business, token_id=asked.public_id, staff=desk.staff, now=timezone.now()
        )


def test_a_connection_token_that_nobody_fetches_is_forgotten(at_stripe: Make) -> None:
    desk = Desk(at_stripe())
    now = timezone.now()

    def ask(at: datetime.datetime) -> ConnectionToken:
        return readers.request_connection_token(
            business=desk.at.shop.business, location=None, staff=desk.staff, now=at
        )

    ask(now)
    run("create_connection_token")
    watch_readers()
    assert ConnectionToken.objects.exclude(secret_sealed="").count() == 1
    ConnectionToken.objects.update(created_at=now - readers.TOKEN_LASTS)
    watch_readers()
    assert not ConnectionToken.objects.exclude(secret_sealed="").exists()
    ask(now - readers.TOKEN_LASTS)  # its job comes too late
    run("create_connection_token")
    assert not ConnectionToken.objects.exclude(secret_sealed="").exists()


def together(*doings: Callable[[], object]) -> None:
    """Do all of this at once, each on a connection of its own."""
    barrier = threading.Barrier(len(doings))
    failed: list[BaseException] = []

    def one(doing: Callable[[], object]) -> None:
        try:
            barrier.wait(20)
            doing()
        except BaseException as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=(doing,)) for doing in doings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed, failed


def test_many_tills_at_one_reader(at_stripe: Make) -> None:
    """Six sales at once and four workers: one is shown, five wait, each gets its turn, each is paid once."""
    desk = Desk(at_stripe())
    reader, hand = desk.reader()
    carts = [desk.at.shop.cart() for _ in range(6)]
    together(*(functools.partial(desk.start, reader, cart) for cart in carts))
    for _turn in range(6):
        together(work, work, work, work)
        shown = ReaderAction.objects.get(reader=reader, finished_at=None, state="waiting")
        screen = hand.screen()
        assert (screen.asks, screen.payment_intent) == (
            "card",
            Payment.objects.get(id=shown.payment_id).intent_id,
        )
        hand.tap()
        together(look, desk.hear, look)
    assert list(Payment.objects.values_list("state", flat=True)) == ["succeeded"] * 6
    books = desk.at.books()
    assert [charge["status"] for charge in books["charges"]] == ["succeeded"] * 6
    queued = list(ReaderAction.objects.order_by("queued_at", "id").values_list("id", flat=True))
    served = list(ReaderAction.objects.order_by("sent_at").values_list("id", flat=True))
    assert queued == served  # first come, first served


def test_two_tills_with_one_cart(at_stripe: Make) -> None:
    desk = Desk(at_stripe())
    readers_ = [desk.reader()[0] for _ in range(2)]
    cart = desk.at.shop.cart()
    together(*(functools.partial(desk.start, reader, cart) for reader in readers_ * 2))
    assert Payment.objects.count() == ReaderAction.objects.count() == 1


def test_one_form_with_two_carts_at_once(at_stripe: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both find the form unused, since no lock is common to two carts: the second one is refused in words."""
    desk = Desk(at_stripe())
    reader, _hand = desk.reader()
    carts = [desk.at.shop.cart() for _ in range(2)]
    both, waits = threading.Barrier(2), terminal.reader_of

    def meet(*given: Any) -> Reader:
        both.wait(20)
        return waits(*given)

    monkeypatch.setattr(terminal, "reader_of", meet)
    refused: list[Exception] = []

    def start(cart: Cart) -> None:
        try:
            desk.start(reader, cart, form_token="f" * 32)
        except FormReused as refusal:
            refused.append(refusal)

    together(*(functools.partial(start, cart) for cart in carts))
    assert len(refused) == Payment.objects.count() == ReaderAction.objects.count() == 1


def test_cancel_and_tap_and_look_at_once(at_stripe: Make) -> None:
    """Whoever is first: the books agree, and the reader is free."""
    desk = Desk(at_stripe())
    reader, hand = desk.reader()
    for _ in range(2):
        action = desk.shown(reader)

        def tap() -> None:
            with contextlib.suppress(Unexpected):  # it was taken off the reader first
                hand.tap()

        together(functools.partial(desk.cancel, action), tap, look, desk.hear)
        together(work, work, desk.hear)
        look()
        work()
        desk.hear()
        action.refresh_from_db()
        payment = Payment.objects.get(id=action.payment_id)
        assert action.is_final, action.state
        assert (payment.state == "succeeded") == (action.state == "succeeded")
        assert desk.intent(action).status == ("succeeded" if payment.state == "succeeded" else "canceled")
