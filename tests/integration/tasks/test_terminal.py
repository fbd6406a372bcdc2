"""A payment on a card reader: however the reader fails, it ends as one order or none, and the queue goes on."""

from __future__ import annotations

import datetime
import threading
import time
import uuid
from collections.abc import Callable

import pytest
from django.db import connection, transaction
from django.utils import timezone

from tasks import reader_looks, relay, snapshots
from tasks.gateway import intents as intent_gateway
from tasks.gateway import readers as gateway
from tests.contract.conftest import eventually
from tests.integration.conftest import AtStripe
from tests.integration.tasks.desk import Desk, charged, look, paid_once, run, state_of, work
from tests.shop import claim_one, waiting
from web.payments import history
from web.payments.jobs import TryAgain
from web.payments.models import (
    Attempt,
    Job,
    Order,
    Payment,
    PaymentEvent,
    PaymentSettings,
    Reader,
    ReaderAction,
)
from web.payments.operations import intents, lane, reader_attempts, settling, terminal
from web.payments.operations import reader_looks as looks
from web.payments.operations.payments import FormReused
from web.payments.snapshots import Answer, IntentSnapshot, ReaderSnapshot, Verdict

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., AtStripe]


@pytest.fixture
def desk(at_stripe: Make) -> Desk:
    return Desk(at_stripe())


def test_a_card_is_held_to_the_reader(desk: Desk) -> None:
    reader, hand = desk.reader()
    action = desk.start(reader)
    assert action.state == "queued"
    run("serve_reader")
    assert state_of(action) == ("waiting", "awaiting")
    payment = Payment.objects.get()
    assert payment.client_secret_sealed == ""  # what is paid on a reader is paid nowhere else
    hand.tap()
    desk.hear()
    order = paid_once(desk, action)
    payment.refresh_from_db()
    assert (payment.card_brand, payment.card_last4) == ("visa", "4242")
    assert (payment.reader_id, payment.created_by_id, order.tip_minor) == (reader.id, desk.staff.id, 0)
    work()
    assert not Job.objects.filter(queue="terminal").exclude(state="done").exists()
    assert look() == 0  # nothing is looked at any more


def test_without_any_event_the_reader_is_looked_at(desk: Desk) -> None:
    reader, hand = desk.reader()
    action = desk.shown(reader)
    before = action.fence
    assert look() == 1
    action.refresh_from_db()
    assert (action.state, action.polls, action.fence) == ("waiting", 1, before + 1)
    assert action.next_poll_at is not None
    assert (
        datetime.timedelta(seconds=0.5) < action.next_poll_at - timezone.now() < datetime.timedelta(seconds=3)
    )
    hand.tap()
    look()
    paid_once(desk, action)
    reader.refresh_from_db()
    assert reader.is_online


def test_a_declined_card_frees_the_reader_and_the_payment_is_shown_again(desk: Desk) -> None:
    reader, hand = desk.reader()
    cart = desk.at.shop.cart()
    first = desk.shown(reader, cart)
    hand.decline()
    desk.hear()
    look()
    assert state_of(first) == ("failed", "declined")
    assert first.failure_code == "card_declined"
    cart.refresh_from_db()
    assert cart.state == "frozen"
    second = desk.shown(reader, cart)
    assert second.payment_id == first.payment_id
    hand.tap()
    desk.hear()
    paid_once(desk, second)
    assert len(desk.at.intents()) == 1  # one intent, however often it is shown


def test_old_news_of_a_decline_does_not_end_the_next_try(desk: Desk) -> None:
    reader, hand = desk.reader()
    cart = desk.at.shop.cart()
    desk.shown(reader, cart)
    hand.decline()
    look()
    second = desk.shown(reader, cart)
    desk.hear()  # the first try's news arrives only now
    look()
    assert second.state == "waiting"
    assert state_of(second)[0] == "waiting"
    hand.tap()
    look()
    paid_once(desk, second)


def test_the_reader_refuses(desk: Desk) -> None:
    """Not connected: the place ends at once, the payment can go to another reader, the queue goes on."""
    broken, hand = desk.reader()
    other, other_hand = desk.reader()
    hand.unplug()
    cart = desk.at.shop.cart()
    action = desk.start(broken, cart)
    behind = desk.start(broken)
    run("serve_reader")
    assert state_of(action) == ("failed", "awaiting")
    assert action.failure_code == "terminal_reader_offline"
    work()
    assert state_of(behind)[0] == "failed"
    again = desk.shown(other, cart)
    other_hand.tap()
    desk.hear()
    paid = state_of(again)
    assert paid == ("succeeded", "succeeded")
    assert len(charged(desk)) == 1


