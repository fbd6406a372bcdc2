"""Receipts: rendered once, kept, sent. Their failure never touches the payment."""

from __future__ import annotations

from django.utils import timezone

from web.payments.jobs import Lease
from web.payments.operations import receipts


def send_receipt(*, order_id: int, lease: Lease) -> None:
    """Render and keep the order's receipt, and send it where there is an address."""
    receipts.render(order_id=order_id, now=timezone.now())
    receipts.send(order_id=order_id, lease=lease)


def resend_receipt(*, resend_id: int, lease: Lease) -> None:
    """Send a receipt again that somebody asked for."""
    receipts.send_again(resend_id=resend_id, lease=lease, now=timezone.now())


def send_refund_receipt(*, refund_id: int, lease: Lease) -> None:
    """Render and keep the receipt of a refund, and send it where there is an address."""
    receipts.render_refund(refund_id=refund_id, now=timezone.now())
    receipts.send_refund(refund_id=refund_id, lease=lease)
