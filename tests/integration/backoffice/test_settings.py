"""/settings/: each form by itself, what is written only, and who may."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import DatabaseError, transaction
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from tests.factories import ItemFactory, LocationFactory, ProfileFactory, StaffFactory
from tests.shop import Shop
from web.core.crypto import unseal
from web.core.models import Business, Location, Profile
from web.payments.models import AuditEntry, Job, PaymentSettings, StripeAccount, WebhookSecret
from web.payments.operations import accounts

SignIn = Callable[[Profile], Client]
PUBLISHABLE, SECRET = "pk_test_studio_aaaa1111", "sk_test_studio_bbbb2222"


@pytest.fixture
def owner(business: Business, sign_in: SignIn) -> Client:
    return sign_in(StaffFactory.create(business=business, groups=["settings"]))


def html_of(browser: Client) -> str:
    response = browser.get("/settings/")
    assert response.status_code == 200
    return response.content.decode()


def test_keys_are_stored_checked_and_never_shown(owner: Client, business: Business) -> None:
    response = owner.post("/settings/stripe/", {"publishable_key": PUBLISHABLE, "secret_key": SECRET})
    assert response["Location"] == "/settings/#stripe"
    account = StripeAccount.objects.get(business=business)
    assert account.state == StripeAccount.State.UNVERIFIED
    assert Job.objects.get().name == "verify_account"
    html = html_of(owner)
    assert PUBLISHABLE in html
    assert "secret key ending in …2222 is stored" in html
    assert SECRET not in html
    assert "Being checked" in html


@pytest.mark.parametrize(
    ("publishable", "secret"),
    [
        ("pk_live_aaaa1111", "sk_test_bbbb2222"),
        ("sk_test_bbbb2222", "pk_test_aaaa1111"),
        ("nonsense", "gibberish"),
        (PUBLISHABLE, ""),
    ],
)
def test_keys_that_cannot_be_are_refused_in_place(owner: Client, publishable: str, secret: str) -> None:
    response = owner.post("/settings/stripe/", {"publishable_key": publishable, "secret_key": secret})
    assert response.status_code == 422
    html = response.content.decode()
    assert 'role="alert"' in html
    assert (f'value="{publishable}"' in html) == publishable.startswith("pk_"), "a secret is never sent back"
    assert not secret or f'value="{secret}"' not in html
    assert not StripeAccount.objects.exists()


def test_the_outcome_of_a_check_is_followed(owner: Client, business: Business) -> None:
    account, _job = accounts.enter_keys(
        business=business, publishable_key=PUBLISHABLE, secret_key=SECRET, now=timezone.now()
    )
    assert "hx-get" in owner.get("/settings/stripe/state/").content.decode()
    accounts.settle_verification(
        stripe_account_id=account.id, account_id=None, problem="Invalid API key.", now=timezone.now()
    )
    html = owner.get("/settings/stripe/state/").content.decode()
    assert "Invalid API key." in html
    assert "hx-get" not in html


def test_a_webhook_secret_rolls_over(owner: Client, business: Business) -> None:
    Shop.make(business=business)
    settings = accounts.settings_of(business)
    assert f"/webhooks/stripe/{settings.webhook_token}/" in html_of(owner)
    for secret in ("whsec_firstsecret1", "whsec_secondsecret2"):
        assert owner.post("/settings/webhook/", {"secret": secret}).status_code == 302
    first, second = WebhookSecret.objects.order_by("id")
    assert first.expires_at is not None
    assert first.expires_at - timezone.now() < timedelta(hours=24)
    assert second.expires_at is None
    html = html_of(owner)
    assert "whsec_…ret2" in html
    assert "whsec_secondsecret2" not in html


def test_a_webhook_secret_needs_an_account_and_a_right_form(owner: Client, business: Business) -> None:
    response = owner.post("/settings/webhook/", {"secret": "whsec_firstsecret1"})
    assert response.status_code == 422
    assert "Enter the Stripe keys first" in response.content.decode()
    assert owner.post("/settings/webhook/", {"secret": "sk_test_x"}).status_code == 422


def test_taxes_of_one_location(owner: Client, business: Business) -> None:
    place = LocationFactory.create(business=business)
    prefix = f"place{place.id}"
    body = {
        f"{prefix}-sales_tax_active": "on",
        f"{prefix}-sales_tax_name": "NYC sales tax",
        f"{prefix}-sales_tax_rate": "8.875",
        f"{prefix}-additional_tax_name": "Levy",
        f"{prefix}-additional_tax_rate": "0",
    }
    assert owner.post(f"/settings/taxes/{place.id}/", body).status_code == 302
    place.refresh_from_db()
    assert str(place.sales_tax_rate) == "8.8750"
    response = owner.post(f"/settings/taxes/{place.id}/", {**body, f"{prefix}-sales_tax_rate": "101"})
    assert response.status_code == 422
    assert 'value="101"' in response.content.decode()


def test_another_businesss_location_is_unknown(owner: Client, other_business: Business) -> None:
    theirs = LocationFactory.create(business=other_business)
    assert owner.post(f"/settings/taxes/{theirs.id}/", {}).status_code == 404
    assert not Location.objects.get(id=theirs.id).sales_tax_active


@pytest.mark.parametrize(("typed", "kept"), [("10, 15 ,20%", [10, 15, 20]), ("", []), ("18;18;20", [18, 20])])
def test_tip_presets(owner: Client, business: Business, typed: str, kept: list[int]) -> None:
    assert owner.post("/settings/tips/", {"tip_presets": typed}).status_code == 302
    assert PaymentSettings.objects.get(business=business).tip_presets == kept


@pytest.mark.parametrize("typed", ["0", "101", "ten", "1.5", "1,2,3,4,5,6", "-5"])
def test_tip_presets_that_make_no_sense(owner: Client, typed: str) -> None:
    response = owner.post("/settings/tips/", {"tip_presets": typed})
    assert response.status_code == 422
    assert f'value="{typed}"' in response.content.decode()


def test_policy_and_gateway(owner: Client, business: Business) -> None:
    owner.post("/settings/policy/", {"refund_policy": "14 days.", "refund_popup": "on"})
    owner.post("/settings/gateway/", {"gateway": "none"})
    settings = PaymentSettings.objects.get(business=business)
    assert (settings.refund_policy, settings.refund_popup) == ("14 days.", True)
    assert (settings.gateway, settings.guests_may_pay) == ("none", False)
    assert owner.post("/settings/gateway/", {"gateway": "barter"}).status_code == 422


def test_fees_are_sold_as_items_of_the_business(
    owner: Client, business: Business, other_business: Business
) -> None:
    item, theirs = ItemFactory.create(business=business), ItemFactory.create(business=other_business)
    owner.post("/settings/gateway/", {"gateway": "stripe", "keeps_cards": "on"})
    assert "No-show fee" in owner.get("/settings/").content.decode()
    assert owner.post("/settings/fees/", {"no_show_item_id": theirs.id}).status_code == 422
    owner.post("/settings/fees/", {"no_show_item_id": item.id, "late_cancel_item_id": ""})
    settings = PaymentSettings.objects.get(business=business)
    assert (settings.no_show_item, settings.late_cancel_item) == (item, None)
    assert AuditEntry.objects.filter(changes__no_show_item_id=[None, item.id]).count() == 1


@pytest.mark.parametrize("path", ["/settings/", "/settings/stripe/state/", "/purchases/"])
def test_who_may(path: str, client: Client, business: Business, sign_in: SignIn) -> None:
    assert client.get(path).status_code == 302
    assert sign_in(ProfileFactory.create(business=business)).get(path).status_code == 403
    assert sign_in(StaffFactory.create(business=business, groups=["store"])).get(path).status_code == 403


def test_other_peoples_account_cannot_be_checked(owner: Client, other_business: Business) -> None:
    theirs = Shop.make(business=other_business).account
    assert owner.post("/settings/stripe/check/", {"account": theirs.id}).status_code == 404
    assert owner.post("/settings/stripe/check/", {"account": "x"}).status_code == 404
    assert not Job.objects.exists()


def test_who_changed_what_is_written_down_and_never_a_secret(owner: Client, business: Business) -> None:
    owner.post("/settings/stripe/", {"publishable_key": PUBLISHABLE, "secret_key": SECRET})
    owner.post("/settings/webhook/", {"secret": "whsec_firstsecret1"})
    owner.post("/settings/policy/", {"refund_policy": "14 days."})
    owner.post("/settings/policy/", {"refund_policy": "14 days."})  # nothing changed: nothing is written down
    owner.post("/settings/tips/", {"tip_presets": "10"})
    actions = list(
        AuditEntry.objects.filter(business=business).order_by("id").values_list("action", "changes")
    )
    assert [action for action, _changes in actions] == [
        "keys.entered",
        "webhook.secret_added",
        "settings.changed",
        "settings.changed",
    ]
    assert actions[2][1] == {"refund_policy": ["", "14 days."]}
    assert actions[3][1] == {"tip_presets": [[15, 20, 25, 30], [10]]}
    written = str(actions)
    assert SECRET not in written
    assert "firstsecret" not in written
    assert "14 days." in html_of(owner).split('id="history"')[1]
    for change in (
        lambda: AuditEntry.objects.update(actor="nobody"),
        lambda: AuditEntry.objects.all().delete(),
    ):
        with pytest.raises(DatabaseError, match="this record is kept"), transaction.atomic():
            change()


def test_charging_and_receipt_texts(owner: Client, business: Business) -> None:
    body = {"capture_mode": "manual", "statement_descriptor_suffix": "YOGA 24", "abandoned_after_hours": "2"}
    assert owner.post("/settings/charging/", body).status_code == 302
    texts = {
        "receipt_header": "Welcome",
        "receipt_footer": "See you",
        "receipt_legal": "Registered in Albany",
    }
    assert owner.post("/settings/receipts/", texts).status_code == 302
    settings = PaymentSettings.objects.get(business=business)
    assert (settings.capture_mode, settings.statement_descriptor_suffix) == ("manual", "YOGA 24")
    assert (settings.abandoned_after_hours, settings.receipt_legal) == (2, "Registered in Albany")
    for wrong in (
        {"statement_descriptor_suffix": "요가"},
        {"statement_descriptor_suffix": "A*B"},
        {"statement_descriptor_suffix": "12"},
        {"abandoned_after_hours": "0"},
        {"abandoned_after_hours": "169"},
        {"capture_mode": "never"},
    ):
        assert owner.post("/settings/charging/", {**body, **wrong}).status_code == 422, wrong
    settings.refresh_from_db()
    assert settings.statement_descriptor_suffix == "YOGA 24"


def test_limits_of_the_account_at_stripe(owner: Client, business: Business, other_business: Business) -> None:
    account = Shop.make(business=business).account
    address = f"/settings/stripe/{account.id}/limits/"
    body = {"calls_per_second": "200", "calls_per_second_and_endpoint": "50"}
    assert address in owner.get("/settings/").content.decode()
    for _ in range(2):  # the same click twice
        assert owner.post(address, body).status_code == 302
    account.refresh_from_db()
    assert (account.calls_per_second, account.calls_per_second_and_endpoint) == (200, 50)
    entry = AuditEntry.objects.get(business=business, action="limits.changed")
    assert entry.changes["calls_per_second"] == [None, 200]
    for name, wrong in (
        ("calls_per_second", "0"),
        ("calls_per_second", "1001"),
        ("calls_per_second_and_endpoint", "201"),
    ):
        assert owner.post(address, {**body, name: wrong}).status_code == 422, wrong
    assert owner.post(address, {}).status_code == 302
    account.refresh_from_db()
    assert (account.calls_per_second, account.calls_per_second_and_endpoint) == (None, None)
    theirs = Shop.make(business=other_business).account
    assert owner.post(f"/settings/stripe/{theirs.id}/limits/", body).status_code == 404


def test_what_customers_may_do(owner: Client, business: Business) -> None:
    owner.post("/settings/gateway/", {"gateway": "stripe", "keeps_cards": "on", "pays_on_arrival": "on"})
    settings = PaymentSettings.objects.get(business=business)
    assert (settings.keeps_cards, settings.pays_on_arrival, settings.guests_may_pay) == (True, True, False)


def test_keys_are_rotated_in_batches_and_twice(business: Business, settings: Settings) -> None:
    shop = Shop.make(business=business)
    accounts.add_webhook_secret(business=business, secret="whsec_firstsecret1", now=timezone.now())
    before = shop.account.secret_key_sealed
    old, new = settings.FIELD_ENCRYPTION_KEYS[0], Fernet.generate_key().decode()
    settings.FIELD_ENCRYPTION_KEYS = [new, old]
    first, second = StringIO(), StringIO()
    call_command("rotate_keys", stdout=first)
    assert "payments_stripeaccount.secret_key_sealed: 1 sealed again, 0 were, 0 cannot" in first.getvalue()
    call_command("rotate_keys", stdout=second)
    assert "payments_stripeaccount.secret_key_sealed: 0 sealed again, 1 were, 0 cannot" in second.getvalue()
    settings.FIELD_ENCRYPTION_KEYS = [new]
    shop.account.refresh_from_db()
    assert shop.account.secret_key_sealed != before
    assert unseal(shop.account.secret_key_sealed).startswith("sk_test_")
    assert unseal(WebhookSecret.objects.get().secret_sealed) == "whsec_firstsecret1"
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(CommandError, match="does not hold"):
        call_command("rotate_keys", stdout=StringIO())
    settings.FIELD_ENCRYPTION_KEYS = [new]
    shop.account.refresh_from_db()
    assert unseal(shop.account.secret_key_sealed).startswith("sk_test_"), (
        "what cannot be opened stays as it was"
    )


@pytest.mark.parametrize("path", ["/settings/charging/", "/settings/receipts/", "/settings/erase/"])
def test_only_owners_change(path: str, client: Client, business: Business, sign_in: SignIn) -> None:
    assert client.post(path).status_code == 302
    assert sign_in(StaffFactory.create(business=business, groups=["purchases"])).post(path).status_code == 403
