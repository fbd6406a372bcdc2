"""A studio that can sell: its account at Stripe, items and a cart, for tests of the ledger and the tasks."""

from __future__ import annotations

import itertools
import uuid
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from tests.factories import BusinessFactory, ItemFactory, LocationFactory
from web.core.crypto import seal
from web.core.models import Business, Item, Location
from web.payments.jobs import CATALOGUE, Lease
from web.payments.models import Cart, Job, Payment, PaymentSettings, Refund, StripeAccount
from web.payments.operations import backlog, carts, intents
from web.payments.queries.quotes import quote

_numbers = itertools.count(1)
PAYER_KEY = "payer-of-the-tests"


@dataclass
class Shop:
    """A business with an active account, a place, and one item for 36.00."""

    business: Business
    location: Location
    item: Item
    account: StripeAccount

    @classmethod
    def make(
        cls, *, slug: str | None = None, business: Business | None = None, price_minor: int = 3600
    ) -> Shop:
        slug = slug or f"shop{next(_numbers)}"
        business = business or BusinessFactory.create()
        PaymentSettings.objects.get_or_create(business=business)
        account = StripeAccount.objects.create(
            business=business,
            account_id=f"acct_{slug}",
            is_live=False,
            state=StripeAccount.State.ACTIVE,
            publishable_key=f"pk_test_{slug}_one",
            secret_key_sealed=seal(f"sk_test_{slug}_one"),
            secret_key_hint="_one",
            created_at=timezone.now(),
        )
        return cls(
            business=business,
            location=LocationFactory.create(business=business),
            item=ItemFactory.create(business=business, price_minor=price_minor),
            account=account,
        )

    def cart(self, *, quantity: int = 1) -> Cart:
        """Return a guest's open cart with some of the item in it."""
        cart = carts.open_cart(business=self.business, location=self.location, now=timezone.now())
        carts.set_quantity(business=self.business, token=cart.token, item_id=self.item.id, quantity=quantity)
        return carts.set_buyer(
            business=self.business, token=cart.token, name="Ada Guest", email="ada@example.com"
        )

    def request(self, cart: Cart, *, form_token: str | None = None) -> Payment:
        """Ask for the online payment of a cart, as the page does."""
        cart.refresh_from_db()
        return intents.request(
            business=self.business,
            token=cart.token,
            form_token=form_token or uuid.uuid4().hex,
            expected_total_minor=quote(cart).totals.total.amount,
            payer_key=PAYER_KEY,
            now=timezone.now(),
        ).payment


def given_back(payment: Payment, amount_minor: int, **facts: Any) -> Refund:
    """Give money of a settled payment back, past the operations: the rows as a refund that succeeded leaves them."""
    now = timezone.now()
    with transaction.atomic():
        Payment.objects.filter(id=payment.id).update(
            refunded_minor=F("refunded_minor") + amount_minor,
            returned_minor=F("returned_minor") + amount_minor,
        )
        return Refund.objects.create(
            **{
                "business": payment.business,
                "payment": payment,
                "amount_minor": amount_minor,
                "currency": payment.currency,
                "reason": "torn",
                "state": "succeeded",
                "state_changed_at": now,
                "form_token": uuid.uuid4().hex,
                "created_at": now,
                **facts,
            }
        )


def claim(queue: str, *, limit: int = 1) -> list[Lease]:
    """Claim what is due in a queue now."""
    return backlog.claim(queue=queue, limit=limit, worker="tests", now=timezone.now())


def claim_one(name: str) -> Lease:
    """Claim the one job of a name that is due, and nothing else may be due in its queue."""
    (lease,) = claim(CATALOGUE[name].queue)
    assert lease.kind.name == name
    return lease


def waiting(name: str) -> int:
    """Return how many jobs of a name wait."""
    return Job.objects.filter(name=name, state=Job.State.WAITING).count()
