"""Receipts by mail: in the customer's language, once, again when asked, and for refunds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from tasks import receipts as tasks
from tests.factories import ProfileFactory, StaffFactory
from tests.shop import Shop, claim_one, given_back, waiting
from web.core.models import Business, Profile
from web.payments.models import AuditEntry, Job, Method, Order, PaymentEvent, PaymentSettings, ReceiptResend
from web.payments.operations import desk, receipts

SignIn = Callable[[Profile], Client]


@pytest.fixture
def staff(business: Business, sign_in: SignIn) -> Client:
    return sign_in(StaffFactory.create(business=business, groups=["purchases"]))


@pytest.fixture
def order(business: Business) -> Order:
    shop = Shop.make(business=business)
    made = desk.sell(
        business=business,
        token=shop.cart().token,
        method=Method.CASH,
        form_token="form-of-the-one-sale",
        expected_total_minor=3600,
        now=timezone.now(),
        staff=None,
    )
    Job.objects.all().delete()
    return made


def again(staff: Client, order: Order, **typed: str) -> int:
    return staff.post(f"/purchases/{order.number}/receipt/", typed).status_code


def test_a_receipt_carries_the_businesss_own_words(order: Order, business: Business) -> None:
    PaymentSettings.objects.update(
        receipt_header="Hello!", receipt_footer="See <you>", receipt_legal="VAT free"
    )
    Business.objects.update(legal_name="Sunrise LLC", tax_number="12-345", button_color="#112233")
    receipt = receipts.render(order_id=order.id, now=timezone.now())
    for shown in (
        "Hello!",
        "See &lt;you&gt;",
        "VAT free",
        "Sunrise LLC",
        "12-345",
        "$36.00",
        "#112233",
        order.token,
    ):
        assert shown in receipt.html, shown
    for shown in ("Hello!", "See <you>", "VAT free", "$36.00", order.token):
        assert shown in receipt.text, shown


def test_sent_again_once_however_often_it_is_clicked(staff: Client, order: Order) -> None:
    assert again(staff, order, form_token="one-form-of-a-page") == 302
    assert again(staff, order, form_token="one-form-of-a-page") == 302
    assert waiting("resend_receipt") == 1
    lease = claim_one("resend_receipt")
    tasks.resend_receipt(lease=lease, **lease.arguments)
    tasks.resend_receipt(lease=lease, **lease.arguments)
    (sent,) = mail.outbox
    assert sent.to == ["ada@example.com"]
    assert sent.from_email.startswith("Sunrise Yoga <")
    assert AuditEntry.objects.get().action == "receipt.resent"
    assert PaymentEvent.objects.filter(kind="receipt.sent").count() == 1


def test_to_another_address_and_not_too_often(staff: Client, order: Order) -> None:
    assert again(staff, order, email="new@example.com", form_token="a" * 20) == 302
    assert ReceiptResend.objects.get().sent_to == "new@example.com"
    for number in range(4):
        again(staff, order, form_token=f"form-number-{number}-of-many")
    assert ReceiptResend.objects.count() == receipts.MOST_AN_HOUR
    html = staff.get(f"/purchases/{order.number}/").content.decode()
    assert "sent several times already" in html
    again(staff, order, email="not an address", form_token="b" * 20)
    assert "There is no e-mail address" in staff.get(f"/purchases/{order.number}/").content.decode()


def test_a_refund_has_a_receipt_of_its_own(order: Order) -> None:
    Order.objects.update(language="ko")
    refund = given_back(order.payments.get(), 1000)
    lease_of_nothing = Job.objects.count()
    assert lease_of_nothing == 0
    for _ in range(2):
        kept = receipts.render_refund(refund_id=refund.id, now=timezone.now())
    assert kept is not None
    assert "$10.00" in kept.html
    assert order.number in kept.subject
    assert "환불" in kept.subject, "in the language of the customer"
    receipts.queue_refund_receipt(refund, now=timezone.now())
    lease = claim_one("send_refund_receipt")
    tasks.send_refund_receipt(lease=lease, **lease.arguments)
    tasks.send_refund_receipt(lease=lease, **lease.arguments)
    assert len(mail.outbox) == 1


def test_another_businesss_order_and_who_may(
    order: Order, client: Client, business: Business, other_business: Business, sign_in: SignIn
) -> None:
    path = f"/purchases/{order.number}/receipt/"
    assert client.post(path).status_code == 302
    assert sign_in(ProfileFactory.create(business=business)).post(path).status_code == 403
    assert sign_in(StaffFactory.create(business=business, groups=["schedule"])).post(path).status_code == 403
    other = sign_in(StaffFactory.create(business=other_business, groups=["purchases"]))
    assert other.post(path).status_code == 404
    assert not ReceiptResend.objects.exists()
