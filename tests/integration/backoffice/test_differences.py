"""/reconciliation/differences/: what differs, what a person found out about it, and what comes of accepting it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.utils import timezone

from tests.factories import StaffFactory
from tests.giving_back import paid_by_card
from tests.shop import Shop
from web.core.models import Business, Profile
from web.payments.models import AuditEntry, Drift
from web.payments.money import Money
from web.payments.operations import drift
from web.payments.operations.drift import IntentRecord

PAGE = "/reconciliation/differences/"


@pytest.fixture
def manager(business: Business, sign_in: Callable[[Profile], Client]) -> Client:
    return sign_in(StaffFactory.create(business=business, groups=["purchases", "refunds"]))


def compare(shop: Shop, intent_id: str, received: int) -> None:
    """Let a pass over the account's books see so much received."""
    now = timezone.now()
    record = IntentRecord(intent_id, Money(received, "usd"), Money.zero("usd"), now)
    drift.judge_intent(account=shop.account, intent_id=intent_id, record=record, now=now)


def test_looked_into_accepted_changed_and_resolved(manager: Client, business: Business) -> None:
    shop = Shop.make(business=business)
    assert "The books agree" in manager.get(PAGE).content.decode()
    payment = paid_by_card(shop)
    assert payment.intent_id is not None
    assert payment.order is not None
    compare(shop, payment.intent_id, 3000)
    difference = Drift.objects.get()
    page = manager.get(PAGE).content.decode()
    for shown in ("$6.00", payment.order.number, payment.intent_id, "Another amount at Stripe"):
        assert shown in page
    address = f"{PAGE}{difference.id}/"
    answer = manager.post(address, {"note": " ", "step": "accept"}, follow=True)
    assert "Say why this difference may stay." in answer.content.decode()
    for _ in range(2):  # the same click twice
        answer = manager.post(address, {"note": "Stripe\u2019s rounding", "step": "accept"}, follow=True)
    page = answer.content.decode()
    assert "The books agree" in page, "nothing is open"
    assert "Stripe\u2019s rounding" in page
    (line,) = AuditEntry.objects.filter(business=business, action="drift.noted")
    assert line.changes == {"kind": "amount", "accepted": True}, "never the words"
    compare(shop, payment.intent_id, 3000)
    difference.refresh_from_db()
    assert difference.accepted_at is not None, "the same difference stays accepted"
    compare(shop, payment.intent_id, 1000)
    assert Drift.objects.filter(accepted_at=None, at_risk_minor=2600).exists(), "another one is open again"
    compare(shop, payment.intent_id, 3600)
    assert "Resolved lately" in manager.get(PAGE).content.decode()
    answer = manager.post(address, {"note": "late", "step": "note"}, follow=True)
    assert "The books agree here again." in answer.content.decode()
