"""A sale at Stripe: whatever is said twice, late, out of order or not at all, it ends as one order or none."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable
from typing import Any

import orjson
import pytest
import stripe
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.db import connection
from django.utils import timezone

from tasks import relay
from tasks.gateway import intents as gateway
from tasks.intents import _parameters
from tasks.webhooks import drain_inbox
from tests.integration.conftest import AtStripe
from tests.shop import claim, claim_one, waiting
from web.core.crypto import seal, unseal
from web.payments.jobs import Queue
from web.payments.models import (
    Attempt,
    Cart,
    HeldReason,
    InboxEvent,
    Job,
    Order,
    Payment,
    PaymentEvent,
    PaymentSettings,
    Receipt,
)
from web.payments.operations import arrivals, backlog, inbox, intent_attempts, intents, settling
from web.payments.operations.arrivals import Arrived
from web.payments.snapshots import SetupSnapshot
from web.payments.states import PaymentState

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., AtStripe]


def run(name: str) -> None:
    """Claim the one due job of a name and run it to its end, as a worker does."""
    relay.run(claim_one(name))


def hurry() -> None:
    """Let jobs that wait for another try be due now."""
    Job.objects.filter(state="waiting").update(due_at=timezone.now())


def arrive(at: AtStripe, events: list[dict[str, Any]] | None = None) -> None:
    """Store events as the webhook address does, and drain them."""
    for event in at.events() if events is None else events:
        store(at, event)
    drain_inbox()


def store(at: AtStripe, event: dict[str, Any], *, event_id: str | None = None) -> bool:
    thing = event["data"]["object"]
    return arrivals.store(
        account_id=at.shop.account.id,
        event=Arrived(
            event_id=event_id or event["id"],
            event_type=event["type"],
            object_id=thing["id"],
            occurred_at=datetime.datetime.fromtimestamp(event["created"], tz=datetime.UTC),
            payload_json=orjson.dumps(event).decode(),
        ),
        now=timezone.now(),
    )


def awaiting(at: AtStripe) -> Payment:
    """Return a payment whose intent waits at Stripe for the customer."""
    payment = at.shop.request(at.shop.cart())
    run("create_intent")
    payment.refresh_from_db()
    assert payment.state == PaymentState.AWAITING
    return payment


def the_payment() -> Payment:
    return Payment.objects.get()


def paid_in_full(at: AtStripe) -> Order:
    """Assert the one good end: one order, one charge at Stripe, nothing left open."""
    order = Order.objects.get()
    payment = the_payment()
    assert (payment.state, payment.order_id, payment.client_secret_sealed) == ("succeeded", order.id, "")
    assert payment.amount_received_minor == payment.amount_minor == order.total_minor
    assert not Cart.objects.exists()
    charges = [charge for charge in at.books()["charges"] if charge["status"] == "succeeded"]
    assert [charge["amount"] for charge in charges] == [order.total_minor]
    return order


def test_a_sale_from_cart_to_order_and_receipt(at_stripe: Make) -> None:
    at = at_stripe()
    payment = at.shop.request(at.shop.cart(quantity=2))
    run("create_intent")
    payment.refresh_from_db()
    assert payment.state == PaymentState.AWAITING
    assert payment.intent_id is not None
    assert unseal(payment.client_secret_sealed).startswith(f"{payment.intent_id}_secret_")
    at.pay(payment)
    arrive(at)
    order = paid_in_full(at)
    assert (order.total_minor, order.customer_name) == (7200, "Ada Guest")
    payment.refresh_from_db()
    assert (payment.card_brand, payment.card_last4) == ("visa", "4242")
    run("send_receipt")
    (message,) = mail.outbox
    assert message.to == ["ada@example.com"]
    assert order.number in message.subject
    assert "$72.00" in message.body
    assert Receipt.objects.get().sent_at is not None
    assert not Job.objects.exclude(state="done").exists()


def test_nothing_secret_is_kept_where_people_or_logs_look(at_stripe: Make, caplog: Any) -> None:
    at = at_stripe()
    payment = at.shop.request(at.shop.cart())
    run("create_intent")
    payment.refresh_from_db()
    secret = unseal(payment.client_secret_sealed)
    rows = [*Attempt.objects.values(), *PaymentEvent.objects.values(), *Job.objects.values()]
    assert secret not in str(rows)
    assert "sk_test" not in str(rows)
    assert secret not in caplog.text
    assert "sk_test" not in caplog.text


def test_an_event_that_overtakes_the_answer_finds_its_payment(at_stripe: Make) -> None:
    """Killed after Stripe's success and before our commit: the event knows our id; the retry knows the key."""
    at = at_stripe()
    payment = at.shop.request(at.shop.cart())
    lease = claim_one("create_intent")
    attempt = intent_attempts.begin_create(
        payment_id=payment.id, parameters=_parameters(payment), lease=lease, now=timezone.now()
    )
    assert attempt is not None
    answer = gateway.create_intent(at.shop.account, parameters=attempt.parameters, key=attempt.key)
    assert answer.snapshot is not None  # and here the worker dies
    at.pay(answer.snapshot.intent_id)
    arrive(at)
    paid_in_full(at)
    Job.objects.filter(id=lease.job_id).update(leased_until=timezone.now())
    relay.run(claim_one("create_intent"))  # its successor finds nothing left to do
    paid_in_full(at)
    assert len(at.intents()) == 1
    assert Attempt.objects.get().state == "succeeded"


