"""Erasing a person: their data goes from every table of payments; orders and amounts stay.

A profile is emptied, not deleted: close-outs, ledgers and orders point at it. Running it again finds nothing left.
What cannot be rewritten (history, audit, close-outs) holds ids and codes only.
"""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.db import connection, transaction
from django.db.models import Q
from django.utils.html import escape
from django.utils.translation import gettext_lazy as _

from web.core.models import Business, Profile
from web.payments import locks
from web.payments.errors import Kind, Refusal
from web.payments.models import (
    Attempt,
    AuditEntry,
    BulkRefund,
    Card,
    CardSetup,
    Cart,
    Drift,
    InboxEvent,
    LedgerEntry,
    Order,
    Payment,
    ProfilePaymentData,
    Receipt,
    ReceiptResend,
    Refund,
    RefundReceipt,
)
from web.payments.operations import audit, cards
from web.payments.states import LIVE, OPEN_ATTEMPT, REFUND_UNDER_WAY, CardSetupState

ERASED = "[erased]"
ERASED_DOMAIN = "erased.invalid"  # a domain that never gets mail (RFC 2606)
INBOX_BATCH = 200
# What Stripe's objects call personal data; of a person's own events all of these are emptied.
PERSONAL_KEYS = frozenset(
    {
        "address",
        "billing_details",
        "customer_details",
        "customer_email",
        "email",
        "name",
        "phone",
        "receipt_email",
        "shipping",
    }
)


class SaleUnderWay(Refusal):
    code, kind = "sale_under_way", Kind.CONFLICT
    message = _("This person is paying right now.")
    next_step = _("Nothing was erased. Wait until the payment has ended, or cancel it, and try again.")


class ErasureUnderWay(Refusal):
    code, kind = "erasure_under_way", Kind.CONFLICT
    message = _("Somebody is erasing a person here at this moment.")
    next_step = _("Nothing was erased by this. Wait until they are done, then try again.")


class NobodyFound(Refusal):
    code, kind = "nobody_found", Kind.MISSING
    message = _("There is nobody with this e-mail address here.")
    next_step = _("Nothing was erased. Write the whole address as the person gave it.")


@dataclass(slots=True)
class Person:
    """Who is to be erased: a profile with all that hangs on it, and what guests bought with the same address."""

    business: Business
    profile: Profile | None
    emails: set[str]
    names: set[str] = field(default_factory=set)
    orders: list[Order] = field(default_factory=list)
    carts: list[Cart] = field(default_factory=list)

    @property
    def strings(self) -> list[str]:
        """Return what must be found nowhere afterwards, the longest first."""
        given = {*self.emails, *self.names}
        if self.profile is not None:
            given |= {self.profile.phone, self.profile.address}
        return sorted({text for text in given if len(text.strip()) > 1}, key=len, reverse=True)

    def __bool__(self) -> bool:
        return bool(self.profile or self.orders or self.carts)


def find(business: Business, email: str) -> Person:
    """Find what a business knows of an e-mail address; an erased profile is nobody."""
    email = email.strip()
    profile = Profile.objects.filter(business=business, email__iexact=email).select_related("user").first()
    return _gathered(Person(business, profile, {email} if email else set()))


def _gathered(person: Person) -> Person:
    mine = Q()
    for email in person.emails:
        mine |= Q(customer_email__iexact=email)
    guests = Q()
    for email in person.emails:
        guests |= Q(guest_email__iexact=email)
    if person.profile is not None:
        mine |= Q(customer=person.profile)
        guests |= Q(customer=person.profile)
        person.names.add(person.profile.name)
        person.emails |= {person.profile.email, person.profile.user.email}
    if not mine:
        return person
    person.orders = list(Order.objects.filter(mine, business=person.business).order_by("cart_reference"))
    person.carts = list(Cart.objects.filter(guests, business=person.business).order_by("reference"))
    for order in person.orders:
        person.names.add(order.customer_name)
        person.emails.add(order.customer_email)
    person.names |= {cart.guest_name for cart in person.carts}
    person.emails |= {cart.guest_email for cart in person.carts}
    return person


def erase(*, business: Business, email: str, actor: str, now: datetime.datetime) -> dict[str, int]:
    """Erase a person by e-mail address; return what was touched. NobodyFound where nothing is left."""
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '10min'")  # a rare act, over all that Stripe sent
        return _erase(business, email, actor, now)


