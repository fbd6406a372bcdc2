"""Scenario 27: the customer taps before a cancellation is through: approved is what is shown, and the order is made."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.conftest import AtStripe
from tests.integration.tasks.desk import Desk, charged, look, paid_once, run, state_of, work
from web.payments.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def desk(at_stripe: Callable[..., AtStripe]) -> Desk:
    return Desk(at_stripe())


def test_scenario_27_the_customer_taps_before_the_cancellation(desk: Desk) -> None:
    reader, hand = desk.reader()
    action = desk.shown(reader)
    desk.cancel(action)
    hand.tap()
    run("cancel_on_reader")
    paid_once(desk, action)


def test_scenario_27_it_is_too_late_to_cancel(desk: Desk) -> None:
    """The card is being authorised: the reader refuses, and the intent decides."""
    reader, hand = desk.reader()
    action = desk.shown(reader)
    hand.tap(processing_ms=60_000)
    desk.cancel(action)
    run("cancel_on_reader")
    first = state_of(action)
    hand.finish()
    work()
    look()
    work()
    ended = state_of(action)
    assert ended in {("succeeded", "succeeded"), ("cancelled", "cancelled")}, first
    # Whatever Stripe decided, both books say the same.
    assert bool(charged(desk)) == (ended[0] == "succeeded") == Order.objects.exists()
