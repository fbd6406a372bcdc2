"""Which of Stripe's events an endpoint is to be told of: each says something that no other of them says.

`payment_intent.created` and `charge.updated` are not among them: the first comes of our own call, whose answer says
more, the second repeats what is known. They are read like all others where an endpoint is told of everything, and
cost an INSERT, a lock and an UPDATE for each sale. The sweep that reads Stripe's own list leaves out those two alone.
"""

from __future__ import annotations

FOLLOWED = (
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.updated",
    "charge.failed",  # which card was declined
    "charge.refund.updated",  # a refund that fails later, from accounts whose version is older than refund.failed
    "charge.refunded",
    "charge.succeeded",  # brings the card's brand and last digits, which the intent's event does not
    "payment_intent.amount_capturable_updated",
    "payment_intent.canceled",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.requires_action",  # another card after a declined one
    "payment_intent.succeeded",
    "payout.canceled",
    "payout.created",
    "payout.failed",
    "payout.paid",
    "payout.reconciliation_completed",
    "payout.updated",
    "refund.created",
    "refund.failed",
    "refund.updated",
    "setup_intent.canceled",
    "setup_intent.setup_failed",
    "setup_intent.succeeded",
    "terminal.reader.action_failed",
    "terminal.reader.action_succeeded",
)
SAY_NOTHING_NEW = frozenset({"payment_intent.created", "charge.updated"})