@pytest.mark.parametrize("fault", ["reset_after", "error_500_after", "truncated_body", "garbage_200"])
def test_an_unknown_answer_is_asked_again_with_the_same_key(at_stripe: Make, fault: str) -> None:
    at = at_stripe()
    payment = at.shop.request(at.shop.cart())
    at.fault(fault, match={"method": "POST"}, times=1)
    run("create_intent")
    payment.refresh_from_db()
    assert payment.state == PaymentState.UNKNOWN
    for _ in range(3):
        hurry()
        if waiting("create_intent"):
            run("create_intent")
    payment.refresh_from_db()
    assert payment.state == PaymentState.AWAITING
    assert [intent["id"] for intent in at.intents()] == [payment.intent_id]
    assert unseal(payment.client_secret_sealed).startswith(f"{payment.intent_id}_secret_")  # it can be paid
    assert Attempt.objects.filter(state__in=["sent", "unknown"]).count() == 0


@pytest.mark.parametrize("fault", ["rate_limit_429", "lock_timeout_429", "reset_before"])
def test_what_was_not_executed_is_tried_again(at_stripe: Make, fault: str) -> None:
    at = at_stripe()
    payment = at.shop.request(at.shop.cart())
    at.fault(fault, match={"method": "POST"}, times=1)
    run("create_intent")
    hurry()
    run("create_intent")
    payment.refresh_from_db()
    assert payment.state == PaymentState.AWAITING
    assert Attempt.objects.get().sends == 2
    assert len(at.intents()) == 1


def test_a_definite_refusal_fails_the_payment_and_frees_the_cart(at_stripe: Make) -> None:
    at = at_stripe()
    cart = at.shop.cart()
    payment = at.shop.request(cart)
    at.shop.account.secret_key_sealed = seal("sk_wrong")
    at.shop.account.save()
    run("create_intent")
    payment.refresh_from_db()
    cart.refresh_from_db()
    assert payment.state == PaymentState.FAILED
    assert (cart.state, cart.committed_minor, cart.frozen_total_minor) == ("open", 0, None)
    assert at.intents() == []


def test_declined_then_paid_with_another_card_on_the_same_payment(at_stripe: Make) -> None:
    at = at_stripe()
    payment = awaiting(at)
    with pytest.raises(stripe.CardError):
        at.pay(payment, "pm_card_visa_chargeDeclined")
    arrive(at)
    hurry()
    if waiting("read_intent"):  # both happened within one second: the event alone proves nothing
        run("read_intent")
    payment.refresh_from_db()
    assert (payment.state, payment.decline_code) == (PaymentState.DECLINED, "generic_decline")
    assert at.shop.request(Cart.objects.get()).id == payment.id  # a new form gets the same payment back
    at.pay(payment)
    arrive(at)
    paid_in_full(at)


