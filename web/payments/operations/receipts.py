"""Receipts: rendered once and kept as they were, then sent.

A mail cannot be sent exactly once: dying between the sending and our note of it sends it again. Both
copies carry the same Message-ID, by which mail programs show them as one.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator
from email.utils import formataddr

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives
from django.core.validators import validate_email
from django.db import transaction
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from web.core import faultpoints
from web.core.branding import button_pair, readable
from web.core.models import Business
from web.payments import history, jobs, locks
from web.payments.errors import Kind, Refusal
from web.payments.jobs import Lease
from web.payments.models import (
    AuditEntry,
    Order,
    PaymentSettings,
    Receipt,
    ReceiptResend,
    Refund,
    RefundReceipt,
)
from web.payments.money import Money
from web.payments.operations import audit
from web.payments.templatetags.money import money


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
    with _speaking(order):
        context = {
            **_about(order),
            "lines": [
                {"line": line, "amount": money(Money(line.amount_minor, order.currency))}
                for line in order.lines.all()
            ],
            "totals": _totals(order),
            "total": money(Money(order.total_minor, order.currency)),
            "payments": [
                {
                    "payment": payment,
                    "amount": money(Money(payment.amount_received_minor, payment.currency)),
                }
                for payment in order.payments.order_by("id")
            ],
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


@contextlib.contextmanager
def _speaking(order: Order) -> Iterator[None]:
    """Write in the order's language and the business's time zone."""
    with translation.override(order.language), timezone.override(order.business.time_zone):
        yield


def _about(order: Order) -> dict[str, object]:
    """Return what every receipt shows: whose it is, in which colours, and where it stays."""
    business = order.business
    button, on_button = button_pair(business.button_color)
    return {
        "order": order,
        "business": business,
        "texts": PaymentSettings.objects.filter(business=business).first(),
        "url": public_url(business, reverse("payment:receipt", args=[order.token])),
        # An owner's colours are for looks; a mail has to be readable too.
        "text_color": readable(business.text_color, business.background_color),
        "button": button,
        "on_button": on_button,
    }


def _totals(order: Order) -> list[tuple[str, str]]:
    """Return the rows between the lines and the total, without those that are zero."""
    rows = [
        (_("Subtotal"), order.subtotal_minor),
        (_("Discount"), -order.discount_minor),
        (f"{order.sales_tax_name} {_percent(order.sales_tax_rate)}", order.sales_tax_minor),
        (f"{order.additional_tax_name} {_percent(order.additional_tax_rate)}", order.additional_tax_minor),
        (_("Tip"), order.tip_minor),
    ]
    return [(name, money(Money(amount, order.currency))) for name, amount in rows if amount]


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
    _mail(receipt, business, to=receipt.sent_to, message_id=f"receipt-{receipt.order.cart_reference}")
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


def _mail(receipt: Receipt | RefundReceipt, business: Business, *, to: str, message_id: str) -> None:
    """Send a receipt in the business's name, from the address that this installation may send from."""
    message = EmailMultiAlternatives(
        subject=" ".join(receipt.subject.split()),
        body=receipt.text,
        from_email=formataddr((business.name, settings.DEFAULT_FROM_EMAIL)),
        to=[to],
        reply_to=[business.email] if business.email else None,
        headers={"Message-ID": f"<{message_id}@paydesk>"},
    )
    message.attach_alternative(receipt.html, "text/html")
    message.send()


# --- sent again -----------------------------------------------------------------------------------------


class NoAddress(Refusal):
    code = "no_address"
    message = gettext_lazy("There is no e-mail address to send the receipt to.")
    next_step = gettext_lazy("Nothing was sent. Write an address and try again.")


class SentTooOften(Refusal):
    code, kind = "sent_too_often", Kind.CONFLICT
    message = gettext_lazy("This receipt was sent several times already.")
    next_step = gettext_lazy("Nothing was sent. Look into the spam folder, or try again in an hour.")


MOST_AN_HOUR = 3  # of one order: a mail that did not arrive twice will not arrive the fourth time
MOST_OF_A_BUSINESS = 100  # an hour: beyond that somebody uses the page to send mail


