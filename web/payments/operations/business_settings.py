"""Changing how a business takes payments: the change and the line of who made it, in one transaction."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping

from django.db import transaction

from web.core.models import Business, Location
from web.payments import locks
from web.payments.models import AuditEntry, PaymentSettings, StripeAccount
from web.payments.operations import accounts, audit


@transaction.atomic
def change(
    *, business: Business, fields: Mapping[str, object], actor: str, now: datetime.datetime
) -> PaymentSettings:
    """Set some of the payment settings; what stays as it was is not written down as a change."""
    accounts.settings_of(business)
    settings = locks.settings(business.id)
    changed = audit.differences({name: getattr(settings, name) for name in fields}, fields)
    if not changed:
        return settings
    for name in changed:
        setattr(settings, name, fields[name])
    settings.save(update_fields=[*changed, "updated_at"])
    audit.record(
        AuditEntry.Action.SETTINGS_CHANGED, business_id=business.id, actor=actor, now=now, changes=changed
    )
    return settings


@transaction.atomic
def change_safety(
    *,
    business: Business,
    second_factor: str,
    refund_limit_minor: int | None,
    embed_origins: list[str],
    actor: str,
    now: datetime.datetime,
) -> None:
    """Set who shows a second factor, what is given back without proving again who one is, and who may frame pages."""
    accounts.settings_of(business)
    settings = locks.settings(business.id)
    stored = Business.objects.get(id=business.id)
    before = {
        "second_factor": stored.second_factor,
        "refund_limit_minor": settings.refund_limit_minor,
        "embed_origins": stored.embed_origins,
    }
    after = {
        "second_factor": second_factor,
        "refund_limit_minor": refund_limit_minor,
        "embed_origins": embed_origins,
    }
    changed = audit.differences(before, after)
    if not changed:
        return
    settings.refund_limit_minor = refund_limit_minor
    settings.save(update_fields=["refund_limit_minor", "updated_at"])
    stored.second_factor, stored.embed_origins = second_factor, embed_origins
    stored.save(update_fields=["second_factor", "embed_origins"])
    audit.record(
        AuditEntry.Action.SAFETY_CHANGED, business_id=business.id, actor=actor, now=now, changes=changed
    )


@transaction.atomic
def change_taxes(
    *, location: Location, fields: Mapping[str, object], actor: str, now: datetime.datetime
) -> None:
    """Set the taxes of a location. Sales under way keep the taxes that they were priced with."""
    locks.location(location.id)
    stored = Location.objects.get(id=location.id)
    changed = audit.differences({name: getattr(stored, name) for name in fields}, fields)
    if not changed:
        return
    for name in changed:
        setattr(stored, name, fields[name])
    stored.save(update_fields=list(changed))
    audit.record(
        AuditEntry.Action.TAXES_CHANGED,
        business_id=stored.business_id,
        actor=actor,
        now=now,
        subject=stored.name,
        changes=changed,
    )


@transaction.atomic
def change_limits(
    *, account: StripeAccount, fields: Mapping[str, object], actor: str, now: datetime.datetime
) -> None:
    """Set how much of Stripe an account may use in a second; workers go by it from their next call on."""
    locks.settings(account.business_id)
    stored = StripeAccount.objects.get(id=account.id)
    changed = audit.differences({name: getattr(stored, name) for name in fields}, fields)
    if not changed:
        return
    StripeAccount.objects.filter(id=account.id).update(**{name: fields[name] for name in changed})
    audit.record(
        AuditEntry.Action.LIMITS_CHANGED,
        business_id=account.business_id,
        actor=actor,
        now=now,
        subject=account.account_id or "",
        changes=changed,
    )


@transaction.atomic
def enter_keys(
    *, business: Business, publishable_key: str, secret_key: str, actor: str, now: datetime.datetime
) -> tuple[StripeAccount, uuid.UUID]:
    """Store keys and have them checked; of the secret one only its last characters are written down."""
    account, job = accounts.enter_keys(
        business=business, publishable_key=publishable_key, secret_key=secret_key, now=now
    )
    audit.record(
        AuditEntry.Action.KEYS_ENTERED,
        business_id=business.id,
        actor=actor,
        now=now,
        changes={"publishable_key": account.publishable_key, "secret_key": f"…{account.secret_key_hint}"},
    )
    return account, job


@transaction.atomic
def check_keys(*, account: StripeAccount, actor: str, now: datetime.datetime) -> uuid.UUID:
    """Ask a worker to try the account's keys at Stripe; return the id of the job to follow."""
    audit.record(
        AuditEntry.Action.KEYS_TESTED,
        business_id=account.business_id,
        actor=actor,
        now=now,
        subject=account.account_id or "",
    )
    return accounts.check_keys(account=account, now=now)


@transaction.atomic
def add_webhook_secret(*, business: Business, secret: str, actor: str, now: datetime.datetime) -> None:
    """Add a signing secret of the webhook address; only its last characters are written down."""
    added = accounts.add_webhook_secret(business=business, secret=secret, now=now)
    audit.record(
        AuditEntry.Action.WEBHOOK_SECRET_ADDED,
        business_id=business.id,
        actor=actor,
        now=now,
        changes={"secret": f"whsec_…{added.secret_hint}"},
    )
