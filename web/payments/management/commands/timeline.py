"""`manage.py timeline`: the whole history of sales, as lines that a person can read or paste into a support case."""

from __future__ import annotations

import uuid
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from web.core.models import Business
from web.payments.models import Order, Payment, PaymentEvent
from web.payments.queries import purchases


class Command(BaseCommand):
    help = "Print the timeline of sales, found by a payment's id, an intent's (pi_…) or an order's number."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("ids", nargs="+")

    def handle(self, *args: Any, **options: Any) -> None:
        for text in options["ids"]:
            business, reference, title = _find(text)
            self.stdout.write(title)
            start = None
            for entry in purchases.timeline(business, reference):
                start = start or entry.event.at
                after = (entry.event.at - start).total_seconds()
                self.stdout.write(f"  {entry.event.at:%H:%M:%S.%f} {after:+8.3f} s  {_line(entry.event)}")


def _find(text: str) -> tuple[Business, uuid.UUID, str]:
    """Return the sale's business, reference and a title; raise CommandError where there is nothing of that id."""
    payments = Payment.objects.select_related("order", "business")
    payment = payments.filter(intent_id=text).first()
    if payment is None and _is_uuid(text):
        payment = payments.filter(public_id=text).first()
    if payment is not None:
        order = f", order {payment.order.number}" if payment.order else ""
        title = (
            f"payment {payment.public_id} {payment.intent_id or 'without an intent'} ({payment.state}{order})"
        )
        return payment.business, payment.cart_reference, title
    sold = Order.objects.select_related("business").filter(number=text.upper()).first()
    if sold is None:
        raise CommandError(f"There is no payment or order {text}.")
    return sold.business, sold.cart_reference, f"order {sold.number}"


def _line(event: PaymentEvent) -> str:
    source = f" (by {event.data['source']})" if "source" in event.data else ""
    moved = f"{event.from_state} -> {event.to_state}: {event.cause}{source}" if event.from_state else ""
    facts = " ".join(
        f"{name}={value}" for name, value in event.data.items() if value not in ("", None, False)
    )
    return f"{event.kind:<18} {event.actor:<9} {moved or facts}"


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