def test_old_news_never_takes_a_payment_back(at_stripe: Make) -> None:
    at = at_stripe()
    payment = awaiting(at)
    at.pay(payment)
    events = at.events()
    for event in reversed(events):  # the newest first, each in a batch of its own
        arrive(at, [event])
    paid_in_full(at)
    for number, event in enumerate(events):  # and all of it again under other ids
        store(at, event, event_id=f"evt_again_{number}")
    drain_inbox()
    paid_in_full(at)


def test_24_copies_of_one_event_at_once_are_one_effect(at_stripe: Make) -> None:
    at = at_stripe()
    payment = awaiting(at)
    at.pay(payment)
    (event,) = [event for event in at.events() if event["type"] == "payment_intent.succeeded"]
    new: list[bool] = []

    def deliver() -> None:
        new.append(store(at, event))
        drain_inbox()
        connection.close()

    threads = [threading.Thread(target=deliver) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(new) == [False] * 23 + [True]
    drain_inbox()
    paid_in_full(at)


def test_webhook_read_and_sweep_at_once_make_one_order(at_stripe: Make) -> None:
    at = at_stripe()
    payment = awaiting(at)
    at.pay(payment)
    assert payment.intent_id is not None
    snapshot = gateway.read_intent(at.shop.account, intent_id=payment.intent_id)
    barrier = threading.Barrier(8)
    errors: list[BaseException] = []

    def settle() -> None:
        try:
            barrier.wait(10)
            settling.settle(account_id=at.shop.account.id, snapshot=snapshot, now=timezone.now())
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=settle) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    paid_in_full(at)
    assert PaymentEvent.objects.filter(kind="order.made").count() == 1
    assert waiting("send_receipt") == 1


def test_cancelled_before_it_was_sent_never_reaches_stripe(at_stripe: Make) -> None:
    at = at_stripe()
    payment = at.shop.request(at.shop.cart())
    intents.request_cancel(payment_id=payment.id, now=timezone.now(), actor="customer")
    run_all_of(Queue.INTENTS)
    payment.refresh_from_db()
    assert payment.state == PaymentState.CANCELLED
    assert Cart.objects.get().state == "open"
    assert at.intents() == []


def run_all_of(queue: str) -> None:
    """Run what is due in a queue until nothing is."""
    for _ in range(20):
        hurry()
        leases = claim(queue)
        if not leases:
            return
        relay.run(leases[0])
    pytest.fail(f"{queue} never became quiet")


def test_cancelling_is_certain_only_when_stripe_says_so(at_stripe: Make) -> None:
    at = at_stripe()
    payment = awaiting(at)
    intents.request_cancel(payment_id=payment.id, now=timezone.now(), actor="customer")
    payment.refresh_from_db()
    assert payment.state == PaymentState.CANCELLING
    assert Cart.objects.get().state == "frozen"
    run("cancel_intent")
    payment.refresh_from_db()
    assert payment.state == PaymentState.CANCELLED
    assert Cart.objects.get().state == "open"
    assert [intent["status"] for intent in at.intents()] == ["canceled"]


def test_paid_before_the_cancellation_makes_the_order(at_stripe: Make) -> None:
    at = at_stripe()
    payment = awaiting(at)
    at.pay(payment)
    intents.request_cancel(payment_id=payment.id, now=timezone.now(), actor="customer")
    run("cancel_intent")
    paid_in_full(at)


def test_cancelled_while_stripe_was_making_it(at_stripe: Make) -> None:
    at = at_stripe()
    payment = at.shop.request(at.shop.cart())
    at.fault("reset_after", match={"method": "POST"}, times=1)
    run("create_intent")
    intents.request_cancel(payment_id=payment.id, now=timezone.now(), actor="customer")
    run_all_of(Queue.INTENTS)
    payment.refresh_from_db()
    assert payment.state == PaymentState.CANCELLED
    assert [intent["status"] for intent in at.intents()] == ["canceled"]
    assert Cart.objects.get().state == "open"


