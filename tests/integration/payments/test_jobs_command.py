"""`manage.py jobs`, `timeline` and `account`: what whoever is on call types first."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.shop import Shop, claim_one
from web.payments.operations import backlog

pytestmark = pytest.mark.django_db


def said(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_depth_dead_and_replay() -> None:
    shop = Shop.make()
    shop.request(shop.cart())
    assert "No job is dead." in said("jobs", "dead")
    row = next(line for line in said("jobs").splitlines() if line.startswith("intents"))
    assert row.split()[1:5] == ["1", "0", "0", "0"]
    lease = claim_one("create_intent")
    backlog.bury(lease, error="Boom", now=timezone.now())
    row = next(line for line in said("jobs").splitlines() if line.startswith("intents"))
    assert row.split()[1:] == ["0", "0", "0", "1", "-"]
    assert "Boom" in said("jobs", "dead")
    with pytest.raises(CommandError, match="Say which"):
        said("jobs", "replay")
    assert "1 jobs wait again" in said("jobs", "replay", str(lease.job_id))
    assert "0 jobs wait again" in said("jobs", "replay", "--all")
    assert claim_one("create_intent").attempts == 1


def test_timeline_by_payment_and_not_found() -> None:
    shop = Shop.make()
    payment = shop.request(shop.cart())
    text = said("timeline", str(payment.public_id))
    assert "payment.requested" in text
    assert "amount=3600" in text
    for unknown in ("pi_unknown", "ABCD-EFGH", "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(CommandError, match="There is no payment or order"):
            said("timeline", unknown)


def test_account_shows_the_state_and_never_a_key() -> None:
    shop = Shop.make()
    text = said("account", str(shop.business.business_id))
    assert f"{shop.account.account_id}  in use" in text
    assert "sk_" not in text
    with pytest.raises(CommandError):
        said("account", "999999")