def _erase(business: Business, email: str, actor: str, now: datetime.datetime) -> dict[str, int]:
    if not locks.erasure(business.id):
        raise ErasureUnderWay
    person = find(business, email)
    if not person:
        raise NobodyFound
    for reference in sorted(cart.reference for cart in person.carts):
        locks.sale(reference)  # nobody starts to pay, and nothing is settled, while their rows are emptied
    references = [order.cart_reference for order in person.orders] + [cart.reference for cart in person.carts]
    theirs = Q(cart_reference__in=references)
    if person.profile is not None:  # also those whose cart is gone: held money, fees that were declined
        theirs |= Q(customer=person.profile)
    payments = list(Payment.objects.filter(theirs, business=business).values_list("id", flat=True))
    _refuse_open_work(payments)
    touched = {
        "orders": _orders(person),
        "carts": _carts(person),
        "receipts": _receipts(person),
        "notes": _notes(person, payments),
        "events": _inbox(person, payments),
        "attempts": _attempts(person, payments),
        "cards": _cards(person, now),
        "profiles": _profile(person),
    }
    audit.record(
        AuditEntry.Action.PERSON_ERASED,
        business_id=business.id,
        actor=actor,
        now=now,
        subject=f"customer {person.profile.id}" if person.profile else "guest",
        changes=touched,
    )
    return touched


def _refuse_open_work(payments: list[int]) -> None:
    """Refuse while something of theirs is on its way: what is sent to Stripe again must be exactly what was sent."""
    mine = Q(payment_id__in=payments)
    is_open = (
        Attempt.objects.filter(mine | Q(refund__payment_id__in=payments), state__in=OPEN_ATTEMPT).exists()
        or Refund.objects.filter(mine, state__in=REFUND_UNDER_WAY).exists()
        or Payment.objects.filter(id__in=payments, state__in=LIVE).exists()
        or InboxEvent.objects.filter(mine, state=InboxEvent.State.RECEIVED).exists()
    )
    if is_open:
        raise SaleUnderWay


def _orders(person: Person) -> int:
    ids = [order.id for order in person.orders]
    return Order.objects.filter(id__in=ids).update(customer_name="", customer_email="")


def _carts(person: Person) -> int:
    for cart in person.carts:
        if Payment.objects.filter(cart_reference=cart.reference).exists():
            Cart.objects.filter(id=cart.id).update(guest_name="", guest_email="")
        else:
            cart.delete()
    return len(person.carts)


def _receipts(person: Person) -> int:
    orders = [order.id for order in person.orders]
    count = 0
    rows: Iterable[Receipt | RefundReceipt] = [
        *Receipt.objects.filter(order_id__in=orders),
        *RefundReceipt.objects.filter(refund__payment__order_id__in=orders),
    ]
    for receipt in rows:
        receipt.subject, receipt.text = (
            _without(person, receipt.subject)[:200],
            _without(person, receipt.text),
        )
        receipt.html, receipt.sent_to = _without(person, receipt.html, is_html=True), ""
        receipt.save(update_fields=["subject", "html", "text", "sent_to"])
        count += 1
    count += ReceiptResend.objects.filter(order_id__in=orders).update(sent_to="")
    for email in person.emails:
        count += ReceiptResend.objects.filter(business=person.business, sent_to__iexact=email or "-").update(
            sent_to=""
        )
    return count


def _notes(person: Person, payments: list[int]) -> int:
    count = Payment.objects.filter(id__in=payments).exclude(note="").update(note="")
    if person.profile is not None:
        for entry in LedgerEntry.objects.filter(balance__customer=person.profile).exclude(reason=""):
            kept = _without(person, entry.reason)[:500]
            if kept != entry.reason:
                LedgerEntry.objects.filter(id=entry.id).update(reason=kept)
                count += 1
    for refund in Refund.objects.filter(payment_id__in=payments).exclude(reason=""):
        kept = _without(person, refund.reason)[:500]
        if kept != refund.reason:
            Refund.objects.filter(id=refund.id).update(reason=kept)
            count += 1
    return count + _words_of_staff(person)


