"""Keys are exchanged while the site sells: the encryption key, step by step, and a webhook's signing secret.

Stripe's keys: tests/integration/tasks/test_accounts.py; secrets that roll over: tests/integration/webhooks.
"""

from __future__ import annotations

import io
import itertools

import pytest
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from tests.factories import StaffFactory
from tests.shop import Shop
from web.core.crypto import CannotOpenSecret, seal, unseal
from web.core.second_factor import Adapter
from web.payments.models import StripeAccount, WebhookSecret
from web.payments.operations import accounts

pytestmark = pytest.mark.django_db


def test_the_encryption_key_is_exchanged_and_at_every_step_everybody_opens_everything(
    settings: Settings,
) -> None:
    """Two processes may stand a step apart: each seals what the other one has to open."""
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    steps = [[old], [old, new], [new, old], [new]]
    settings.FIELD_ENCRYPTION_KEYS = steps[0]
    shop = Shop.make(slug="turn")
    accounts.add_webhook_secret(business=shop.business, secret="whsec_of_the_turn", now=timezone.now())
    user = StaffFactory.create(business=shop.business).user
    for kind, name in (("totp", "secret"), ("recovery_codes", "seed")):
        Authenticator.objects.create(user=user, type=kind, data={name: seal("JBSWY3DP"), "used_mask": 5})

    for before, after in itertools.pairwise(steps):
        if after == [new]:  # the last step takes the old key away: only what was sealed again survives it
            settings.FIELD_ENCRYPTION_KEYS = before
            call_command("rotate_keys", stdout=(said := io.StringIO()))
            assert "second factors: 2 sealed again, 0 were" in said.getvalue()
            call_command("rotate_keys", stdout=(said := io.StringIO()))
            assert "0 sealed again, 2 were" in said.getvalue()
        for sealing, opening in ((before, after), (after, before)):
            settings.FIELD_ENCRYPTION_KEYS = sealing
            fresh = seal("written just now")
            settings.FIELD_ENCRYPTION_KEYS = opening
            assert unseal(fresh) == "written just now", (sealing, opening)
            assert unseal(StripeAccount.objects.get().secret_key_sealed) == "sk_test_turn_one"
            assert unseal(WebhookSecret.objects.get().secret_sealed) == "whsec_of_the_turn"
            for row in Authenticator.objects.all():
                kept = row.data.get("secret") or row.data["seed"]
                assert (Adapter().decrypt(kept), row.data["used_mask"]) == ("JBSWY3DP", 5)

    # Straight to the front would not do: who has not restarted yet cannot open what is sealed meanwhile.
    settings.FIELD_ENCRYPTION_KEYS = steps[2]
    fresh = seal("too early")
    settings.FIELD_ENCRYPTION_KEYS = steps[0]
    with pytest.raises(CannotOpenSecret):
        unseal(fresh)


def test_a_lost_key_is_said_and_what_it_sealed_stays_as_it_is(settings: Settings) -> None:
    shop = Shop.make()
    sealed = shop.account.secret_key_sealed
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(CommandError, match="1 values were sealed with a key"):
        call_command("rotate_keys", stdout=io.StringIO())
    assert StripeAccount.objects.get().secret_key_sealed == sealed