def test_another_program_takes_the_reader(desk: Desk) -> None:
    """What happens to its payment is never taken for ours."""
    reader, hand = desk.reader()
    action = desk.shown(reader)
    hand.take_for_another_till()
    look()
    assert state_of(action)[0] == "checking"
    look()
    assert state_of(action) == ("failed", "awaiting")
    assert action.failure_code == lane.REPLACED
    hand.tap()
    desk.hear()
    assert state_of(action) == ("failed", "awaiting")
    assert not Order.objects.exists()


def test_a_stuck_reader_that_took_the_money(desk: Desk) -> None:
    """No event, in progress for ever: at the deadline it is cancelled, and then the intent says it was paid."""
    reader, hand = desk.reader()
    desk.at.fault("reader_stuck", match={"reader": hand.id}, times=1, authorised=True)
    action = desk.shown(reader)
    hand.tap()
    look()
    assert state_of(action)[0] == "waiting"
    ReaderAction.objects.update(deadline_at=timezone.now())
    look()
    paid_once(desk, action)


def test_nobody_pays_in_time(desk: Desk) -> None:
    reader, _hand = desk.reader()
    cart = desk.at.shop.cart()
    action = desk.shown(reader, cart)
    behind = desk.start(reader)
    ReaderAction.objects.filter(id=action.id).update(deadline_at=timezone.now())
    look()
    assert state_of(action) == ("cancelling", "cancelling")  # not failed before the intent says so
    run("cancel_on_reader")
    assert state_of(action) == ("failed", "cancelled")
    assert action.failure_code == lane.TIMED_OUT
    assert desk.intent(action).status == "canceled"
    cart.refresh_from_db()
    assert cart.state == "open"
    run("serve_reader")
    assert state_of(behind)[0] == "waiting"


def test_cancelling_is_a_request(desk: Desk) -> None:
    reader, hand = desk.reader()
    cart = desk.at.shop.cart()
    action = desk.shown(reader, cart)
    desk.cancel(action)
    assert state_of(action) == ("cancelling", "cancelling")
    cart.refresh_from_db()
    assert cart.state == "frozen"
    run("cancel_on_reader")
    assert state_of(action) == ("cancelled", "cancelled")
    assert desk.intent(action).status == "canceled"
    assert hand.screen().asks == "nothing"
    cart.refresh_from_db()
    assert cart.state == "open"


@pytest.mark.parametrize("trouble", ["error_500_before", "reset_after", "unplugged"])
def test_the_reader_cannot_be_told_to_cancel(desk: Desk, trouble: str) -> None:
    """The cancellation of its action fails: the intent is cancelled all the same, and decides."""
    reader, hand = desk.reader()
    cart = desk.at.shop.cart()
    action = desk.shown(reader, cart)
    if trouble == "unplugged":
        hand.unplug()
    else:
        desk.at.fault(trouble, match={"path": "cancel_action"}, times=1)
    desk.cancel(action)
    for _again in range(3):
        Job.objects.filter(state="waiting").update(due_at=timezone.now())
        work()
    assert state_of(action) == ("cancelled", "cancelled")
    assert (desk.intent(action).status, charged(desk)) == ("canceled", [])
    cart.refresh_from_db()
    assert cart.state == "open"
    hand.plug_in()
    hand.tap() if hand.screen().asks == "card" else None
    desk.hear()
    assert charged(desk) == []  # what the reader may still have shown takes no money


def test_its_intent_was_cancelled_elsewhere(desk: Desk) -> None:
    """Between two showings somebody cancelled the intent in Stripe's dashboard, and no event has told us."""
    reader, hand = desk.reader()
    cart = desk.at.shop.cart()
    first = desk.shown(reader, cart)
    hand.decline()
    look()
    desk.at.v1.payment_intents.cancel(desk.intent(first).id)
    second = desk.start(reader, cart)
    run("serve_reader")  # Stripe answers intent_invalid_state
    look()
    work()
    assert state_of(second) == ("cancelled", "cancelled")
    cart.refresh_from_db()
    assert cart.state == "open"
    third = desk.shown(reader, cart)
    hand.tap()
    desk.hear()
    paid_once(desk, third)


