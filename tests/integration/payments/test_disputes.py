"""Disputes follow what Stripe says, in whatever order it is heard, and stop refunds as long as the money is gone."""

from __future__ import annotations

import datetime
from dataclasses import replace
from itertools import permutations

import pytest
from django.utils import timezone

from tests.giving_back import ask, paid_by_card, tell
from tests.shop import Shop
from web.payments.models import Dispute, Payment, PaymentEvent, Refund
from web.payments.money import Money
from web.payments.operations import disputes, refunds
from web.payments.queries import purchases
from web.payments.snapshots import DisputeSnapshot
from web.payments.states import RefundState

pytestmark = pytest.mark.django_db
NOW = timezone.now().replace(microsecond=0)
DUE = NOW + datetime.timedelta(days=7)


@pytest.fixture
def payment() -> Payment:
    return paid_by_card(Shop.make())


def said(payment: Payment, status: str, *, seconds: int = 0, entries: int = 0, gone: bool = False, refundable: bool = False) -> DisputeSnapshot:  # fmt: skip  # noqa: E501
    return DisputeSnapshot(
        stripe_dispute_id="dp_1", intent_id=payment.intent_id or "", charge_id=payment.charge_id or "",
        amount=Money(3600, "usd"), status=status, reason="fraudulent", is_refundable=refundable,
        occurred_at=NOW + datetime.timedelta(seconds=seconds), opened_at=NOW, evidence_due_at=DUE,
        is_money_gone=gone, entries=entries, fee_minor=1500 * (entries > 0), fee_currency="usd" if entries else "",
    )  # fmt: skip


def settle(payment: Payment, snapshot: DisputeSnapshot) -> Payment | None:
    assert payment.account_id is not None
    return disputes.settle(account_id=payment.account_id, snapshot=snapshot, now=timezone.now())


def net(payment: Payment) -> Money:
    order = payment.order
    assert order is not None
    reference = payment.cart_reference
    return purchases.money_of(
        order,
        purchases.refunds_of(payment.business, reference),
        purchases.disputes_of(payment.business, reference),
    ).net


def test_a_won_dispute_in_any_order_of_its_events(payment: Payment) -> None:
    told = [
        said(payment, "needs_response"),
        said(payment, "needs_response", entries=1, gone=True),
        said(payment, "under_review", seconds=5, entries=1, gone=True),
        said(payment, "won", seconds=9, entries=1, gone=True, refundable=True),
        said(payment, "won", seconds=9, entries=2, refundable=True),
    ]
    for number, order in enumerate(list(permutations(told))[::13]):
        for snapshot in order:
            settle(payment, replace(snapshot, stripe_dispute_id=f"dp_{number}"))
        dispute = Dispute.objects.get(stripe_dispute_id=f"dp_{number}")
        assert (dispute.status, dispute.taken_minor, dispute.is_open) == ("won", 0, False), order
    assert net(payment) == Money(3600, "usd")
    ask(payment)  # a won one stops nothing


@pytest.mark.parametrize("status", ["needs_response", "under_review", "lost", "some_new_word"])
def test_while_it_is_open_or_lost_nothing_is_refunded(payment: Payment, status: str) -> None:
    settle(payment, said(payment, status, entries=1, gone=True))
    assert net(payment) == Money(0, "usd")
    with pytest.raises(refunds.PaymentDisputed) as refusal:
        ask(payment)
    assert refusal.value.dispute.evidence_due_at == DUE
    attention = purchases.attention(payment.business, now=timezone.now())
    assert bool(attention.disputes) == (status != "lost")
    assert not Refund.objects.exists()


def test_a_mere_inquiry_may_be_refunded(payment: Payment) -> None:
    settle(payment, said(payment, "warning_needs_response", refundable=True))
    (refund,) = ask(payment).refunds
    tell(payment, RefundState.SUCCEEDED, refund=str(refund.public_id))
    settle(payment, said(payment, "warning_closed", seconds=3, refundable=True))
    assert not Dispute.objects.get().is_open
    assert net(payment) == Money(0, "usd")


def test_it_is_told_in_the_history_once_for_each_change(payment: Payment) -> None:
    for _ in range(2):
        settle(payment, said(payment, "needs_response"))
        settle(payment, said(payment, "lost", seconds=9, entries=1, gone=True))
    kinds = PaymentEvent.objects.filter(kind__startswith="dispute.").values_list("kind", "data__status")
    assert list(kinds) == [("dispute.opened", "needs_response"), ("dispute.changed", "lost")]


def test_somebody_elses_charge_is_not_ours(payment: Payment) -> None:
    stranger = replace(said(payment, "needs_response"), intent_id="pi_theirs", charge_id="ch_theirs")
    assert settle(payment, stranger) is None
    assert not Dispute.objects.exists()
