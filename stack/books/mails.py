"""The mails that were really written, against the receipts."""

from __future__ import annotations

import email
import email.policy
import hashlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import psycopg

from stack.books.record import Discrepancy, Row


def mails(connection: psycopg.Connection[Row], folder: Path) -> list[Discrepancy]:
    """Hold the mails that were really written against the receipts.

    A worker that dies between sending and noting sends again: the copy must be the same to the letter, under
    the same Message-ID, by which mail programs show both as one.
    """
    found = []
    sent: dict[str, set[str]] = defaultdict(set)
    for message in _messages(folder.glob("*.log")):
        name = str(message["Message-ID"] or "")
        if name.startswith(("<receipt-", "<refund-")):
            body = message.get_body(("plain",))
            text = body.get_content() if body is not None else ""
            content = f"{message['To']} {message['Subject']} {text}"
            sent[name].add(hashlib.sha256(content.encode()).hexdigest())
    receipts = connection.execute(
        b"SELECT format('order %s', number) AS about, format('<receipt-%s@paydesk>', cart_reference) AS name"
        b" FROM payments_receipt JOIN payments_order AS orders ON orders.id = order_id WHERE sent_to <> ''"
        b" UNION ALL SELECT format('refund %s', refund.id), format('<refund-%s@paydesk>', public_id)"
        b" FROM payments_refundreceipt JOIN payments_refund AS refund ON refund.id = refund_id WHERE sent_to <> ''"
    ).fetchall()
    for row in receipts:
        copies = sent.pop(row["name"], set())
        if not copies:
            found.append(Discrepancy("a_receipt_was_never_mailed", row["about"]))
        elif len(copies) > 1:
            found.append(Discrepancy("two_different_receipts_were_mailed", row["about"]))
    found += [Discrepancy("a_receipt_was_mailed_for_no_order", name) for name in sent]
    return found


def _messages(files: Iterable[Path]) -> Iterable[email.message.EmailMessage]:
    for path in files:
        for part in path.read_bytes().split(b"-" * 79 + b"\n"):  # Django's file backend ends each mail so
            if part.strip():
                yield email.message_from_bytes(part, policy=email.policy.default)