def _words_of_staff(person: Person) -> int:
    """Take the person out of what staff wrote about many or about none: the words stay, without the person.

    A close-out's note stays as it was signed (docs/decisions/0014): its form asks not to name anybody.
    """
    count = 0
    orders = [order.id for order in person.orders]
    for order in Order.objects.filter(id__in=orders).exclude(discount_reason=""):
        kept = _without(person, order.discount_reason)[:200]
        count += Order.objects.filter(id=order.id).exclude(discount_reason=kept).update(discount_reason=kept)
    for cart in Cart.objects.filter(id__in=[cart.id for cart in person.carts]).exclude(discount_reason=""):
        kept = _without(person, cart.discount_reason)[:200]
        count += Cart.objects.filter(id=cart.id).exclude(discount_reason=kept).update(discount_reason=kept)
    for bulk in BulkRefund.objects.filter(business=person.business):
        kept = _without(person, bulk.reason)[:500]
        count += BulkRefund.objects.filter(id=bulk.id).exclude(reason=kept).update(reason=kept)
    for drift in Drift.objects.filter(business=person.business).exclude(note=""):
        kept = _without(person, drift.note)[:200]
        count += Drift.objects.filter(id=drift.id).exclude(note=kept).update(note=kept)
    return count


def _inbox(person: Person, payments: list[int]) -> int:
    """Empty what Stripe sent: all personal fields of the person's own payments, and their address anywhere."""
    mine = Q(payment_id__in=payments)
    ids = set(InboxEvent.objects.filter(mine, account__business=person.business).values_list("id", flat=True))
    charges = Payment.objects.filter(id__in=payments).values_list("intent_id", "charge_id")
    objects = {text for pair in charges for text in pair if text}
    rows = InboxEvent.objects.filter(account__business=person.business)
    ids |= set(rows.filter(object_id__in=objects).values_list("id", flat=True))
    with connection.cursor() as cursor:
        for email in filter(None, person.emails):
            cursor.execute(
                """
                SELECT e.id FROM payments_inboxevent e JOIN payments_stripeaccount a ON a.id = e.account_id
                WHERE a.business_id = %s AND position(lower(%s) in lower(e.payload::text)) > 0
                """,
                [person.business.id, email],
            )
            ids |= {row[0] for row in cursor.fetchall()}
    for event in InboxEvent.objects.filter(id__in=ids).only("id", "payload").iterator(chunk_size=INBOX_BATCH):
        InboxEvent.objects.filter(id=event.id).update(payload=_emptied(person, event.payload))
    return len(ids)


def _attempts(person: Person, payments: list[int]) -> int:
    count = 0
    rows = Attempt.objects.filter(Q(payment_id__in=payments) | Q(refund__payment_id__in=payments))
    for attempt in rows:
        kept = _emptied(person, attempt.parameters)
        if kept != attempt.parameters:
            Attempt.objects.filter(id=attempt.id).update(parameters=kept)
            count += 1
    return count


def _cards(person: Person, now: datetime.datetime) -> int:
    """Take the saved cards away, at Stripe too; the worker that does it needs the row, which says nothing more."""
    if person.profile is None:
        return 0
    count = 0
    for card in Card.objects.filter(profile=person.profile):
        if card.removed_at is None:
            cards.remove(profile=person.profile, card_id=card.public_id, now=now)
        count += 1
    Card.objects.filter(profile=person.profile).update(brand="", last4="", expires_year=0, expires_month=0)
    setups = CardSetup.objects.filter(profile=person.profile)
    setups.exclude(state__in=cards.FINAL).update(  # nothing that Stripe says later brings a card back
        state=CardSetupState.FAILED, state_changed_at=now, client_secret_sealed=""
    )
    setups.update(consent="")
    return count


def _profile(person: Person) -> int:
    profile = person.profile
    if profile is None:
        return 0
    ProfilePaymentData.objects.filter(profile=profile).delete()
    nobody = f"{uuid.uuid4().hex}@{ERASED_DOMAIN}"
    user = profile.user
    user.username, user.email, user.first_name, user.last_name = nobody, nobody, "", ""
    user.is_active = False
    user.set_unusable_password()
    user.groups.clear()
    EmailAddress.objects.filter(user=user).delete()
    Authenticator.objects.filter(user=user).delete()
    UserSession.objects.filter(user=user).delete()
    user.save()
    profile.name, profile.email, profile.phone, profile.address = ERASED, nobody, "", ""
    profile.save(update_fields=["name", "email", "phone", "address"])
    return 1


def _without(person: Person, text: str, *, is_html: bool = False) -> str:
    for given in person.strings:
        for written in {given, str(escape(given))} if is_html else {given}:
            text = re.sub(rf"(?<!\w){re.escape(written)}(?!\w)", ERASED, text, flags=re.IGNORECASE)
    return text


def _emptied(person: Person, value: Any) -> Any:
    """Return a JSON value without personal fields, and without the person's strings anywhere else."""
    if isinstance(value, dict):
        return {
            name: None if name in PERSONAL_KEYS else _emptied(person, inner) for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_emptied(person, inner) for inner in value]
    return _without(person, value) if isinstance(value, str) else value
