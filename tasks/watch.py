"""Watching: what Stripe told nobody, what differs, what is silent. Nothing here is needed for a sale to go well."""

from __future__ import annotations

from celery import shared_task

from tasks import limits
from web.payments.models import StripeAccount
from web.payments.operations import accounts


@shared_task(name="paydesk.review_silence")
def review_silence(**_: object) -> None:
    """Forget that Stripe is silent for an account whose breaker is not open any more: Redis may have lost it."""
    for account in StripeAccount.objects.exclude(silent_since=None):
        if not limits.is_shut(account):
            accounts.note_silence(stripe_account_id=account.id, since=None)