@transaction.atomic
def ask_again(
    *, order: Order, email: str, form_token: str, actor: str, now: datetime.datetime
) -> ReceiptResend:
    """Ask for a receipt to be sent again, to its customer or to an address given; the same form asks once."""
    # The order's payments are locked: two people who ask at once are counted one after the other.
    locks.sale(order.cart_reference)
    repeated = ReceiptResend.objects.filter(business_id=order.business_id, form_token=form_token).first()
    if repeated is not None:
        return repeated
    email = email.strip() or order.customer_email
    try:
        validate_email(email)
    except ValidationError as error:
        raise NoAddress from error
    lately = ReceiptResend.objects.filter(
        business_id=order.business_id, asked_at__gt=now - datetime.timedelta(hours=1)
    )
    if lately.filter(order=order).count() >= MOST_AN_HOUR or lately.count() >= MOST_OF_A_BUSINESS:
        raise SentTooOften
    asked = ReceiptResend.objects.create(
        business_id=order.business_id,
        order=order,
        sent_to=email,
        form_token=form_token,
        asked_by=actor,
        asked_at=now,
    )
    audit.record(
        AuditEntry.Action.RECEIPT_RESENT,
        business_id=order.business_id,
        actor=actor,
        now=now,
        subject=order.number,
    )
    jobs.enqueue(
        jobs.RESEND_RECEIPT,
        business_id=order.business_id,
        resend_id=asked.id,
        dedup_key=f"resend:{asked.id}",
        now=now,
    )
    return asked


def send_again(*, resend_id: int, lease: Lease, now: datetime.datetime) -> None:
    """Send what was asked for once more, unless it was sent or its address erased."""
    asked = ReceiptResend.objects.select_related("order__business").get(id=resend_id)
    if asked.sent_at is None and asked.sent_to:
        receipt = render(order_id=asked.order_id, now=now)
        _mail(
            receipt,
            asked.order.business,
            to=asked.sent_to,
            message_id=f"again-{asked.id}-{asked.order.token}",
        )
    with transaction.atomic(durable=True):
        sent = timezone.now()
        if ReceiptResend.objects.filter(id=asked.id, sent_at=None).exclude(sent_to="").update(sent_at=sent):
            history.record(
                history.RECEIPT_SENT,
                business_id=asked.business_id,
                cart_reference=asked.order.cart_reference,
                payment=None,
                actor=asked.asked_by,
                now=sent,
                data={"again": True},
            )
        jobs.complete(lease, now=sent)


# --- refunds ----------------------------------------------------------------------------------------------


def queue_refund_receipt(refund: Refund, *, now: datetime.datetime) -> None:
    """Queue the receipt of a refund that succeeded, in the transaction of that."""
    jobs.enqueue(
        jobs.SEND_REFUND_RECEIPT,
        business_id=refund.business_id,
        refund_id=refund.id,
        dedup_key=f"refund receipt:{refund.id}",
        now=now,
    )


@transaction.atomic
def render_refund(*, refund_id: int, now: datetime.datetime) -> RefundReceipt | None:
    """Render the receipt of a refund in its customer's language; keep the first. None where there is no order."""
    refund = Refund.objects.select_related("payment__order__business", "payment__order__location").get(
        id=refund_id
    )
    order = refund.payment.order
    existing = RefundReceipt.objects.filter(refund=refund).first()
    if order is None or existing is not None:
        return existing
    with _speaking(order):
        context = {
            **_about(order),
            "refund": refund,
            "amount": money(Money(refund.amount_minor, refund.currency)),
            "total": money(Money(order.total_minor, order.currency)),
            "lasts_days": refund.destination == Refund.Destination.METHOD
            and refund.payment.account_id is not None,
        }
        facts = {
            "language": order.language,
            "subject": _("Refund for receipt %(number)s from %(business)s")
            % {"number": order.number, "business": order.business.name},
            "html": render_to_string("receipts/refund.html", context),
            "text": render_to_string("receipts/refund.txt", context),
            "rendered_at": now,
            "sent_to": order.customer_email,
        }
    made, _is_new = RefundReceipt.objects.get_or_create(refund=refund, defaults=facts)
    return made


def send_refund(*, refund_id: int, lease: Lease) -> None:
    """Send the receipt of a refund if there is an address and it was not sent; note it, and end the job."""
    receipt = (
        RefundReceipt.objects.select_related("refund__payment__order__business")
        .filter(refund_id=refund_id)
        .first()
    )
    if receipt is None or not receipt.sent_to or receipt.sent_at is not None:
        jobs.complete(lease, now=timezone.now())
        return
    order = receipt.refund.payment.order
    assert order is not None
    _mail(receipt, order.business, to=receipt.sent_to, message_id=f"refund-{receipt.refund.public_id}")
    with transaction.atomic(durable=True):
        now = timezone.now()
        if RefundReceipt.objects.filter(id=receipt.id, sent_at=None).update(sent_at=now):
            history.record(
                history.RECEIPT_SENT,
                business_id=order.business_id,
                cart_reference=order.cart_reference,
                payment=None,
                actor=history.WORKER,
                now=now,
                data={"refund": str(receipt.refund.public_id)},
            )
        jobs.complete(lease, now=now)
