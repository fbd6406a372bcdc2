"""Keys of a business: checked at Stripe, put to use, rotated within an account, replaced by another's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from celery import current_app
from django.utils import timezone
from django_celery_results.models import TaskResult

from tasks import relay
from tests.integration.conftest import AtStripe
from tests.shop import claim_one
from web.core.crypto import unseal
from web.payments.models import StripeAccount, WebhookSecret
from web.payments.operations import accounts, intents
from web.payments.operations.accounts import BadKey, BadWebhookSecret, NoAccount
from workers.app import app

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., AtStripe]


@pytest.fixture(autouse=True)
def _workers_app() -> None:
    app.set_current()
    assert current_app.conf.result_backend == "django-db"


def enter(at: AtStripe, slug: str, ending: str = "two") -> StripeAccount:
    """Enter keys of an account, let a worker check them, and return the row that they were entered on."""
    row, _job = accounts.enter_keys(
        business=at.shop.business,
        publishable_key=f"pk_test_{slug}_{ending}",
        secret_key=f"sk_test_{slug}_{ending}",
        now=timezone.now(),
    )
    relay.run(claim_one("verify_account"))
    row.refresh_from_db()
    return row


def test_new_keys_of_the_same_account_go_onto_its_row(at_stripe: Make) -> None:
    at = at_stripe()
    entered = enter(at, at.slug)
    at.shop.account.refresh_from_db()
    assert (entered.state, at.shop.account.state) == ("retired", "active")
    assert unseal(at.shop.account.secret_key_sealed) == f"sk_test_{at.slug}_two"


def test_keys_of_another_account_make_a_new_row_and_old_payments_keep_theirs(at_stripe: Make) -> None:
    at = at_stripe()
    payment = at.shop.request(at.shop.cart())
    creation = claim_one("create_intent")
    entered = enter(at, f"{at.slug}other")
    at.shop.account.refresh_from_db()
    assert (entered.state, at.shop.account.state) == ("active", "retired")
    assert entered.account_id == f"acct_{at.slug}other"
    relay.run(creation)
    payment.refresh_from_db()
    assert payment.account == at.shop.account
    assert [intent["id"] for intent in at.intents()] == [payment.intent_id]
    assert at.shop.request(at.shop.cart()).account == entered


def test_refused_keys_change_nothing_and_say_so(at_stripe: Make) -> None:
    at = at_stripe()
    at.sandbox.control("POST", "keys/revoke", key="sk_test_revoked_two")
    entered = enter(at, "revoked")
    at.shop.account.refresh_from_db()
    assert (entered.state, at.shop.account.state) == ("refused", "active")
    assert entered.problem
    at.shop.request(at.shop.cart())  # sales go on with the old keys


def test_the_result_is_kept_for_who_follows_and_holds_no_key(at_stripe: Make) -> None:
    at = at_stripe()
    entered, job_id = accounts.enter_keys(
        business=at.shop.business,
        publishable_key=f"pk_test_{at.slug}_two",
        secret_key=f"sk_test_{at.slug}_two",
        now=timezone.now(),
    )
    relay.run(claim_one("verify_account"))
    result = TaskResult.objects.get(task_id=str(job_id))
    assert result.status == "SUCCESS"
    assert f"acct_{at.slug}" in result.result
    assert "sk_test" not in str(TaskResult.objects.values_list())
    assert entered.id != at.shop.account.id


@pytest.mark.parametrize(
    ("publishable", "secret"),
    [
        ("", ""),
        ("sk_test_abcd", "pk_test_abcd"),
        ("pk_test_abcd", "sk_live_abcd"),
        ("pk_test_ab cd", "sk_test_abcd"),
        ("pk_test_abcd", "sk_test_" + "a" * 300),
    ],
)
def test_what_is_no_pair_of_keys_is_refused_and_stored_nowhere(
    at_stripe: Make, publishable: str, secret: str
) -> None:
    at = at_stripe()
    with pytest.raises(BadKey):
        accounts.enter_keys(
            business=at.shop.business, publishable_key=publishable, secret_key=secret, now=timezone.now()
        )
    assert StripeAccount.objects.count() == 1


def test_webhook_secrets_roll_over_and_need_an_account(at_stripe: Make) -> None:
    at = at_stripe()
    business = at.shop.business
    accounts.add_webhook_secret(business=business, secret="whsec_first_one", now=timezone.now())
    accounts.add_webhook_secret(business=business, secret="whsec_second_one", now=timezone.now())
    first, second = WebhookSecret.objects.order_by("id")
    assert first.expires_at is not None
    assert second.expires_at is None
    with pytest.raises(BadWebhookSecret):
        accounts.add_webhook_secret(business=business, secret="sk_test_oops", now=timezone.now())
    StripeAccount.objects.update(state="retired")
    with pytest.raises(NoAccount):
        accounts.add_webhook_secret(business=business, secret="whsec_third_one", now=timezone.now())
    with pytest.raises(intents.GatewayNotConfigured):
        at.shop.request(at.shop.cart())


def test_test_and_live_keys_of_one_account_are_two_rows(at_stripe: Make) -> None:
    at = at_stripe()
    row, _job = accounts.enter_keys(
        business=at.shop.business,
        publishable_key="pk_live_abcdef",
        secret_key="sk_live_abcdef",
        now=timezone.now(),
    )
    accounts.settle_verification(
        stripe_account_id=row.id, account_id=at.shop.account.account_id, problem="", now=timezone.now()
    )
    row.refresh_from_db()
    at.shop.account.refresh_from_db()
    assert (row.state, at.shop.account.state) == ("active", "retired")
    assert (
        unseal(at.shop.account.secret_key_sealed) == f"sk_test_{at.slug}_one"
    )  # for the payments that it has


def test_a_late_second_check_of_old_keys_does_not_bring_them_back(at_stripe: Make) -> None:
    at = at_stripe()
    older = enter(at, at.slug, "two")
    newer = enter(at, at.slug, "three")
    accounts.settle_verification(
        stripe_account_id=older.id, account_id=at.shop.account.account_id, problem="", now=timezone.now()
    )
    at.shop.account.refresh_from_db()
    assert unseal(at.shop.account.secret_key_sealed) == f"sk_test_{at.slug}_three"
    assert newer.state == "retired"
