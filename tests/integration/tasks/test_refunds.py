"""Refunds at Stripe: whatever is said twice, late, out of order or not at all, the money goes back once or not."""

from __future__ import annotations

import dataclasses
import datetime
import threading
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from tasks import relay
from tasks.gateway import refunds as gateway
from tasks.refunds import _parameters
from tests.integration.conftest import AtStripe
from tests.integration.tasks.test_sale import arrive, awaiting, hurry, run, run_all_of
from tests.shop import claim, claim_one, waiting
from web.core.crypto import seal
from web.payments.errors import Refusal
from web.payments.jobs import Queue
from web.payments.models import Attempt, Dispute, Job, Method, OrderLine, Payment, PaymentEvent, Refund
from web.payments.money import Money
from web.payments.operations import desk, refund_attempts, refund_moves, refunds
from web.payments.operations.intents import PaymentNotFound
from web.payments.operations.refund_shares import Items, Part, Percent, Share, Whole
from web.payments.states import RefundState

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., AtStripe]


def sold(at: AtStripe, *, quantity: int = 1, card: str = "pm_card_visa") -> Payment:
    """Return the payment of an order that a card paid; every event of it is applied."""
    payment = awaiting(at) if quantity == 1 else at.shop.request(at.shop.cart(quantity=quantity))
    if payment.intent_id is None:
        run("create_intent")
        payment.refresh_from_db()
    at.pay(payment, card)
    arrive(at)
    Job.objects.filter(name="send_receipt").delete()
    payment.refresh_from_db()
    assert payment.order_id is not None
    return payment


def ask(payment: Payment, share: Share | int | None = None, **options: Any) -> refunds.Asked:
    """Ask for a refund as a page does; a number is an amount in cents, nothing is all that is left."""
    if isinstance(share, int):
        share = Part(Money(share, payment.currency))
    return refunds.request(
        business=payment.business,
        reference=payment.cart_reference,
        share=share or Whole(),
        reason=options.pop("reason", "class cancelled"),
        form_token=options.pop("form_token", None) or uuid.uuid4().hex,
        now=options.pop("now", None) or timezone.now(),
        staff=None,
        **options,
    )


def asked(payment: Payment, share: Share | int | None = None, **options: Any) -> Refund:
    (refund,) = ask(payment, share, **options).refunds
    return refund


def state(refund: Refund) -> str:
    refund.refresh_from_db()
    return refund.state


def at_stripes(at: AtStripe) -> list[tuple[str, int]]:
    """Return what Stripe has given back, by its own record."""
    return sorted((refund["status"], refund["amount"]) for refund in at.books()["refunds"])


def sums(payment: Payment) -> tuple[int, int, int]:
    payment.refresh_from_db()
    return payment.refunded_minor, payment.returned_minor, payment.refunded_beyond_minor


def test_a_refund_from_the_click_to_stripe(at_stripe: Make) -> None:
    at = at_stripe()
    payment = sold(at)
    refund = asked(payment)
    assert (refund.state, sums(payment)) == (RefundState.REQUESTED, (3600, 0, 0))
    run("submit_refund")
    assert state(refund) == RefundState.SUCCEEDED
    assert sums(payment) == (3600, 3600, 0)
    arrive(at)  # and what events tell of it changes nothing
    assert sums(payment) == (3600, 3600, 0)
    assert at_stripes(at) == [("succeeded", 3600)]
    kinds = list(PaymentEvent.objects.filter(kind__startswith="refund.").values_list("kind", "to_state"))
    assert kinds == [
        ("refund.requested", "requested"),
        ("refund.moved", "submitting"),
        ("refund.moved", "succeeded"),
    ]
    run("send_refund_receipt")
    assert not Job.objects.exclude(state="done").exists()
    with pytest.raises(refunds.NothingToGiveBack):
        ask(payment)


