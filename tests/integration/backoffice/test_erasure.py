"""Erasing a person: afterwards no table holds a word of them; orders and amounts stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from tests.factories import ProfileFactory, StaffFactory
from tests.shop import Shop, given_back
from web.core.models import Business, Profile
from web.payments.models import (
    AuditEntry,
    BulkRefund,
    Cart,
    Drift,
    InboxEvent,
    Method,
    Order,
    Payment,
    ProfilePaymentData,
)
from web.payments.operations import carts, desk, erasure, receipts

SignIn = Callable[[Profile], Client]
NAME, EMAIL, PHONE, ADDRESS = "Zebulon O'Quigley", "zebulon@quigley.example", "+1 555 0199", "9 Nowhere Lane"
STRINGS = (NAME, "O&#x27;Quigley", "zebulon", "quigley", PHONE, ADDRESS)


def sold(shop: Shop, customer: Profile | None) -> Order:
    cart = shop.cart()
    if customer is not None:
        carts.set_buyer(business=shop.business, token=cart.token, customer=customer)
    else:
        carts.set_buyer(business=shop.business, token=cart.token, name=NAME, email=EMAIL.upper())
    return desk.sell(
        business=shop.business,
        token=cart.token,
        method=Method.COMPLIMENTARY,
        form_token=f"form-of-{Payment.objects.count()}-sale",
        expected_total_minor=3600,
        now=timezone.now(),
        staff=None,
        note=f"For {NAME}",
    )


@pytest.fixture
def person(business: Business) -> Profile:
    """Somebody who has left traces wherever one can."""
    shop = Shop.make(business=business)
    profile: Profile = ProfileFactory.create(
        business=business, name=NAME, email=EMAIL, phone=PHONE, address=ADDRESS
    )
    profile.user.first_name = "Zebulon"
    profile.user.save()
    ProfilePaymentData.objects.create(profile=profile, account=shop.account, stripe_customer_id="cus_1")
    now = timezone.now()
    for customer in (profile, None):
        order = sold(shop, customer)
        payment = order.payments.get()
        Payment.objects.filter(id=payment.id).update(charge_id=f"ch_{payment.id}", account=shop.account)
        receipt = receipts.render(order_id=order.id, now=now)
        receipt.html += f"<p>{NAME.replace(chr(39), '&#x27;')} {PHONE}</p>"
        receipt.save()
        refund = given_back(payment, 100, reason=f"{NAME} was ill")
        receipts.render_refund(refund_id=refund.id, now=now)
        receipts.ask_again(
            order=order, email=EMAIL, form_token=f"again-{order.id}-form", actor="staff 1", now=now
        )
        details = {"email": EMAIL, "name": NAME, "phone": PHONE, "address": {"line1": ADDRESS}}
        InboxEvent.objects.create(
            account=shop.account, event_id=f"evt_{order.id}", event_type="charge.succeeded",
            object_id=f"ch_{payment.id}", occurred_at=now, received_at=now, due_at=now, state="applied",
            payload={"data": {"object": {"id": f"ch_{payment.id}", "amount": 3600, "billing_details": details}}},
        )  # fmt: skip
    Order.objects.update(discount_reason=f"{NAME} waited long")
    BulkRefund.objects.create(
        business=business, item=shop.item, item_name="x", reason=f"{NAME} was ill", form_token="x" * 20, created_at=now
    )  # fmt: skip
    Drift.objects.create(
        account=shop.account, business=business, kind=Drift.Kind.AMOUNT, object_id="pi_x", ours="", theirs="",
        currency="usd", at_risk_minor=1, found_at=now, checked_at=now, note=f"Asked {EMAIL}: rounding",
    )  # fmt: skip
    InboxEvent.objects.create(
        account=shop.account, event_id="evt_other", event_type="customer.updated", object_id="cus_1", due_at=now,
        occurred_at=now, received_at=now, state="ignored", payload={"data": {"object": {"description": EMAIL}}},
    )  # fmt: skip
    cart = shop.cart()
    carts.set_buyer(business=business, token=cart.token, customer=profile)
    return profile


def traces() -> list[str]:
    """Return the tables and columns of the whole database in which a word of the person is."""
    found = []
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT table_name, column_name FROM information_schema.columns
            WHERE table_schema = 'public' AND (data_type IN ('text', 'character varying', 'jsonb', 'json'))
            """
        )
        for table, column in cursor.fetchall():
            for text in STRINGS:
                cursor.execute(
                    f'SELECT count(*) FROM "{table}" WHERE position(lower(%s) in lower("{column}"::text)) > 0',
                    [text],
                )
                if cursor.fetchone() != (0,):
                    found.append(f"{table}.{column}: {text}")
    return found