def test_leaving_the_queue(desk: Desk) -> None:
    reader, _hand = desk.reader()
    first = desk.shown(reader)
    cart = desk.at.shop.cart()
    second = desk.start(reader, cart)
    terminal.take_back(
        business=desk.at.shop.business, action_id=second.public_id, staff=desk.staff, now=timezone.now()
    )
    assert state_of(second) == ("cancelled", "cancelled")
    cart.refresh_from_db()
    assert cart.state == "open"
    assert len(desk.at.intents()) == 1
    with pytest.raises(terminal.AlreadyOnReader):
        terminal.take_back(
            business=desk.at.shop.business, action_id=first.public_id, staff=desk.staff, now=timezone.now()
        )


@pytest.mark.parametrize("is_shown", [False, True])
def test_handing_over(desk: Desk, is_shown: bool) -> None:
    reader, hand = desk.reader()
    other, other_hand = desk.reader()
    if is_shown:
        action = desk.shown(reader)
    else:
        desk.shown(reader)
        action = desk.start(reader)
    terminal.hand_over(
        business=desk.at.shop.business,
        action_id=action.public_id,
        reader_id=other.public_id,
        staff=desk.staff,
        now=timezone.now(),
    )
    if is_shown:
        assert state_of(action)[0] == "cancelling"
        run("cancel_on_reader")
        assert hand.screen().asks == "nothing"
    assert state_of(action)[0] == "cancelled"
    work()
    moved = ReaderAction.objects.get(reader=other)
    assert (moved.payment_id, moved.state) == (action.payment_id, "waiting")
    other_hand.tap()
    desk.hear()
    assert state_of(moved) == ("succeeded", "succeeded")
    assert len(charged(desk)) == 1


def test_handed_over_too_late(desk: Desk) -> None:
    """The customer paid on the first reader: the second never shows it."""
    reader, hand = desk.reader()
    other, other_hand = desk.reader()
    action = desk.shown(reader)
    hand.tap()
    terminal.hand_over(
        business=desk.at.shop.business,
        action_id=action.public_id,
        reader_id=other.public_id,
        staff=desk.staff,
        now=timezone.now(),
    )
    work()
    paid_once(desk, action)
    assert other_hand.screen().asks == "nothing"


def test_a_sender_that_dies_is_followed_by_one_that_resumes_the_same_action(desk: Desk) -> None:
    reader, hand = desk.reader()
    action = desk.start(reader)
    lease = claim_one("serve_reader")
    taken = lane.take(reader_id=reader.id, lease=lease, now=timezone.now())
    assert taken is not None  # and here it dies
    desk.start(reader)
    run("serve_reader")  # the next one's job sees that somebody sends, and comes back
    assert state_of(action)[0] == "sending"
    assert waiting("serve_reader") == 1
    later = timezone.now() + datetime.timedelta(minutes=1)
    Job.objects.filter(name="serve_reader", state="waiting").update(due_at=later)
    Job.objects.filter(id=lease.job_id).update(leased_until=timezone.now())
    relay.run(claim_one("serve_reader"))
    assert state_of(action)[0] == "waiting"
    hand.tap()
    desk.hear()
    assert state_of(action) == ("succeeded", "succeeded")
    assert ReaderAction.objects.filter(state="queued").count() == 1
    assert waiting("serve_reader") == 2


def test_a_death_after_the_reader_has_it(desk: Desk) -> None:
    """Shown, and the worker died before it wrote that down: the same key again, and the reader is read."""
    reader, hand = desk.reader()
    action = desk.start(reader)
    lease = claim_one("serve_reader")
    real = reader_attempts.conclude_process

    class Died(BaseException):
        pass

    def die(**_: object) -> None:
        raise Died

    try:
        reader_attempts.conclude_process = die  # type: ignore[assignment]
        with pytest.raises(Died):
            relay.run(lease)
    finally:
        reader_attempts.conclude_process = real
    assert state_of(action)[0] == "sending"
    assert hand.screen().asks == "card"
    Job.objects.filter(id=lease.job_id).update(leased_until=timezone.now())
    relay.run(claim_one("serve_reader"))
    assert state_of(action)[0] == "waiting"
    attempt = Attempt.objects.get(operation="process_on_reader")
    assert (attempt.state, attempt.sends) == ("succeeded", 2)
    hand.tap()
    desk.hear()
    paid_once(desk, action)