def test_the_same_click_twice_is_one_refund_and_two_forms_are_two(at_stripe: Make) -> None:
    at = at_stripe()
    payment = sold(at)
    first = asked(payment, 1000, form_token="the-form-of-a-refund")
    again = ask(payment, 1000, form_token="the-form-of-a-refund")
    assert (again.is_new, [refund.id for refund in again.refunds]) == (False, [first.id])
    run("submit_refund")
    second = asked(payment, 1000)  # meant: a new form, after the first is through
    run("submit_refund")
    assert (state(first), state(second)) == ("succeeded", "succeeded")
    assert at_stripes(at) == [("succeeded", 1000), ("succeeded", 1000)]
    assert sums(payment) == (2000, 2000, 0)
    with pytest.raises(refunds.ExceedsWhatIsLeft) as refusal:
        ask(payment, 1601)
    assert refusal.value.details["left"] == Money(1600, "usd")


def test_a_refund_that_timed_out_and_a_second_click_are_one_refund(at_stripe: Make) -> None:
    at = at_stripe()
    payment = sold(at)
    at.fault("reset_after", match={"method": "POST", "path": "refunds"}, times=1)
    first = asked(payment, 1000)
    run("submit_refund")
    assert state(first) == RefundState.UNKNOWN
    with pytest.raises(refunds.RefundUnderWay) as refusal:
        ask(payment, 1000)
    assert refusal.value.refund == first
    run_all_of(Queue.REFUNDS)
    assert state(first) == RefundState.SUCCEEDED
    assert at_stripes(at) == [("succeeded", 1000)]
    assert Attempt.objects.filter(refund=first).get().sends == 2


@pytest.mark.parametrize(
    "fault",
    ["reset_before", "reset_after", "error_500_before", "error_500_after", "truncated_body", "garbage_200",
     "rate_limit_429", "lock_timeout_429"],
)  # fmt: skip
def test_whatever_stripe_answers_the_money_goes_back_once(at_stripe: Make, fault: str) -> None:
    at = at_stripe()
    payment = sold(at)
    at.fault(fault, match={"method": "POST"}, times=1)
    refund = asked(payment)
    run_all_of(Queue.REFUNDS)
    assert state(refund) == RefundState.SUCCEEDED
    assert at_stripes(at) == [("succeeded", 3600)]
    assert sums(payment) == (3600, 3600, 0)
    assert not Attempt.objects.filter(state__in=["sent", "unknown"]).exists()


