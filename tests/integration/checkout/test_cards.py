"""The pages of saved cards: where they are offered, to their owner, and to staff who look."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from django.test import Client
from django.utils import timezone

from tests.factories import ProfileFactory, StaffFactory
from tests.shop import Shop, waiting
from web.core.crypto import seal
from web.core.models import Business, Profile
from web.payments.models import Card, CardSetup, Payment, PaymentSettings

pytestmark = pytest.mark.django_db
SignIn = Callable[..., Client]


@pytest.fixture
def shop(business: Business) -> Shop:
    shop = Shop.make(business=business)
    PaymentSettings.objects.filter(business=shop.business).update(keeps_cards=True)
    return shop


@pytest.fixture
def owner(shop: Shop) -> Profile:
    return ProfileFactory.create(business=shop.business)


def setup_of(owner: Profile, **changes: object) -> CardSetup:
    now = timezone.now()
    account = owner.business.stripe_accounts.get()
    given = {
        "state": "awaiting",
        "setup_intent_id": f"seti_{uuid.uuid4().hex}",
        "consent": "I agree",
        **changes,
    }
    return CardSetup.objects.create(
        business=owner.business, account=account, profile=owner, form_token=uuid.uuid4().hex,
        state_changed_at=now, consented_at=now, created_at=now, **given,
    )  # fmt: skip


def card_of(owner: Profile, *, last4: str = "4242", is_default: bool = True) -> Card:
    setup = setup_of(owner, state="succeeded")
    return Card.objects.create(
        business=owner.business, account=setup.account, profile=owner, setup=setup, stripe_customer_id="cus_1",
        payment_method_id=f"pm_{last4}", brand="visa", last4=last4, expires_year=2031, expires_month=4,
        is_default=is_default, created_at=timezone.now(),
    )  # fmt: skip


def test_the_list_and_its_actions(owner: Profile, sign_in: SignIn) -> None:
    first, second = card_of(owner), card_of(owner, last4="1111", is_default=False)
    browser = sign_in(owner)
    page = browser.get("/list-payment-cards/").content.decode()
    assert "4242" in page
    assert "1111" in page
    assert "04/2031" in page
    for _twice in range(2):
        assert browser.post(f"/list-payment-cards/{second.public_id}/default/").status_code == 302
        assert Card.objects.get(is_default=True) == second
    for _twice in range(2):
        assert browser.post(f"/list-payment-cards/{second.public_id}/remove/").status_code == 302
    assert waiting("detach_card") == 1
    assert Card.objects.get(is_default=True) == first
    assert "1111" not in browser.get("/list-payment-cards/").content.decode()


def test_what_is_not_theirs_does_not_exist(
    owner: Profile, shop: Shop, other_business: Business, sign_in: SignIn
) -> None:
    card, setup = card_of(owner), setup_of(owner)
    stranger = sign_in(ProfileFactory.create(business=shop.business))
    assert stranger.post(f"/list-payment-cards/{card.public_id}/remove/").status_code == 404
    assert stranger.get(f"/add_card_details/{setup.public_id}/").status_code == 404
    assert stranger.get(f"/add_card_details/?setup={setup.public_id}").status_code == 404
    assert stranger.get(f"/list-payment-cards/?customer={owner.id}").status_code == 404
    elsewhere = Shop.make(business=other_business)
    foreign_staff = sign_in(StaffFactory.create(business=elsewhere.business, groups=["store"]))
    PaymentSettings.objects.filter(business=elsewhere.business).update(keeps_cards=True)
    assert foreign_staff.get(f"/list-payment-cards/?customer={owner.id}").status_code == 404


def test_staff_see_a_customers_cards_and_cannot_change_them(
    owner: Profile, shop: Shop, sign_in: SignIn
) -> None:
    card_of(owner)
    staff = sign_in(StaffFactory.create(business=shop.business, groups=["store"]))
    page = staff.get(f"/list-payment-cards/?customer={owner.id}")
    assert "4242" in page.content.decode()
    assert "/remove/" not in page.content.decode()
    without_right = sign_in(StaffFactory.create(business=shop.business, groups=["schedule"]))
    assert without_right.get(f"/list-payment-cards/?customer={owner.id}").status_code == 404


def test_adding_asks_for_consent_and_the_same_form_once(owner: Profile, sign_in: SignIn) -> None:
    browser = sign_in(owner)
    refused = browser.post("/add_card_details/begin/", {"form_token": "f" * 20})
    assert refused.status_code == 422
    assert CardSetup.objects.count() == 0
    form = {"form_token": "f" * 20, "consent": "on"}
    first, second = (browser.post("/add_card_details/begin/", form) for _twice in range(2))
    assert first.headers["Location"] == second.headers["Location"]
    setup = CardSetup.objects.get()
    assert "keep this card" in setup.consent
    assert waiting("create_card_setup") == 1


def test_the_client_secret_is_its_owners_alone(owner: Profile, sign_in: SignIn) -> None:
    setup = setup_of(owner, client_secret_sealed=seal("seti_1_secret_2"))
    browser = sign_in(owner)
    answer = browser.get(f"/add_card_details/{setup.public_id}/")
    assert answer.json()["client_secret"] == "seti_1_secret_2"
    assert answer.headers["Cache-Control"] == "no-store"
    page = browser.get(f"/add_card_details/?setup={setup.public_id}")
    assert "seti_1_secret_2" not in page.content.decode()
    assert browser.post(f"/add_card_details/{setup.public_id}/check/").status_code == 200
    assert waiting("read_card_setup") == 1


def test_a_business_that_keeps_no_cards_has_no_such_page(owner: Profile, shop: Shop, sign_in: SignIn) -> None:
    PaymentSettings.objects.filter(business=shop.business).update(keeps_cards=False)
    browser = sign_in(owner)
    for address in ("/list-payment-cards/", "/add_card_details/"):
        assert browser.get(address).status_code == 404
    assert browser.post("/add_card_details/begin/", {"consent": "on"}).status_code == 404


def test_signed_out_people_sign_in_first(client: Client) -> None:
    assert client.get("/list-payment-cards/").status_code == 302
    assert client.get("/add_card_details/").status_code == 302


def test_staff_charge_a_fee_once_per_form(owner: Profile, shop: Shop, sign_in: SignIn) -> None:
    card = card_of(owner)
    PaymentSettings.objects.filter(business=shop.business).update(no_show_item=shop.item)
    staff = sign_in(StaffFactory.create(business=shop.business, groups=["store"]))
    address = f"/list-payment-cards/{owner.id}/fee/"
    form = {"customer": owner.id, "fee": "no_show", "card": str(card.public_id), "note": "Flow, Monday",
            "form_token": "f" * 20}  # fmt: skip
    assert "Charge a fee" in staff.get(f"/list-payment-cards/?customer={owner.id}").content.decode()
    assert staff.post(address, {**form, "note": ""}).status_code == 422
    for _twice in range(2):
        assert staff.post(address, form).status_code == 302
    payment = Payment.objects.get()
    assert (payment.amount_minor, payment.method, waiting("charge_card")) == (3600, "saved_card", 1)
    page = staff.get(f"/list-payment-cards/?customer={owner.id}").content.decode()
    assert "Flow, Monday" in page
    own = sign_in(owner)
    assert own.post(address, {**form, "form_token": "g" * 20}).status_code == 403
    stranger = ProfileFactory.create(business=shop.business)
    strange = staff.post(f"/list-payment-cards/{stranger.id}/fee/", {**form, "form_token": "h" * 20})
    assert strange.status_code == 404
    assert Payment.objects.count() == 1
