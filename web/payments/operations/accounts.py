"""A business's keys and webhook secrets. They are sealed here and opened only by the gateway or the endpoint.

Which account a key belongs to is Stripe's to say: keys are stored as unverified, a worker asks, and only
then they replace the old ones. A sale that is under way keeps its account for life.
"""

from __future__ import annotations

import datetime
import re
import uuid

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from web.core.crypto import seal, unseal
from web.core.models import Business
from web.payments import locks
from web.payments.errors import Kind, Refusal
from web.payments.jobs import VERIFY_ACCOUNT, enqueue_for_account
from web.payments.models import AuditEntry, InboxEvent, PaymentSettings, StripeAccount, WebhookSecret
from web.payments.operations import audit

_PUBLISHABLE = re.compile(r"pk_(test|live)_[A-Za-z0-9_]{4,240}")
_SECRET = re.compile(r"(sk|rk)_(test|live)_[A-Za-z0-9_]{4,240}")
_WEBHOOK_SECRET = re.compile(r"whsec_[A-Za-z0-9+/=_-]{8,240}")
ROLL_OVER = datetime.timedelta(
    hours=24
)  # as long as Stripe signs with the old secret while a new one rolls in


class BadKey(Refusal):
    code = "bad_key"
    message = _("These are not a publishable key (pk_…) and a secret key (sk_… or rk_…) of the same mode.")
    next_step = _("Copy both from Stripe's dashboard, under Developers → API keys. Nothing was changed.")


class BadWebhookSecret(Refusal):
    code = "bad_webhook_secret"
    message = _("This is not a webhook signing secret (whsec_…).")
    next_step = _("Copy it from the endpoint's page in Stripe's dashboard. Nothing was changed.")


class NoAccount(Refusal):
    code, kind = "no_account", Kind.CONFLICT
    message = _("Enter the Stripe keys first: a webhook secret belongs to an account.")
    next_step = _("Nothing was changed.")


def settings_of(business: Business) -> PaymentSettings:
    """Return the business's payment settings, made with their defaults if need be."""
    settings, _created = PaymentSettings.objects.get_or_create(business=business)
    return settings


@transaction.atomic
def enter_keys(
    *, business: Business, publishable_key: str, secret_key: str, now: datetime.datetime
) -> tuple[StripeAccount, uuid.UUID]:
    """Store keys and have them checked; return the row and the id of the job that a person can follow.

    The same keys again, while they wait for their check, are the same row and the same check.
    """
    publishable_key, secret_key = publishable_key.strip(), secret_key.strip()
    public, secret = _PUBLISHABLE.fullmatch(publishable_key), _SECRET.fullmatch(secret_key)
    if public is None or secret is None or public[1] != secret[2]:
        raise BadKey
    settings_of(business)
    locks.settings(business.id)  # the same click twice takes turns
    for waiting in StripeAccount.objects.filter(
        business=business, state=StripeAccount.State.UNVERIFIED, publishable_key=publishable_key
    ):
        if unseal(waiting.secret_key_sealed) == secret_key:
            return waiting, check_keys(account=waiting, now=now)
    account = StripeAccount.objects.create(
        business=business,
        is_live=secret[2] == "live",
        publishable_key=publishable_key,
        secret_key_sealed=seal(secret_key),
        secret_key_hint=secret_key[-4:],
        created_at=now,
    )
    return account, check_keys(account=account, now=now)


@transaction.atomic
def check_keys(*, account: StripeAccount, now: datetime.datetime) -> uuid.UUID:
    """Ask a worker to try the account's keys at Stripe; return the id of the job to follow."""
    return enqueue_for_account(VERIFY_ACCOUNT, account, now=now)


