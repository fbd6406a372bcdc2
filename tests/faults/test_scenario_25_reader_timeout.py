"""Scenario 25: a reader call times out though the reader took it: the intent decides, and nobody pays twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.conftest import AtStripe
from tests.integration.tasks.desk import Desk, look, paid_once, run, state_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def desk(at_stripe: Callable[..., AtStripe]) -> Desk:
    return Desk(at_stripe())


@pytest.mark.parametrize("fault", ["reader_timeout", "reader_timeout_accepted"])
def test_scenario_25_a_timeout_is_checked_not_believed(desk: Desk, fault: str) -> None:
    reader, hand = desk.reader()
    desk.at.fault(fault, times=1)
    action = desk.start(reader)
    run("serve_reader")
    assert state_of(action)[0] == "checking"
    look()
    if fault == "reader_timeout":  # it never got there: sent again under a new key
        assert state_of(action)[0] == "sending"
        run("serve_reader")
    assert state_of(action)[0] == "waiting"
    hand.tap()
    desk.hear()
    paid_once(desk, action)
    assert len(desk.at.intents()) == 1


@pytest.mark.parametrize("fault", ["reset_after", "error_500_after", "garbage_200"])
def test_scenario_25_no_answer_to_showing_it(desk: Desk, fault: str) -> None:
    reader, hand = desk.reader()
    desk.at.fault(fault, match={"path": f"/v1/terminal/readers/{hand.id}/process_payment_intent"}, times=1)
    action = desk.start(reader)
    run("serve_reader")
    assert state_of(action)[0] == "checking"
    look()
    assert state_of(action)[0] == "waiting"
    hand.tap()
    desk.hear()
    paid_once(desk, action)


def test_scenario_25_the_reader_lost_its_connection_after_the_bank_said_yes(desk: Desk) -> None:
    reader, hand = desk.reader()
    desk.at.fault("reader_connection_error", match={"reader": hand.id}, times=1)
    action = desk.shown(reader)
    hand.tap()
    desk.hear("terminal.reader.action_failed")  # the only news: it failed
    assert state_of(action)[0] == "waiting"
    look()
    paid_once(desk, action)
