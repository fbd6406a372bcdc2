"""What a person follows while a worker does it: a payment from the checkout, a check of keys from the settings."""

from __future__ import annotations

import datetime
import uuid
from dataclasses import dataclass

from django.db.models import F, QuerySet
from django_celery_results.models import TaskResult

from web.core.compiled import compiled
from web.core.crypto import unseal
from web.core.models import Business, Profile
from web.payments.models import Cart, Job, Order, Payment, StripeAccount, WebhookSecret
from web.payments.operations.intents import PaymentNotFound, hash_payer_key


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks about a payment: by browser, by sign-in, or by holding the cart's link."""

    payer_key: str = ""
    profile: Profile | None = None
    is_staff: bool = False
    cart_token: str = ""


@dataclass(frozen=True, slots=True)
class Followed:
    """A payment as one viewer may see it. The client secret is there only for who may pay with it."""

    payment: Payment
    order: Order | None
    is_payer: bool
    account_key: str = ""  # publishable
    is_stripe_silent: bool | None = None  # None: nobody asked

    @property
    def client_secret(self) -> str:
        sealed = self.payment.client_secret_sealed
        return unseal(sealed) if self.is_payer and sealed and not self.payment.is_final else ""

    @property
    def publishable_key(self) -> str:
        return self.account_key if self.client_secret else ""


@compiled
def _payment_of(business: int, public_id: uuid.UUID) -> QuerySet[Payment]:
    asked = Payment.objects.filter(business=business, public_id=public_id)
    return asked.annotate(account_key=F("account__publishable_key"), silent_since=F("account__silent_since"))


def payment(*, business: Business, public_id: uuid.UUID, viewer: Viewer) -> Followed:
    """Return a payment to its payer, to staff, or to who holds the link of its cart; else PaymentNotFound."""
    # The most asked of all: no order is looked for before there can be one, and an account's two columns are enough.
    found = _payment_of.first(business=business.id, public_id=public_id)
    if found is None:
        raise PaymentNotFound
    may_pay = is_payer(found, viewer)
    if not may_pay and not _holds_link(found, viewer.cart_token):
        raise PaymentNotFound
    order = found.order or (
        Order.objects.filter(business=business, cart_reference=found.cart_reference).first()
        if found.is_final
        else None
    )
    key: str | None = found.account_key  # type: ignore[attr-defined]  # annotated above
    return Followed(found, order, may_pay, key or "", found.silent_since is not None)  # type: ignore[attr-defined]


def is_payer(found: Payment, viewer: Viewer) -> bool:
    """Say whether the viewer may have the payment's client secret."""
    if viewer.is_staff:
        return True
    if viewer.profile is not None and found.customer_id == viewer.profile.id:
        return True
    return bool(viewer.payer_key) and found.payer_key_hash == hash_payer_key(viewer.payer_key)


def _holds_link(found: Payment, token: str) -> bool:
    if not token:
        return False
    carts = Cart.objects.filter(business_id=found.business_id, token=token, reference=found.cart_reference)
    orders = Order.objects.filter(
        business_id=found.business_id, token=token, cart_reference=found.cart_reference
    )
    return carts.exists() or orders.exists()


@dataclass(frozen=True, slots=True)
class FollowedJob:
    """How far a job is, and what it said at its end."""

    job: Job
    result: str


def account_check(business: Business, account: StripeAccount) -> FollowedJob | None:
    """Return the newest check of an account's keys, or None where it was tidied away."""
    job = (
        Job.objects.filter(business=business, account=account, name="verify_account").order_by("-id").first()
    )
    if job is None:
        return None
    result = ""
    if job.state == Job.State.DONE:
        row = TaskResult.objects.filter(task_id=str(job.public_id)).first()
        result = str(row.result or "") if row else ""
    return FollowedJob(job, result)


def accounts(business: Business) -> list[StripeAccount]:
    """Return the business's Stripe accounts that matter to it now: in use, being checked, or just refused."""
    rows = list(StripeAccount.objects.filter(business=business).order_by("-id")[:20])
    in_use = [row for row in rows if row.state == StripeAccount.State.ACTIVE]
    newest = [
        row for row in rows[:1] if row.state in (StripeAccount.State.UNVERIFIED, StripeAccount.State.REFUSED)
    ]
    return newest + in_use


def webhook_secrets(business: Business, *, now: datetime.datetime) -> list[WebhookSecret]:
    """Return the signing secrets that events may be signed with now, the newest first."""
    secrets = WebhookSecret.objects.filter(account__business=business).exclude(expires_at__lte=now)
    return list(secrets.exclude(account__state=StripeAccount.State.REFUSED).order_by("-id"))