@transaction.atomic(durable=True)
def settle_verification(
    *, stripe_account_id: int, account_id: str | None, problem: str, now: datetime.datetime
) -> StripeAccount:
    """Apply what Stripe said of the keys: whose they are, or that it refuses them.

    Keys of an account that we know go onto its row (and make it the one in use); keys of a new account
    retire the row in use, which keeps its own keys for the payments that it still has.
    """
    # The business's accounts are locked together, in ascending order: two checks at once take turns.
    business_id = StripeAccount.objects.values_list("business_id", flat=True).get(id=stripe_account_id)
    rows = list(
        StripeAccount.objects.select_for_update(no_key=True).filter(business_id=business_id).order_by("id")
    )
    entered = next(row for row in rows if row.id == stripe_account_id)
    if entered.state == StripeAccount.State.RETIRED:
        return entered  # newer keys have taken its place since: a late second check must not bring it back
    if account_id is None:
        entered.problem = problem
        if entered.state == StripeAccount.State.UNVERIFIED:
            entered.state = StripeAccount.State.REFUSED
            active = next((row for row in rows if row.state == StripeAccount.State.ACTIVE), None)
            if active is not None:
                _hand_over(entered, active)
        entered.save(update_fields=["problem", "state"])
        return entered
    same = (row for row in rows if (row.account_id, row.is_live) == (account_id, entered.is_live))
    known = next(same, None)
    if known is not None and known.id != entered.id:
        known.publishable_key = entered.publishable_key
        known.secret_key_sealed, known.secret_key_hint = entered.secret_key_sealed, entered.secret_key_hint
        _hand_over(entered, known)
        entered.state = StripeAccount.State.RETIRED
        entered.save(update_fields=["state"])
    chosen = known or entered
    if entered.state != StripeAccount.State.ACTIVE:
        for row in rows:
            if row.state == StripeAccount.State.ACTIVE and row.id != chosen.id:
                row.state = StripeAccount.State.RETIRED
                row.save(update_fields=["state"])
        chosen.state = StripeAccount.State.ACTIVE
    chosen.account_id, chosen.problem, chosen.verified_at = account_id, "", now
    chosen.save()
    return chosen


def _hand_over(entered: StripeAccount, known: StripeAccount) -> None:
    """Give a row's webhook secrets, and what has arrived under them, to the row that takes its place."""
    WebhookSecret.objects.filter(account=entered).update(account=known)
    arrived = InboxEvent.objects.filter(account=known).values("event_id")
    InboxEvent.objects.filter(account=entered).exclude(event_id__in=arrived).update(account=known)


@transaction.atomic
def add_webhook_secret(*, business: Business, secret: str, now: datetime.datetime) -> WebhookSecret:
    """Add a signing secret; those that are there stay valid for another day, as they do at Stripe.

    One that is in use already is not added again.
    """
    secret = secret.strip()
    if not _WEBHOOK_SECRET.fullmatch(secret):
        raise BadWebhookSecret
    usable = (StripeAccount.State.ACTIVE, StripeAccount.State.UNVERIFIED)
    account = StripeAccount.objects.filter(business=business, state__in=usable).order_by("-id").first()
    if account is None:
        raise NoAccount
    settings_of(business)
    locks.settings(business.id)  # the same click twice takes turns
    for known in WebhookSecret.objects.filter(account=account, expires_at=None):
        if unseal(known.secret_sealed) == secret:
            return known
    WebhookSecret.objects.filter(account=account, expires_at=None).update(expires_at=now + ROLL_OVER)
    return WebhookSecret.objects.create(
        account=account, secret_sealed=seal(secret), secret_hint=secret[-4:], created_at=now
    )


@transaction.atomic
def end_old_webhook_secrets(*, business: Business, actor: str, now: datetime.datetime) -> int:
    """End the signing secrets that a newer one has replaced, at once: one of them leaked. Returns how many."""
    replaced = WebhookSecret.objects.filter(account__business=business, expires_at__gt=now)
    ended = replaced.update(expires_at=now)
    if ended:
        audit.record(
            AuditEntry.Action.SETTINGS_CHANGED,
            business_id=business.id,
            actor=actor,
            now=now,
            subject="webhook secrets",
            changes={"ended": ended},
        )
    return ended


def note_silence(*, stripe_account_id: int, since: datetime.datetime | None) -> None:
    """Note since when Stripe does not answer for an account (None: it answers), for people to see.

    Rows of other businesses with the same account at Stripe share its fate.
    """
    row = StripeAccount.objects.only("account_id", "is_live").get(id=stripe_account_id)
    rows = StripeAccount.objects.filter(id=stripe_account_id)
    if row.account_id is not None:
        rows = StripeAccount.objects.filter(account_id=row.account_id, is_live=row.is_live)
    if since is None:
        rows.exclude(silent_since=None).update(silent_since=None)
    else:
        rows.filter(silent_since=None).update(silent_since=since)