def test_nothing_of_the_person_is_left_and_every_order_is(person: Profile, business: Business) -> None:
    assert len(traces()) > 10, "the test leaves traces to be found"
    amounts = list(Order.objects.order_by("id").values_list("number", "total_minor"))
    touched = erasure.erase(business=business, email=EMAIL, actor="staff 1", now=timezone.now())
    assert traces() == []
    assert list(Order.objects.order_by("id").values_list("number", "total_minor")) == amounts
    assert (touched["orders"], touched["profiles"], touched["events"]) == (2, 1, 3)
    assert not Cart.objects.exists()
    person.refresh_from_db()
    person.user.refresh_from_db()
    assert not person.user.is_active
    assert (
        InboxEvent.objects.get(event_id=f"evt_{Order.objects.order_by('id')[0].id}").payload["data"][
            "object"
        ]["amount"]
        == 3600
    )
    assert BulkRefund.objects.get().reason == "[erased] was ill", "why money moved stays"
    assert Drift.objects.get().note == "Asked [erased]: rounding"
    entry = AuditEntry.objects.filter(action="person.erased").get()
    assert entry.subject == f"customer {person.id}"
    with pytest.raises(erasure.NobodyFound):
        erasure.erase(business=business, email=EMAIL, actor="staff 1", now=timezone.now())


def test_another_business_keeps_its_own_customer(
    person: Profile, business: Business, other_business: Business
) -> None:
    theirs = ProfileFactory.create(business=other_business, name=NAME, email=EMAIL)
    order = sold(Shop.make(business=other_business), theirs)
    erasure.erase(business=business, email=EMAIL, actor="staff 1", now=timezone.now())
    theirs.refresh_from_db()
    order.refresh_from_db()
    assert (theirs.email, order.customer_name) == (EMAIL, NAME)


def test_not_while_they_pay(person: Profile, business: Business) -> None:
    shop = Shop(business, business.locations.get(), business.items.get(), business.stripe_accounts.get())
    cart = Cart.objects.get(customer=person)
    payment = shop.request(cart)
    with pytest.raises(erasure.SaleUnderWay):
        erasure.erase(business=business, email=EMAIL, actor="staff 1", now=timezone.now())
    person.refresh_from_db()
    assert (person.email, payment.customer) == (EMAIL, person)


def test_the_page_and_the_command(person: Profile, business: Business, sign_in: SignIn, capsys: Any) -> None:
    owner = sign_in(StaffFactory.create(business=business, groups=["settings"]))
    typed = {"email": EMAIL, "confirmed": "other@example.com"}
    assert owner.post("/settings/erase/", typed).status_code == 422
    assert (
        owner.post(
            "/settings/erase/", {**typed, "email": "nobody@x.example", "confirmed": "nobody@x.example"}
        ).status_code
        == 422
    )
    assert traces()
    assert owner.post("/settings/erase/", {**typed, "confirmed": EMAIL}).status_code == 302
    assert "from 2 orders too" in owner.get("/settings/").content.decode()
    again = ProfileFactory.create(business=business, name=NAME, email=EMAIL)
    call_command("erase_person", business.business_id, EMAIL)
    assert "1 profiles" in capsys.readouterr().out
    again.refresh_from_db()
    assert again.email.endswith("@erased.invalid")
