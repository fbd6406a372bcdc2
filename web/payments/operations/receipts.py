"""Receipts: rendered once and kept as they were, then sent.

A mail cannot be sent exactly once: dying between the sending and our note of it sends it again. Both
copies carry the same Message-ID, by which mail programs show them as one.
"""

from __future__ import annotations

import datetime

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from web.core import faultpoints
from web.core.models import Business
from web.payments import history, jobs
from web.payments.jobs import Lease
from web.payments.models import Order, Receipt
from web.payments.money import Money


def public_url(business: Business, path: str) -> str:
    """Return the address of a path on the business's own host, for mails."""
    host = business.hosts.order_by("id").values_list("host", flat=True).first() or "localhost"
    return str(settings.PUBLIC_ORIGIN).format(host=host) + path


@transaction.atomic
def render(*, order_id: int, now: datetime.datetime) -> Receipt:
    """Render the order's receipt in its language and the business's time zone; keep the first one made."""
    order = Order.objects.select_related("business", "location").get(id=order_id)
    existing = Receipt.objects.filter(order=order).first()
    if existing is not None:
        return existing
    business = order.business
    with translation.override(order.language), timezone.override(business.time_zone):
        context = {
            "order": order,
            "business": business,
            "lines": [
                {"line": line, "amount": Money(line.amount_minor, order.currency)}
                for line in order.lines.all()
            ],
            "totals": _totals(order),
            "total": Money(order.total_minor, order.currency),
            "payments": [
                {"payment": payment, "amount": Money(payment.amount_minor, payment.currency)}
                for payment in order.payments.order_by("id")
            ],
            "url": public_url(business, reverse("payment:receipt", args=[order.token])),
        }
        receipt = Receipt(
            order=order,
            language=order.language,
            subject=_("Receipt %(number)s from %(business)s")
            % {"number": order.number, "business": business.name},
            html=render_to_string("receipts/receipt.html", context),
            text=render_to_string("receipts/receipt.txt", context),
            rendered_at=now,
            sent_to=order.customer_email,
        )
    made, _is_new = Receipt.objects.get_or_create(
        order=order,
        defaults={
            name: getattr(receipt, name)
            for name in ("language", "subject", "html", "text", "rendered_at", "sent_to")
        },
    )
    return made


def _totals(order: Order) -> list[tuple[str, Money]]:
    """Return the rows between the lines and the total, without those that are zero."""
    rows = [
        (_("Subtotal"), order.subtotal_minor),
        (_("Discount"), -order.discount_minor),
        (f"{order.sales_tax_name} {_percent(order.sales_tax_rate)}", order.sales_tax_minor),
        (f"{order.additional_tax_name} {_percent(order.additional_tax_rate)}", order.additional_tax_minor),
        (_("Tip"), order.tip_minor),
    ]
    return [(name, Money(amount, order.currency)) for name, amount in rows if amount]


def _percent(rate: object) -> str:
    return f"({str(rate).rstrip('0').rstrip('.')} %)"


def send(*, order_id: int, lease: Lease) -> None:
    """Send the receipt if there is an address and it was not sent; note it, and end the job."""
    receipt = Receipt.objects.select_related("order", "order__business").get(order_id=order_id)
    if not receipt.sent_to or receipt.sent_at is not None:
        jobs.complete(lease, now=timezone.now())
        return
    faultpoints.reach(faultpoints.RECEIPT_RENDERED)
    business = receipt.order.business
    message = EmailMultiAlternatives(
        subject=receipt.subject,
        body=receipt.text,
        to=[receipt.sent_to],
        reply_to=[business.email] if business.email else None,
        headers={"Message-ID": f"<receipt-{receipt.order.cart_reference}@paydesk>"},
    )
    message.attach_alternative(receipt.html, "text/html")
    message.send()
    faultpoints.reach(faultpoints.RECEIPT_SENT)
    _note_sent(receipt, lease=lease, now=timezone.now())


@transaction.atomic(durable=True)
def _note_sent(receipt: Receipt, *, lease: Lease, now: datetime.datetime) -> None:
    if Receipt.objects.filter(id=receipt.id, sent_at=None).update(sent_at=now):
        history.record(
            history.RECEIPT_SENT,
            business_id=receipt.order.business_id,
            cart_reference=receipt.order.cart_reference,
            payment=None,
            actor=history.WORKER,
            now=now,
        )
    jobs.complete(lease, now=now)