def test_another_amount_is_held_and_never_fulfilled(at_stripe: Make) -> None:
    at = at_stripe()
    payment = awaiting(at)
    assert payment.intent_id is not None
    at.v1.payment_intents.update(payment.intent_id, {"amount": 100})
    at.pay(payment)
    arrive(at)
    payment.refresh_from_db()
    assert (payment.state, payment.held_reason) == (PaymentState.HELD, HeldReason.AMOUNT)
    assert payment.amount_received_minor == 100
    assert not Order.objects.exists()
    assert Cart.objects.get().state == "frozen"
    with pytest.raises(intents.MoneyHeld):
        at.shop.request(Cart.objects.get())


def test_silence_is_broken_by_a_look(at_stripe: Make) -> None:
    """No event ever comes: the sweep reads Stripe."""
    at = at_stripe()
    payment = awaiting(at)
    at.pay(payment)
    Payment.objects.update(next_check_at=timezone.now())
    assert intents.check_again(limit=10, now=timezone.now()) == 1
    run("read_intent")
    paid_in_full(at)


def test_a_failed_mail_leaves_the_order_and_is_tried_again(at_stripe: Make, monkeypatch: Any) -> None:
    at = at_stripe()
    payment = awaiting(at)
    at.pay(payment)
    arrive(at)

    def fail(self: object, **_: object) -> int:
        raise ConnectionRefusedError

    with monkeypatch.context() as broken:
        broken.setattr(EmailMultiAlternatives, "send", fail)
        run("send_receipt")
    paid_in_full(at)
    assert Job.objects.get(name="send_receipt").state == "waiting"
    hurry()
    run("send_receipt")
    assert len(mail.outbox) == 1


def test_an_event_whose_handler_raises_is_tried_again_and_holds_up_nobody(
    at_stripe: Make, monkeypatch: Any
) -> None:
    at, other = at_stripe(), at_stripe()
    for here in (at, other):
        here.shop.request(here.shop.cart())
    for _ in range(2):
        relay.run(claim(Queue.INTENTS)[0])
    for here in (at, other):
        (intent,) = here.intents()
        here.pay(intent["id"])
    real = settling.apply

    def poisoned(sale: Any, payment: Payment, *args: Any, **options: Any) -> None:
        if payment.business_id == at.shop.business.id:
            raise RuntimeError("poison")
        real(sale, payment, *args, **options)

    with monkeypatch.context() as broken:
        broken.setattr(settling, "apply", poisoned)
        for here in (at, other):
            for event in here.events():
                store(here, event)
        drain_inbox()
    assert [order.business_id for order in Order.objects.all()] == [other.shop.business.id]
    failed = InboxEvent.objects.filter(account=at.shop.account, state="received")
    assert failed.exists()
    assert set(failed.values_list("error", flat=True)) == {"RuntimeError"}
    InboxEvent.objects.filter(state="received").update(due_at=timezone.now())
    drain_inbox()
    assert Order.objects.count() == 2


def test_an_event_first_and_the_customer_can_still_pay(at_stripe: Make) -> None:
    """The answer was lost and `payment_intent.created` told us of the intent: a read brings the client secret."""
    at = at_stripe()
    payment = at.shop.request(at.shop.cart())
    at.fault("reset_after", match={"method": "POST"}, times=1)
    run("create_intent")
    arrive(at)
    payment.refresh_from_db()
    assert (payment.state, payment.client_secret_sealed) == (PaymentState.AWAITING, "")
    run_all_of(Queue.INTENTS)
    payment.refresh_from_db()
    assert unseal(payment.client_secret_sealed).startswith(f"{payment.intent_id}_secret_")
    assert Attempt.objects.get().state == "succeeded"