def test_a_tip_on_the_reader(desk: Desk) -> None:
    reader, hand = desk.reader()
    action = desk.shown(reader, asks_for_tip=True)
    hand.give_tip(540)
    hand.tap()
    desk.hear()
    order = paid_once(desk, action)
    payment = Payment.objects.get()
    assert (payment.amount_minor, payment.reader_tip_minor, payment.amount_received_minor) == (
        3600,
        540,
        4140,
    )
    assert (order.total_minor, order.tip_minor) == (4140, 540)


def test_authorised_first_taken_later(desk: Desk) -> None:
    PaymentSettings.objects.update(capture_mode="manual")
    reader, hand = desk.reader()
    action = desk.shown(reader, asks_for_tip=True)
    hand.give_tip(100)
    hand.tap()
    look()
    assert state_of(action) == ("succeeded", "authorised")  # the reader is free
    assert not Order.objects.exists()
    payment = Payment.objects.get()
    assert payment.capture_before is not None
    terminal.capture_expiring(limit=10, now=timezone.now())
    assert waiting("capture_intent") == 0
    terminal.capture_expiring(limit=10, now=payment.capture_before - datetime.timedelta(hours=5))
    assert waiting("capture_intent") == 1
    work()
    order = paid_once(desk, action)
    assert (order.total_minor, order.tip_minor) == (3700, 100)


def test_same_form_same_place_and_one_payment_per_cart(desk: Desk) -> None:
    reader, _hand = desk.reader()
    other, _other_hand = desk.reader()
    cart = desk.at.shop.cart()
    form = uuid.uuid4().hex
    first = desk.start(reader, cart, form_token=form)
    assert desk.start(reader, cart, form_token=form).id == first.id
    assert desk.start(other, cart).id == first.id  # another till gets the same payment back
    with pytest.raises(FormReused):
        desk.start(reader, desk.at.shop.cart(), form_token=form)
    assert Payment.objects.count() == 1


def test_an_online_payment_is_under_way(desk: Desk) -> None:
    reader, _hand = desk.reader()
    cart = desk.at.shop.cart()
    desk.at.shop.request(cart)
    with pytest.raises(intents.PaymentUnderWay):
        desk.start(reader, cart)


def test_many_readers_are_looked_at_by_listing_them(desk: Desk) -> None:
    readers = [desk.reader() for _ in range(11)]
    actions = [desk.start(row) for row, _hand in readers]
    work()
    readers[3][1].tap()
    before = len(desk.at.sandbox.log)
    assert look() == 11
    log = [
        line for line in desk.at.sandbox.log[before:] if line.startswith("GET /v1/") and desk.at.slug in line
    ]
    assert [line.split()[1].split("?")[0].rsplit("_", 1)[0] for line in log] == [
        "/v1/terminal/readers",
        "/v1/payment_intents/pi",
    ]
    assert [state_of(action)[0] for action in actions].count("succeeded") == 1
    assert state_of(actions[3]) == ("succeeded", "succeeded")


