"""Checking the keys that a business entered: whose are they, and does Stripe take them?"""

from __future__ import annotations

from django.utils import timezone

from tasks.gateway.accounts import read_account_id
from tasks.gateway.stripe_api import StripeRefused
from web.payments.jobs import Lease
from web.payments.models import StripeAccount
from web.payments.operations import accounts

# What a person can do about a refusal, by Stripe's code.
_PROBLEMS = {
    "api_key_expired": "This key has expired: create a new one in Stripe's dashboard.",
}


def verify_account(*, stripe_account_id: int, lease: Lease) -> dict[str, object]:
    """Ask Stripe whose keys these are, and put them to use; return what the person who follows is shown."""
    row = StripeAccount.objects.get(id=stripe_account_id)
    account_id, problem = None, ""
    try:
        account_id = read_account_id(row)
    except StripeRefused as refusal:
        problem = _PROBLEMS.get(refusal.code, "Stripe does not accept this secret key.")
    row = accounts.settle_verification(
        stripe_account_id=stripe_account_id, account_id=account_id, problem=problem, now=timezone.now()
    )
    return {"account": account_id, "ok": account_id is not None, "problem": problem}