def test_somebody_elses_intents_with_odd_metadata_stop_nobody(at_stripe: Make) -> None:
    at = at_stripe()
    payment = awaiting(at)
    for odd in ("order 123", "x" * 400, str(payment.public_id).upper() + "0"):
        at.v1.payment_intents.create(
            {
                "amount": 900,
                "currency": "usd",
                "confirm": True,
                "payment_method": "pm_card_visa",
                "return_url": "https://shop.example/return",
                "metadata": {"payment": odd},
            }
        )
    at.pay(payment)
    for event in at.events():
        store(at, event)
    drain_inbox()
    assert Order.objects.get().total_minor == payment.amount_minor
    assert not InboxEvent.objects.filter(state="received").exists()


@pytest.mark.parametrize("odd", [5, True, 1.5, {}, {"id": 7}, [], ["pi_1"]])
def test_an_odd_reference_within_a_signed_event_stops_nobody(at_stripe: Make, odd: object) -> None:
    """A business knows the secret that signs its own events; what it makes of them holds up no other business."""
    at = at_stripe()
    payment = awaiting(at)
    at.pay(payment)
    events = at.events()
    charge = next(event for event in events if event["type"] == "charge.succeeded")
    made_up = {
        **charge,
        "id": "evt_made_up",
        "data": {"object": {**charge["data"]["object"], "payment_intent": odd}},
    }
    for event in (made_up, *events):
        store(at, event)
    drain_inbox()
    assert Order.objects.get().total_minor == payment.amount_minor
    assert not InboxEvent.objects.filter(state="received").exists()


