"""Scenario 26: a reader is busy with another sale: the next one waits behind it, and sees who holds it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.factories import StaffFactory
from tests.integration.conftest import AtStripe
from tests.integration.tasks.desk import Desk, look, run, state_of, work
from web.payments.models import Order
from web.payments.queries import readers as queries

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def desk(at_stripe: Callable[..., AtStripe]) -> Desk:
    return Desk(at_stripe())


def test_scenario_26_the_second_till_waits_behind_the_first_and_sees_who_holds_the_reader(desk: Desk) -> None:
    reader, hand = desk.reader()
    other = StaffFactory.create(business=desk.at.shop.business, name="Mo Other")
    first = desk.shown(reader, staff=other)
    second = desk.start(reader)
    work()
    assert state_of(second) == ("queued", "requested")  # it did not push the first one off
    assert hand.screen().payment_intent == desk.intent(first).id
    followed = queries.action(desk.at.shop.business, second.public_id)
    assert (followed.position, followed.holder) == (1, "Mo Other")
    assert len(desk.at.intents()) == 1  # nothing of the second is at Stripe yet
    hand.tap()
    desk.hear()
    work()
    assert (state_of(first)[0], state_of(second)[0]) == ("succeeded", "waiting")
    hand.tap()
    desk.hear()
    assert state_of(second) == ("succeeded", "succeeded")
    assert Order.objects.count() == 2


def test_scenario_26_a_busy_reader_is_waited_for(desk: Desk) -> None:
    """Another program's payment is being authorised: ours is shown when that is over."""
    reader, hand = desk.reader()
    foreign = desk.at.v1.payment_intents.create(
        {"amount": 500, "currency": "usd", "allowed_payment_method_types": ["card_present"]}
    )
    desk.at.v1.terminal.readers.process_payment_intent(hand.id, {"payment_intent": foreign.id})
    hand.tap(processing_ms=60_000)
    action = desk.start(reader)
    run("serve_reader")
    assert state_of(action)[0] == "checking"
    look()
    assert state_of(action) == ("checking", "awaiting")
    assert action.failure_code == "terminal_reader_busy"
    hand.finish()
    look()
    assert state_of(action)[0] == "sending"
    run("serve_reader")
    assert state_of(action) == ("waiting", "awaiting")
    assert action.failure_code == ""