def test_two_people_at_once_are_one_refund(at_stripe: Make) -> None:
    at = at_stripe()
    payment = sold(at)
    barrier = threading.Barrier(8)
    got: list[object] = []

    def click() -> None:
        try:
            barrier.wait(10)
            got.append(asked(payment, 2000).amount_minor)
        except Refusal as refusal:
            got.append(type(refusal))
        finally:
            connection.close()

    threads = [threading.Thread(target=click) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert got.count(2000) == 1
    assert got.count(refunds.RefundUnderWay) == 7
    run_all_of(Queue.REFUNDS)
    assert at_stripes(at) == [("succeeded", 2000)]
    assert waiting("submit_refund") == 0


def begun(at: AtStripe, refund: Refund) -> tuple[Any, Attempt]:
    lease = claim_one("submit_refund")
    refund = Refund.objects.select_related("payment", "business").get(id=refund.id)
    attempt = refund_attempts.begin_submit(
        refund_id=refund.id, parameters=_parameters(refund), lease=lease, now=timezone.now()
    )
    assert attempt is not None
    return lease, attempt


@pytest.mark.parametrize("dies", ["before the call", "after the call"])
@pytest.mark.parametrize("event_comes", [False, True])
def test_a_worker_that_dies_is_overtaken(at_stripe: Make, dies: str, event_comes: bool) -> None:
    at = at_stripe()
    payment = sold(at)
    refund = asked(payment)
    lease, attempt = begun(at, refund)
    if dies == "after the call":
        gateway.create_refund(at.shop.account, parameters=attempt.parameters, key=attempt.key)
    if event_comes:
        arrive(at)
    assert state(refund) == ("succeeded" if event_comes and dies == "after the call" else "submitting")
    Job.objects.filter(id=lease.job_id).update(leased_until=timezone.now())
    run_all_of(Queue.REFUNDS)
    assert state(refund) == RefundState.SUCCEEDED
    assert at_stripes(at) == [("succeeded", 3600)]
    assert Attempt.objects.get(refund=refund).state == "succeeded"
    assert Refund.objects.count() == 1


def test_the_event_before_our_answer_is_the_same_row(at_stripe: Make) -> None:
    """The webhook overtakes the commit of what Stripe answered: matched by our id, then by Stripe's."""
    at = at_stripe()
    payment = sold(at)
    refund = asked(payment, 1200)
    lease, attempt = begun(at, refund)
    answer = gateway.create_refund(at.shop.account, parameters=attempt.parameters, key=attempt.key)
    arrive(at)
    refund_attempts.conclude(attempt_id=attempt.id, answer=answer, lease=lease, now=timezone.now())
    assert state(refund) == RefundState.SUCCEEDED
    assert Refund.objects.count() == 1
    assert sums(payment) == (1200, 1200, 0)


def test_an_old_key_is_never_sent_again_but_looked_for(at_stripe: Make) -> None:
    at = at_stripe()
    payment = sold(at)
    refund = asked(payment)
    _lease, attempt = begun(at, refund)
    gateway.create_refund(at.shop.account, parameters=attempt.parameters, key=attempt.key)
    old = timezone.now() - datetime.timedelta(hours=30)
    Attempt.objects.filter(id=attempt.id).update(first_sent_at=old, sent_at=old)
    Job.objects.update(leased_until=timezone.now())
    at.fault(
        "error_500_before", match={"method": "POST", "path": "refunds"}, times=None
    )  # no POST may be needed
    run("submit_refund")
    assert state(refund) == RefundState.SUCCEEDED
    assert at_stripes(at) == [("succeeded", 3600)]


@pytest.mark.parametrize(("hours", "keys"), [(23.5, 1), (24.5, 2)])
def test_a_new_key_only_after_a_day_and_a_list_without_the_refund(
    at_stripe: Make, hours: float, keys: int
) -> None:
    at = at_stripe()
    payment = sold(at)
    refund = asked(payment)
    _lease, attempt = begun(at, refund)  # and it is never sent
    old = timezone.now() - datetime.timedelta(hours=hours)
    Attempt.objects.filter(id=attempt.id).update(first_sent_at=old, sent_at=old)
    Job.objects.filter(state="running").update(leased_until=timezone.now())
    run_all_of(Queue.REFUNDS)
    assert Attempt.objects.filter(refund=refund).count() == keys
    if keys == 1:
        assert state(refund) == RefundState.UNKNOWN
        assert at_stripes(at) == []
        assert refund.next_check_at is not None
        Refund.objects.update(next_check_at=timezone.now())
        assert refund_moves.check_again(limit=10, now=timezone.now()) == 1
        assert waiting("submit_refund") == 1
    else:
        assert state(refund) == RefundState.SUCCEEDED
        assert at_stripes(at) == [("succeeded", 3600)]


def test_a_definite_refusal_gives_the_reservation_back(at_stripe: Make) -> None:
    at = at_stripe()
    payment = sold(at)
    assert payment.intent_id is not None
    refund = asked(payment, 2000)
    at.v1.refunds.create({"payment_intent": payment.intent_id})  # somebody was faster in the dashboard
    run("submit_refund")
    assert (state(refund), refund.failure_code) == (RefundState.FAILED, "charge_already_refunded")
    run("import_refunds")  # and looks why
    assert sums(payment) == (3600, 3600, 0)
    theirs = Refund.objects.get(origin="stripe")
    assert (theirs.state, theirs.amount_minor) == (RefundState.SUCCEEDED, 3600)
    arrive(at)
    assert Refund.objects.count() == 2


def test_wrong_keys_fail_the_refund(at_stripe: Make) -> None:
    at = at_stripe()
    payment = sold(at)
    at.shop.account.secret_key_sealed = seal("sk_wrong")
    at.shop.account.save()
    refund = asked(payment)
    run("submit_refund")
    assert (state(refund), sums(payment)) == (RefundState.FAILED, (0, 0, 0))


def test_the_bank_sends_it_back(at_stripe: Make) -> None:
    at = at_stripe()
    payment = sold(at, quantity=2)
    line = OrderLine.objects.get()
    at.fault("refund_fails_later", match={"path": "refunds"}, times=1)
    refund = asked(payment, Items({line.id: 1}))
    run("submit_refund")
    assert sums(payment) == (3600, 3600, 0)
    at.sandbox.control("POST", "clock", advance=1)
    for event in reversed(at.events()):  # the failure first
        arrive(at, [event])
    assert (state(refund), refund.failure_code) == (RefundState.FAILED, "expired_or_canceled_card")
    assert sums(payment) == (0, 0, 0)
    line.refresh_from_db()
    assert (line.refunded_quantity, line.refunded_minor) == (0, 0)
    again = asked(payment, Items({line.id: 2}))
    run("submit_refund")
    assert state(again) == RefundState.SUCCEEDED


def test_a_pending_refund_is_read_until_it_is_through(at_stripe: Make) -> None:
    at = at_stripe()
    payment = sold(at, card="pm_card_pendingRefund")
    refund = asked(payment, 1000)
    run("submit_refund")
    assert state(refund) == RefundState.PENDING
    asked(payment, 500)  # Stripe has the first: another one may follow
    run("submit_refund")
    at.sandbox.control("POST", "clock", advance=1)
    Refund.objects.update(next_check_at=timezone.now())
    assert refund_moves.check_again(limit=10, now=timezone.now()) == 2
    run_all_of(Queue.REFUNDS)
    assert state(refund) == RefundState.SUCCEEDED
    assert sums(payment) == (1500, 1500, 0)


def test_made_in_the_dashboard_beyond_what_we_had_reserved_is_stored(at_stripe: Make) -> None:
    """Ours is reserved and not sent yet; the dashboard gives all of it back: both are kept, the excess is counted."""
    at = at_stripe()
    payment = sold(at)
    assert payment.intent_id is not None
    ours = asked(payment, 2000)
    at.v1.refunds.create({"payment_intent": payment.intent_id, "amount": 3000})
    arrive(at)
    assert sums(payment) == (3600, 3000, 1400)
    with pytest.raises(refunds.RefundUnderWay):
        ask(payment, 1)
    run_all_of(Queue.REFUNDS)
    assert (state(ours), sums(payment)) == (RefundState.FAILED, (3000, 3000, 0))
    (imported,) = Refund.objects.filter(origin="stripe")
    assert imported.amount_minor == 3000
    asked(payment)  # the 6.00 that are left
    run_all_of(Queue.REFUNDS)
    assert sums(payment) == (3600, 3600, 0)


def test_a_charge_that_says_more_than_we_know_is_looked_into(at_stripe: Make) -> None:
    at = at_stripe()
    payment = sold(at)
    assert payment.intent_id is not None
    at.v1.refunds.create({"payment_intent": payment.intent_id, "amount": 700})
    arrive(at, [event for event in at.events() if event["type"] == "charge.refunded"])
    assert not Refund.objects.exists()
    run("import_refunds")
    assert Refund.objects.get().amount_minor == 700
    arrive(at)
    assert waiting("import_refunds") == 0
    assert Refund.objects.count() == 1


def test_copied_metadata_does_not_hide_a_second_refund(at_stripe: Make) -> None:
    at = at_stripe()
    payment = sold(at)
    assert payment.intent_id is not None
    refund = asked(payment, 1000)
    run("submit_refund")
    at.v1.refunds.create(
        {"payment_intent": payment.intent_id, "amount": 1000, "metadata": {"refund": str(refund.public_id)}}
    )
    arrive(at)
    assert Refund.objects.count() == 2
    assert sums(payment) == (2000, 2000, 0)


def disputed(at: AtStripe, payment: Payment) -> None:
    """Let the cardholder dispute what they paid with a card that does so."""
    at.sandbox.control("POST", "clock", advance=1)
    arrive(at)
    assert Dispute.objects.filter(payment=payment).exists()


def test_a_dispute_that_arises_between_our_check_and_stripe(at_stripe: Make) -> None:
    at = at_stripe()
    payment = sold(at)
    at.fault("dispute_before_refund", match={"path": "refunds"}, times=1)
    refund = asked(payment)
    run("submit_refund")
    assert (state(refund), refund.failure_code) == (RefundState.FAILED, "charge_disputed")
    assert sums(payment) == (0, 0, 0)
    arrive(at)
    assert Dispute.objects.get().taken_minor == 3600
    with pytest.raises(refunds.PaymentDisputed):
        ask(payment)


def test_withdrawn_before_a_worker_took_it(at_stripe: Make) -> None:
    at = at_stripe()
    payment = sold(at)
    refund = asked(payment)
    refunds.withdraw(
        business=payment.business, refund_public_id=refund.public_id, now=timezone.now(), actor="staff 1"
    )
    run("submit_refund")
    assert (state(refund), sums(payment), at_stripes(at)) == (RefundState.CANCELLED, (0, 0, 0), [])


def test_percent_and_items_are_exact(at_stripe: Make) -> None:
    at = at_stripe(price_minor=3333)
    payment = sold(at, quantity=3)
    third = asked(payment, Percent(Decimal("33.3")))
    assert third.amount_minor == 3330  # 33.3 % of 99.99, rounded half up
    run("submit_refund")
    line = OrderLine.objects.get()
    by_item = asked(payment, Items({line.id: 2}))
    assert by_item.amount_minor == 6666
    run("submit_refund")
    with pytest.raises(refunds.MoreThanWasSold):
        ask(payment, Items({line.id: 2}))
    with pytest.raises(refunds.ExceedsWhatIsLeft):
        ask(payment, Items({line.id: 1}))  # an amount was given back without naming an item
    assert asked(payment).amount_minor == 3
    run("submit_refund")
    assert sums(payment) == (9999, 9999, 0)


@pytest.mark.parametrize(
    ("share", "refusal"),
    [
        (Part(Money(0, "usd")), refunds.AmountNotPossible),
        (Part(Money(-5, "usd")), refunds.AmountNotPossible),
        (Part(Money(100, "krw")), refunds.AmountNotPossible),
        (Part(Money(3601, "usd")), refunds.ExceedsWhatIsLeft),
        (Percent(Decimal(0)), refunds.AmountNotPossible),
        (Percent(Decimal(101)), refunds.AmountNotPossible),
        (Items({}), refunds.AmountNotPossible),
        (Items({-1: 1}), refunds.MoreThanWasSold),
    ],
)
def test_what_makes_no_sense_is_refused(at_stripe: Make, share: Share, refusal: type[Exception]) -> None:
    at = at_stripe()
    payment = sold(at)
    with pytest.raises(refusal):
        ask(payment, share)
    with pytest.raises(refunds.RefundReasonMissing):
        ask(payment, reason="  ")
    assert (sums(payment), Refund.objects.count()) == ((0, 0, 0), 0)


def test_a_payment_that_has_not_come_in_is_not_refunded(at_stripe: Make) -> None:
    payment = awaiting(at_stripe())
    with pytest.raises(refunds.NotSettled):
        ask(payment)


def test_another_businesss_sale_is_not_found(at_stripe: Make) -> None:
    payment, other = sold(at_stripe()), at_stripe()
    with pytest.raises(PaymentNotFound):
        refunds.request(
            business=other.shop.business, reference=payment.cart_reference, share=Whole(), reason="x",
            form_token="f" * 20, now=timezone.now(), staff=None,
        )  # fmt: skip


def test_cash_is_paid_out_by_hand_and_what_was_free_gives_nothing_back(at_stripe: Make) -> None:
    shop = at_stripe().shop
    order = desk.sell(
        business=shop.business, token=shop.cart().token, method=Method.CASH, form_token="cash-form-token-1",
        expected_total_minor=3600, now=timezone.now(), staff=None,
    )  # fmt: skip
    payment = order.payments.get()
    assert asked(payment, 600).state == RefundState.SUCCEEDED
    assert sums(payment) == (600, 600, 0)
    assert claim(Queue.REFUNDS) == []
    free = desk.sell(
        business=shop.business, token=shop.cart().token, method=Method.COMPLIMENTARY, note="birthday",
        form_token="free-form-token-1", expected_total_minor=3600, now=timezone.now(), staff=None,
    )  # fmt: skip
    with pytest.raises(refunds.NothingToGiveBack):
        ask(free.payments.get())


def test_a_worker_without_its_lease_sends_nothing(at_stripe: Make) -> None:
    at = at_stripe()
    payment = sold(at)
    refund = asked(payment)
    lease = claim_one("submit_refund")
    Job.objects.filter(id=lease.job_id).update(leased_until=timezone.now())
    newer = claim_one("submit_refund")
    relay.run(lease)
    assert (state(refund), at_stripes(at)) == (RefundState.REQUESTED, [])
    relay.run(newer)
    assert state(refund) == RefundState.SUCCEEDED
    hurry()
    assert claim(Queue.REFUNDS) == []


def shown_as(monkeypatch: pytest.MonkeyPatch, **shown: Any) -> None:
    """Let Stripe's answers to new refunds show something else than what was made."""
    real = gateway.create_refund

    def create(*args: Any, **options: Any) -> Any:
        answer = real(*args, **options)
        assert answer.snapshot is not None
        return dataclasses.replace(answer, snapshot=dataclasses.replace(answer.snapshot, **shown))

    monkeypatch.setattr(gateway, "create_refund", create)


@pytest.mark.parametrize("amount", [None, Money(999, "usd")])
def test_an_answer_with_another_amount_is_still_the_answer(
    at_stripe: Make, monkeypatch: pytest.MonkeyPatch, amount: Money | None
) -> None:
    at = at_stripe()
    payment = sold(at)
    shown_as(monkeypatch, amount=amount)
    refund = asked(payment, 1000)
    run("submit_refund")
    assert state(refund) == RefundState.SUCCEEDED
    assert refund.stripe_refund_id is not None
    arrive(at)
    assert (Refund.objects.count(), sums(payment)) == (1, (1000, 1000, 0))
    assert at_stripes(at) == [("succeeded", 1000)]


def test_what_stripe_made_is_looked_for_and_never_asked_for_under_a_new_key(
    at_stripe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = at_stripe()
    payment = sold(at)
    shown_as(monkeypatch, amount=None, refund_public_id=str(uuid.uuid4()))
    refund = asked(payment, 1000)
    run("submit_refund")
    assert (state(refund), refund.stripe_refund_id) == (RefundState.SUBMITTING, None)
    refund_moves.check_again(limit=10, now=timezone.now() + datetime.timedelta(hours=1))
    hurry()
    run("submit_refund")
    assert Attempt.objects.filter(refund=refund).count() == 1
    assert at_stripes(at) == [("succeeded", 1000)]
    run("import_refunds")
    assert (state(refund), sums(payment)) == (RefundState.SUCCEEDED, (1000, 1000, 0))