def test_a_reference_that_the_database_refuses_stops_nobody(
    at_stripe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However a search for a payment fails, the others of its batch are applied."""
    at = at_stripe()
    payment = awaiting(at)
    at.pay(payment)

    def find(**_: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")

    monkeypatch.setitem(inbox.ROADS, SetupSnapshot, inbox.Road(find, inbox.ROADS[SetupSnapshot].apply))
    events = at.events()
    setup = {"id": "seti_1", "object": "setup_intent", "status": "succeeded"}
    for event in (
        {**events[0], "id": "evt_odd", "type": "setup_intent.succeeded", "data": {"object": setup}},
        *events,
    ):
        store(at, event)
    drain_inbox()
    assert Order.objects.get().total_minor == payment.amount_minor
    assert list(InboxEvent.objects.filter(state="received").values_list("event_id", flat=True)) == ["evt_odd"]


def test_one_bad_event_does_not_hold_up_the_good_ones_of_its_sale(at_stripe: Make) -> None:
    at = at_stripe()
    payment = awaiting(at)
    at.v1.payment_intents.create(  # claims the same payment: a person must look at that one
        {"amount": 900, "currency": "usd", "metadata": {"payment": str(payment.public_id)}}
    )
    at.pay(payment)
    arrive(at)
    paid = Payment.objects.get()
    assert (paid.state, paid.intent_id) == ("succeeded", payment.intent_id)
    bad = InboxEvent.objects.get(state="received")
    assert (bad.error, bad.tries) == ("TwoIntents", 1)
    InboxEvent.objects.filter(id=bad.id).update(state="dead")
    assert inbox.replay(now=timezone.now()) == 1


def test_a_late_failure_does_not_replace_the_card_that_paid(at_stripe: Make) -> None:
    at = at_stripe()
    payment = awaiting(at)
    with pytest.raises(stripe.CardError):
        at.pay(payment, "pm_card_visa_chargeDeclined")
    at.pay(payment, "pm_card_mastercard")
    events = at.events()
    arrive(at, [event for event in events if event["type"] != "charge.failed"])
    arrive(at, [event for event in events if event["type"] == "charge.failed"])
    payment.refresh_from_db()
    assert (payment.state, payment.card_brand) == ("succeeded", "mastercard")


def test_a_500_that_stripe_keeps_does_not_keep_the_cart(at_stripe: Make) -> None:
    """Cancelling: Stripe did it, answered 500, and will say 500 for that key for ever; no event comes."""
    at = at_stripe()
    payment = at.shop.request(at.shop.cart())
    run("create_intent")
    at.fault("error_500_after", match={"method": "POST"}, times=1)
    intents.request_cancel(payment_id=payment.id, now=timezone.now(), actor="customer")
    run_all_of(Queue.INTENTS)
    payment.refresh_from_db()
    assert payment.state == PaymentState.CANCELLED
    assert Cart.objects.get().state == "open"
    assert not Attempt.objects.filter(state__in=["sent", "unknown"]).exists()


def test_an_attempt_to_cancel_is_closed_by_the_event_too(at_stripe: Make) -> None:
    at = at_stripe()
    payment = at.shop.request(at.shop.cart())
    run("create_intent")
    at.fault("reset_after", match={"method": "POST"}, times=1)
    intents.request_cancel(payment_id=payment.id, now=timezone.now(), actor="customer")
    run("cancel_intent")
    arrive(at)
    payment.refresh_from_db()
    assert payment.state == PaymentState.CANCELLED
    run_all_of(Queue.INTENTS)
    assert set(Attempt.objects.values_list("state", flat=True)) == {"succeeded"}


def test_a_customer_who_left_is_given_up_after_a_day_and_not_before(at_stripe: Make) -> None:
    at = at_stripe()
    payment = at.shop.request(at.shop.cart())
    run("create_intent")
    now = timezone.now()
    for age, expected in (
        (intents.ABANDONED_AFTER / 2, "awaiting"),
        (intents.ABANDONED_AFTER * 2, "cancelling"),
    ):
        Payment.objects.update(next_check_at=now, state_changed_at=now - age)
        intents.check_again(limit=10, now=now)
        payment.refresh_from_db()
        assert payment.state == expected
    run_all_of(Queue.INTENTS)
    assert [intent["status"] for intent in at.intents()] == ["canceled"]
    assert Cart.objects.get().state == "open"


def test_one_who_leaves_is_asked_about_a_few_times_and_given_up_to_the_second(at_stripe: Make) -> None:
    """Most who leave never come back: a look a minute at each would use up what Stripe lets an account ask."""
    at = at_stripe()
    payment = at.shop.request(at.shop.cart())
    run("create_intent")
    PaymentSettings.objects.update(abandoned_after_hours=20)
    payment.refresh_from_db()
    looks = []
    while payment.state == "awaiting":
        assert payment.next_check_at is not None
        now = payment.next_check_at
        looks.append(now - payment.state_changed_at)
        assert intents.check_again(limit=10, now=now) == 1
        payment.refresh_from_db()
    assert payment.state == "cancelling"
    assert looks[0] == datetime.timedelta(minutes=5)
    assert looks[-1] == datetime.timedelta(hours=20)
    assert len(looks) == 6
    assert waiting("read_intent") == 1  # of all looks, until one has run; and none beside the cancellation
    assert intents.check_again(limit=10, now=now) == 0


def test_a_page_that_asks_often_reads_once_a_second(at_stripe: Make) -> None:
    at = at_stripe()
    payment = at.shop.request(at.shop.cart())
    run("create_intent")
    now = timezone.now()
    for _ in range(50):
        intents.request_read(payment_id=payment.id, now=now)
    assert waiting("read_intent") == 1
    run("read_intent")
    intents.request_read(payment_id=payment.id, now=now)
    early = backlog.claim(queue=Queue.INTENTS, limit=1, worker="tests", now=now)
    assert early == []  # it waits for its second, and no longer
    due_at = Job.objects.get(name="read_intent", state="waiting").due_at
    assert due_at == now + intents.SHORTEST_BETWEEN_READS


def test_a_second_decline_of_the_same_payment_brings_its_own_reason(at_stripe: Make) -> None:
    at = at_stripe()
    payment = awaiting(at)
    first = payment.snapshot_at
    assert first is not None
    for number, (card, reason) in enumerate(
        (
            ("pm_card_visa_chargeDeclined", "generic_decline"),
            ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        )
    ):
        with pytest.raises(stripe.CardError):
            at.pay(payment, card)
        event = [event for event in at.events() if event["type"] == "payment_intent.payment_failed"][-1]
        event["created"] = int(first.timestamp()) + 10 * (number + 1)  # people take their time
        arrive(at, [event])
        payment.refresh_from_db()
        assert (payment.state, payment.decline_code) == (PaymentState.DECLINED, reason)