def test_of_a_listing_with_much_news_one_claim_takes_a_few(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The quiet readers are planned first, and what is more than a claim looks at closer is due at once."""
    monkeypatch.setattr(reader_looks, "LIST_ABOVE", 2)
    monkeypatch.setattr(reader_looks, "NEWS_AT_ONCE", 2)
    shown = [(desk.start(row), hand) for row, hand in [desk.reader() for _ in range(5)]]
    work()
    for _action, hand in shown[:3]:
        hand.tap()
    now = timezone.now()
    assert look() == 5
    states = [state_of(action)[0] for action, _hand in shown]
    assert sorted(states) == ["succeeded", "succeeded", "waiting", "waiting", "waiting"]
    due = list(ReaderAction.objects.filter(state="waiting").order_by("next_poll_at"))
    assert due[0].id in {action.id for action, _hand in shown[:3]}  # the third who paid
    assert [action.polls for action in due] == [0, 1, 1]  # it was not looked at
    assert [action.next_poll_at is not None and action.next_poll_at > now + looks.A_ROUND for action in due] == [
        False, True, True,
    ]  # fmt: skip
    reader_looks.look_at_readers()
    assert [state_of(action)[0] for action, _hand in shown].count("succeeded") == 3


def test_a_declined_card_that_nobody_comes_back_to_is_given_up_after_a_day(desk: Desk) -> None:
    reader, hand = desk.reader()
    action = desk.start(reader)
    work()
    hand.tap("4000000000000002")
    look()
    payment = action.payment
    payment.refresh_from_db()
    assert payment.state == "declined"
    assert payment.next_check_at is not None
    end = payment.state_changed_at + intents.ABANDONED_AFTER
    Payment.objects.filter(id=payment.id).update(next_check_at=end)
    intents.check_again(limit=10, now=end)
    payment.refresh_from_db()
    assert payment.state == "cancelling"


def test_planning_the_next_looks_never_waits_with_others_in_hand(desk: Desk) -> None:
    """A batch of events locks actions, too: it holds the second and will want the first."""
    actions = [desk.shown(desk.reader()[0]) for _ in range(2)]
    ids = [action.id for action in actions]
    ReaderAction.objects.filter(id__in=ids).update(next_poll_at=timezone.now())
    before = timezone.now()

    def plan() -> None:
        looks.look_later(list(ReaderAction.objects.filter(id__in=ids).order_by("id")), now=timezone.now())
        connection.close()

    planner = threading.Thread(target=plan)
    with transaction.atomic():
        ReaderAction.objects.select_for_update(no_key=True).get(id=ids[1])
        planner.start()
        until = time.monotonic() + 20
        while not ReaderAction.objects.filter(id=ids[0], next_poll_at__gt=before).exists():
            assert time.monotonic() < until, "the first one was not planned while the second was held"
            time.sleep(0.01)
        ReaderAction.objects.select_for_update(no_key=True).get(id=ids[0])
    planner.join(20)
    assert not planner.is_alive()
    assert ReaderAction.objects.filter(id__in=ids, next_poll_at__gt=before).count() == 2


def test_a_queue_whose_job_was_given_up_goes_on(desk: Desk) -> None:
    reader, _hand = desk.reader()
    action = desk.start(reader)
    Job.objects.filter(name="serve_reader").update(state="dead", finished_at=timezone.now())
    assert lane.serve_idle(limit=10, now=timezone.now()) == 0
    later = timezone.now() + datetime.timedelta(minutes=1)
    assert lane.serve_idle(limit=10, now=later) == 1
    Job.objects.filter(state="waiting").update(due_at=timezone.now())
    run("serve_reader")
    assert state_of(action)[0] == "waiting"


def test_the_reader_is_gone_at_stripe(desk: Desk) -> None:
    reader, hand = desk.reader()
    desk.at.v1.terminal.readers.delete(hand.id)
    action = desk.start(reader)
    run("serve_reader")
    assert state_of(action) == ("failed", "awaiting")
    assert Reader.objects.get().state == "ready"


def hand_over(desk: Desk, action: ReaderAction, reader: Reader) -> None:
    terminal.hand_over(
        business=desk.at.shop.business,
        action_id=action.public_id,
        reader_id=reader.public_id,
        staff=desk.staff,
        now=timezone.now(),
    )


@pytest.mark.parametrize("silent", ["read", "cancel"])
def test_a_reader_that_may_still_show_it_is_not_left(
    desk: Desk, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Handed over, and nobody can say whether it is off: it stays here, or the customer could pay on either."""
    reader, hand = desk.reader()
    other, _other_hand = desk.reader()
    action = desk.shown(reader)
    hand_over(desk, action, other)

    def fail(*_: object, **__: object) -> None:
        raise TryAgain("stripe_away")

    def offline(*_: object, **__: object) -> Answer[ReaderSnapshot]:
        return Answer(Verdict.REFUSED, http_status=400, error_code="terminal_reader_offline")

    with monkeypatch.context() as broken:
        if silent == "read":
            broken.setattr(gateway, "read_reader", fail)
        else:
            broken.setattr(gateway, "cancel_action", offline)
        run("cancel_on_reader")
    assert state_of(action) == ("cancelling", "awaiting")
    assert not ReaderAction.objects.filter(reader=other).exists()
    assert Job.objects.get(name="cancel_on_reader").last_error == "reader_not_certain"
    work()
    assert hand.screen().asks == "nothing"
    assert state_of(action)[0] == "cancelled"
    assert ReaderAction.objects.get(reader=other).state == "waiting"


def test_a_call_on_its_way_to_the_reader_is_waited_for(desk: Desk) -> None:
    reader, _hand = desk.reader()
    other, _other_hand = desk.reader()
    desk.at.fault("reader_timeout", times=1)
    action = desk.start(reader)
    run("serve_reader")
    assert state_of(action)[0] == "checking"
    hand_over(desk, action, other)
    run("cancel_on_reader")
    assert state_of(action) == ("cancelling", "awaiting")
    long_ago = timezone.now() - reader_attempts.IN_FLIGHT
    Attempt.objects.filter(operation="process_on_reader").update(sent_at=long_ago)
    work()
    assert state_of(action)[0] == "cancelled"
    assert ReaderAction.objects.get(reader=other).state == "waiting"


def test_a_hand_over_past_its_deadline_is_cancelled(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first reader never answers: the intent is cancelled, so that the queue goes on."""
    reader, _hand = desk.reader()
    other, _other_hand = desk.reader()
    action = desk.shown(reader)
    hand_over(desk, action, other)

    def fail(*_: object, **__: object) -> None:
        raise TryAgain("stripe_away")

    monkeypatch.setattr(gateway, "read_reader", fail)
    run("cancel_on_reader")
    ReaderAction.objects.update(deadline_at=timezone.now())
    look()
    assert state_of(action) == ("cancelling", "cancelling")
    work()
    assert state_of(action) == ("failed", "cancelled")
    assert action.failure_code == lane.TIMED_OUT
    assert not ReaderAction.objects.filter(reader=other).exists()


def test_two_senders_never_both_leave_it_to_the_other(desk: Desk) -> None:
    reader, _hand = desk.reader()
    action = desk.start(reader)
    first = claim_one("serve_reader")
    assert lane.take(reader_id=reader.id, lease=first, now=timezone.now()) is not None
    desk.start(reader)
    second = claim_one("serve_reader")
    for lease in (first, second):  # each sees that the other one's claim holds
        with pytest.raises(TryAgain):
            lane.take(reader_id=reader.id, lease=lease, now=timezone.now())
    relay.run(first)
    assert waiting("serve_reader") == 1  # it comes back
    relay.run(second)
    assert state_of(action)[0] == "waiting"


def test_an_authorisation_that_does_not_say_when_it_lapses(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    PaymentSettings.objects.update(capture_mode="manual")
    monkeypatch.setattr(snapshots, "_capture_before", lambda charge: None)
    reader, hand = desk.reader()
    action = desk.shown(reader)
    hand.tap()
    look()
    assert state_of(action) == ("succeeded", "authorised")
    ends = Payment.objects.get().capture_before
    assert ends is not None
    left = ends - timezone.now()
    assert settling.AUTHORISATION_LASTS - datetime.timedelta(minutes=5) < left <= settling.AUTHORISATION_LASTS


def test_who_asks_twice_for_the_money_is_one_line_of_history(desk: Desk) -> None:
    PaymentSettings.objects.update(capture_mode="manual")
    reader, hand = desk.reader()
    desk.shown(reader)
    hand.tap()
    look()
    payment = Payment.objects.get()
    for _ in range(3):
        terminal.request_capture(
            business=desk.at.shop.business,
            payment_id=payment.public_id,
            staff=desk.staff,
            now=timezone.now(),
        )
    assert PaymentEvent.objects.filter(kind=history.CAPTURE_ASKED).count() == 1
    assert Job.objects.filter(name="capture_intent").count() == 1


def test_a_capture_that_fails_is_asked_for_now_and_then(desk: Desk) -> None:
    """Not with every sweep, and it does not keep another one out of the sweep's limit."""
    PaymentSettings.objects.update(capture_mode="manual")
    for _ in range(2):
        reader, hand = desk.reader()
        desk.shown(reader)
        hand.tap()
        look()
        work()
    failing, other = Payment.objects.order_by("capture_before", "id")
    now = timezone.now()
    Payment.objects.filter(id=failing.id).update(capture_before=now + datetime.timedelta(hours=1))
    Payment.objects.filter(id=other.id).update(capture_before=now + datetime.timedelta(hours=2))

    def jobs_of(payment: Payment) -> int:
        return Job.objects.filter(name="capture_intent", arguments__payment_id=payment.id).count()

    assert terminal.capture_expiring(limit=1, now=now) == 1
    assert (jobs_of(failing), jobs_of(other)) == (1, 0)
    Job.objects.filter(name="capture_intent").update(state="dead", finished_at=now)
    assert terminal.capture_expiring(limit=1, now=now) == 1
    assert (jobs_of(failing), jobs_of(other)) == (1, 1)
    assert terminal.capture_expiring(limit=1, now=now) == 0
    later = now + terminal.CAPTURE_AGAIN_AFTER
    assert terminal.capture_expiring(limit=1, now=later) == 1
    assert jobs_of(failing) == 2
    asked = PaymentEvent.objects.filter(payment=failing, kind=history.CAPTURE_ASKED)
    assert asked.count() == 1
    Job.objects.filter(name="capture_intent", state="waiting").update(state="done", finished_at=now)
    assert terminal.capture_expiring(limit=2, now=later) == 2


def test_a_read_that_an_event_overtook_changes_nothing(desk: Desk) -> None:
    PaymentSettings.objects.update(capture_mode="manual")
    reader, hand = desk.reader()
    action = desk.shown(reader)
    payment = Payment.objects.get()
    account = desk.at.shop.account
    before = intent_gateway.read_intent(account, intent_id=str(payment.intent_id))
    hand.tap()

    def newer() -> IntentSnapshot | None:
        read = intent_gateway.read_intent(account, intent_id=str(payment.intent_id))
        return read if read.state == "authorised" else None

    overtaking = eventually(newer)  # a read: an event of the same second would prove nothing
    assert overtaking is not None
    settling.settle(account_id=account.id, snapshot=overtaking, now=timezone.now())
    assert state_of(action) == ("succeeded", "authorised")
    settling.settle(account_id=desk.at.shop.account.id, snapshot=before, now=timezone.now())
    assert state_of(action) == ("succeeded", "authorised")
    assert waiting("read_intent") == 1


def test_a_look_that_fails_does_not_stop_the_others(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, _hand = desk.reader()
    reader, hand = desk.reader()
    first = desk.shown(broken)
    second = desk.shown(reader)
    hand.tap()
    real = reader_attempts.needs_more

    def needs_more(action: ReaderAction, seen: ReaderSnapshot | None) -> bool:
        if action.id == first.id:
            raise ZeroDivisionError
        return real(action, seen)

    monkeypatch.setattr(reader_attempts, "needs_more", needs_more)
    look()
    assert state_of(first)[0] == "waiting"
    assert first.next_poll_at is not None
    assert first.next_poll_at - timezone.now() < datetime.timedelta(seconds=10)
    assert state_of(second) == ("succeeded", "succeeded")


def test_an_old_outcome_on_the_reader_is_not_the_new_showing(desk: Desk) -> None:
    """The reader still tells of the decline before; the second showing never got there, and is sent again."""
    reader, hand = desk.reader()
    cart = desk.at.shop.cart()
    desk.shown(reader, cart)
    hand.decline()
    look()
    desk.at.fault("reader_timeout", times=1)
    second = desk.start(reader, cart)
    run("serve_reader")
    assert state_of(second)[0] == "checking"
    look()
    assert state_of(second)[0] == "sending"
    run("serve_reader")
    assert state_of(second)[0] == "waiting"
    hand.tap()
    look()
    paid_once(desk, second)


def test_a_listing_that_fails_is_not_made_up_for_by_reads(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_looks, "LIST_ABOVE", 0)
    reader, _hand = desk.reader()
    action = desk.shown(reader)
    late_reader, _late_hand = desk.reader()
    late = desk.shown(late_reader)
    ReaderAction.objects.filter(id=late.id).update(deadline_at=timezone.now())

    def fail(*_: object, **__: object) -> None:
        raise TryAgain("stripe_away")

    def never(*_: object, **__: object) -> None:
        raise AssertionError("nothing is read one by one")

    monkeypatch.setattr(gateway, "list_readers", fail)
    monkeypatch.setattr(gateway, "read_reader", never)
    monkeypatch.setattr(intent_gateway, "read_intent", never)
    assert look() == 2
    assert state_of(action)[0] == "waiting"
    assert action.next_poll_at is not None
    assert action.next_poll_at - timezone.now() < datetime.timedelta(seconds=10)
    assert state_of(late) == ("cancelling", "cancelling")
