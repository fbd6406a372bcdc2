"""Every state machine of the ledger: an edge per line with its cause, and the one function that moves a row.

The database holds the same tables in triggers (migration `guards`); a test keeps the two equal.
A final state is left only by the edges that money forces on us, and those say so.
"""

from __future__ import annotations

import datetime
from typing import Protocol

from django.db import models
from django.utils.translation import gettext_lazy as _


class PaymentState(models.TextChoices):
    REQUESTED = "requested", _("Requested")  # our row is written; Stripe has not answered yet
    UNKNOWN = "unknown", _("Checking")  # Stripe was asked and did not answer: asked again with the same key
    AWAITING = "awaiting", _("Waiting for the customer")
    DECLINED = "declined", _("Declined")  # the customer may try another card on the same payment
    PROCESSING = "processing", _("Processing")
    AUTHORISED = "authorised", _("Authorised")  # held on the card, to be captured
    RESERVED = "reserved", _("Set aside")  # of the customer's stored money or credits; spent with the order
    CANCELLING = "cancelling", _("Cancelling")  # asked for; certain only once Stripe says so
    SUCCEEDED = "succeeded", _("Paid")
    HELD = "held", _("Held")  # money came in that fits no order; a person decides
    CANCELLED = "cancelled", _("Cancelled")
    FAILED = "failed", _("Failed")  # never came to be at Stripe; no money can move


class CartState(models.TextChoices):
    OPEN = "open", _("Open")
    FROZEN = "frozen", _("Being paid")


class RefundState(models.TextChoices):
    REQUESTED = "requested", _("Requested")
    SUBMITTING = "submitting", _("Being sent")
    UNKNOWN = "unknown", _("Checking")  # Stripe was asked and did not answer: asked again with the same key
    PENDING = "pending", _("Pending")  # Stripe has it; the bank is working on it
    SUCCEEDED = "succeeded", _("Refunded")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


class CardSetupState(models.TextChoices):
    REQUESTED = "requested", _("Requested")
    AWAITING = "awaiting", _("Waiting for the card")  # a declined card may be followed by another one
    SUCCEEDED = "succeeded", _("Saved")
    FAILED = "failed", _("Not saved")


class AttemptState(models.TextChoices):
    SENT = "sent", _("Sent")
    UNKNOWN = "unknown", _("Unknown")
    SUCCEEDED = "succeeded", _("Succeeded")
    REFUSED = "refused", _("Refused")


class ActionState(models.TextChoices):
    """How far a payment is on a reader. Whether money moved is the payment's to say."""

    QUEUED = "queued", _("Waiting for the reader")  # others are before it
    SENDING = "sending", _("Being sent to the reader")  # its turn: the reader is its own from here on
    WAITING = "waiting", _("Present card")
    PROCESSING = "processing", _("Processing")
    CHECKING = "checking", _("Checking")  # the reader said something that is not certain: both are read
    CANCELLING = "cancelling", _("Cancelling")  # asked for; certain only once the intent says so
    SUCCEEDED = "succeeded", _("Approved")
    FAILED = "failed", _("Not paid")  # the payment may be tried again on a reader
    CANCELLED = "cancelled", _("Cancelled")


P, C, R, A, L = PaymentState, CartState, RefundState, AttemptState, ActionState
K = CardSetupState

PAYMENT_EDGES: dict[tuple[str, str], str] = {
    (P.REQUESTED, P.UNKNOWN): "creating it at Stripe got no certain answer",
    (P.REQUESTED, P.AWAITING): "Stripe made the intent",
    (P.REQUESTED, P.FAILED): "Stripe refused to make the intent",
    (P.REQUESTED, P.CANCELLING): "somebody asked to cancel",
    (P.REQUESTED, P.DECLINED): "its first news is a decline",
    (P.REQUESTED, P.PROCESSING): "its first news is processing",
    (P.REQUESTED, P.AUTHORISED): "its first news is an authorisation",
    (P.REQUESTED, P.SUCCEEDED): "its first news is success",
    (P.REQUESTED, P.CANCELLED): "its first news is a cancellation",
    (P.REQUESTED, P.HELD): "its first news is a success that fits no order",
    (P.UNKNOWN, P.AWAITING): "asked again, Stripe made or found the intent",
    (P.UNKNOWN, P.FAILED): "asked again, Stripe refused, and no intent exists",
    (P.UNKNOWN, P.CANCELLING): "somebody asked to cancel",
    (P.UNKNOWN, P.DECLINED): "an event showed a decline",
    (P.UNKNOWN, P.PROCESSING): "an event showed processing",
    (P.UNKNOWN, P.AUTHORISED): "an event showed an authorisation",
    (P.UNKNOWN, P.SUCCEEDED): "an event showed success",
    (P.UNKNOWN, P.CANCELLED): "an event showed a cancellation",
    (P.UNKNOWN, P.HELD): "an event showed a success that fits no order",
    (P.AWAITING, P.DECLINED): "the card was declined",
    (P.AWAITING, P.PROCESSING): "the bank is working on it",
    (P.AWAITING, P.AUTHORISED): "the card is authorised",
    (P.AWAITING, P.SUCCEEDED): "the customer paid",
    (P.AWAITING, P.CANCELLING): "somebody asked to cancel",
    (P.AWAITING, P.CANCELLED): "Stripe cancelled the intent",
    (P.AWAITING, P.HELD): "paid, and it fits no order",
    (P.DECLINED, P.AWAITING): "the customer tries another card",
    (P.DECLINED, P.PROCESSING): "the bank is working on another card",
    (P.DECLINED, P.AUTHORISED): "another card is authorised",
    (P.DECLINED, P.SUCCEEDED): "the customer paid with another card",
    (P.DECLINED, P.CANCELLING): "somebody asked to cancel",
    (P.DECLINED, P.CANCELLED): "Stripe cancelled the intent",
    (P.DECLINED, P.HELD): "paid with another card, and it fits no order",
    (P.PROCESSING, P.AWAITING): "the bank wants the customer to confirm",
    (P.PROCESSING, P.DECLINED): "the bank declined",
    (P.PROCESSING, P.AUTHORISED): "the card is authorised",
    (P.PROCESSING, P.SUCCEEDED): "the bank paid",
    (P.PROCESSING, P.CANCELLING): "somebody asked to cancel",
    (P.PROCESSING, P.CANCELLED): "Stripe cancelled the intent",
    (P.PROCESSING, P.HELD): "the bank paid, and it fits no order",
    (P.AUTHORISED, P.SUCCEEDED): "captured",
    (P.AUTHORISED, P.CANCELLING): "somebody asked to cancel",
    (P.AUTHORISED, P.CANCELLED): "the authorisation was cancelled or ran out",
    (P.AUTHORISED, P.HELD): "captured, and it fits no order",
    (P.CANCELLING, P.CANCELLED): "Stripe cancelled the intent, or it never came to be",
    (P.CANCELLING, P.SUCCEEDED): "the customer paid before the cancellation",
    (P.CANCELLING, P.HELD): "the customer paid before the cancellation, and it fits no order",
    (P.CANCELLING, P.FAILED): "Stripe had refused to make the intent",
    (P.CANCELLED, P.SUCCEEDED): "money came in all the same, and the cart still fits",
    (P.CANCELLED, P.HELD): "money came in all the same",
    (P.FAILED, P.SUCCEEDED): "money came in all the same, and the cart still fits",
    (P.FAILED, P.HELD): "money came in all the same",
    (P.RESERVED, P.SUCCEEDED): "the rest was paid: what was set aside is spent",
    (P.RESERVED, P.CANCELLED): "the sale did not come about, or a person undid it: given back",
    (P.HELD, P.SUCCEEDED): "a person attached it to its order",
}

CART_EDGES: dict[tuple[str, str], str] = {
    (C.OPEN, C.FROZEN): "a payment was asked for: what is paid must not change",
    (C.FROZEN, C.OPEN): "every payment ended without money",
}

REFUND_EDGES: dict[tuple[str, str], str] = {
    (R.REQUESTED, R.SUBMITTING): "a worker took it",
    (R.REQUESTED, R.CANCELLED): "withdrawn before it was sent",
    (R.REQUESTED, R.SUCCEEDED): "paid out by hand",
    (R.SUBMITTING, R.UNKNOWN): "sending it got no certain answer",
    (R.SUBMITTING, R.PENDING): "Stripe has it",
    (R.SUBMITTING, R.SUCCEEDED): "Stripe paid it back",
    (R.SUBMITTING, R.FAILED): "Stripe refused it, or nothing came of it on the reader",
    (R.SUBMITTING, R.CANCELLED): "Stripe cancelled it, or it was taken off the reader",
    (R.UNKNOWN, R.PENDING): "Stripe had taken it",
    (R.UNKNOWN, R.SUCCEEDED): "Stripe had paid it back",
    (R.UNKNOWN, R.FAILED): "asked again, Stripe refused it",
    (R.UNKNOWN, R.CANCELLED): "Stripe had cancelled it",
    (R.PENDING, R.SUCCEEDED): "Stripe paid it back",
    (R.PENDING, R.FAILED): "the bank sent it back",
    (R.PENDING, R.CANCELLED): "Stripe cancelled it",
    (R.SUCCEEDED, R.FAILED): "the bank sent it back after all",
}

ATTEMPT_EDGES: dict[tuple[str, str], str] = {
    (A.SENT, A.UNKNOWN): "no certain answer came",
    (A.SENT, A.SUCCEEDED): "Stripe did it",
    (A.SENT, A.REFUSED): "Stripe refused",
    (A.UNKNOWN, A.SUCCEEDED): "Stripe had done it",
    (A.UNKNOWN, A.REFUSED): "Stripe had refused, or a look shows that it never happened",
}

ACTION_EDGES: dict[tuple[str, str], str] = {
    (L.QUEUED, L.SENDING): "its turn came",
    (L.QUEUED, L.CANCELLED): "it left the queue before its turn",
    (L.QUEUED, L.SUCCEEDED): "its payment was paid before its turn",
    (L.QUEUED, L.FAILED): "its payment ended before its turn",
    (L.SENDING, L.WAITING): "the reader shows it",
    (L.SENDING, L.PROCESSING): "the card was presented at once",
    (L.SENDING, L.CHECKING): "sending it got no certain answer",
    (L.SENDING, L.CANCELLING): "somebody asked to cancel, or its time ran out",
    (L.SENDING, L.SUCCEEDED): "the payment is paid",
    (L.SENDING, L.FAILED): "the reader refused it, or cannot be reached",
    (L.SENDING, L.CANCELLED): "its payment was cancelled before the reader had it",
    (L.WAITING, L.PROCESSING): "a card was presented",
    (L.WAITING, L.CHECKING): "the reader no longer shows it",
    (L.WAITING, L.CANCELLING): "somebody asked to cancel, or its time ran out",
    (L.WAITING, L.SUCCEEDED): "the payment is paid",
    (L.WAITING, L.FAILED): "the reader ended it without money, and the intent says so too",
    (L.PROCESSING, L.WAITING): "the reader asks for a card again",
    (L.PROCESSING, L.CHECKING): "the reader no longer shows it",
    (L.PROCESSING, L.CANCELLING): "somebody asked to cancel, or its time ran out",
    (L.PROCESSING, L.SUCCEEDED): "the payment is paid",
    (L.PROCESSING, L.FAILED): "the reader ended it without money, and the intent says so too",
    (L.CHECKING, L.SENDING): "the reader never had it, and the intent is open: sent again",
    (L.CHECKING, L.WAITING): "the reader shows it",
    (L.CHECKING, L.PROCESSING): "a card was presented",
    (L.CHECKING, L.CANCELLING): "somebody asked to cancel, or its time ran out",
    (L.CHECKING, L.SUCCEEDED): "the payment is paid",
    (L.CHECKING, L.FAILED): "it ended without money, and the intent says so too",
    (L.CANCELLING, L.CANCELLED): "the payment is cancelled, or was taken off the reader",
    (L.CANCELLING, L.SUCCEEDED): "the customer paid before the cancellation",
    (L.CANCELLING, L.FAILED): "its time ran out without money, and the intent says so too",
}

CARD_SETUP_EDGES: dict[tuple[str, str], str] = {
    (K.REQUESTED, K.AWAITING): "Stripe made the setup intent",
    (K.REQUESTED, K.FAILED): "Stripe refused to make it",
    (K.REQUESTED, K.SUCCEEDED): "its first news is success",
    (K.AWAITING, K.SUCCEEDED): "the bank agreed",
    (K.AWAITING, K.FAILED): "it was cancelled at Stripe",
}

LIVE = frozenset({P.REQUESTED, P.UNKNOWN, P.AWAITING, P.DECLINED, P.PROCESSING, P.AUTHORISED, P.CANCELLING})
# Neither the customer nor the desk is waited for: a payment that stays here for long is stuck.
OURS_TO_MOVE = frozenset({P.REQUESTED, P.UNKNOWN, P.PROCESSING, P.CANCELLING})
FINAL = frozenset({P.SUCCEEDED, P.HELD, P.CANCELLED, P.FAILED})
# RESERVED is neither: nothing happens to it by itself, it ends with its sale.
# States in which the payment counts against its cart's total (DESIGN's "one total").
COMMITTED = LIVE | {P.RESERVED, P.SUCCEEDED}
CANCELLABLE = LIVE - {P.CANCELLING}
ACTIVE_ACTION = frozenset({L.SENDING, L.WAITING, L.PROCESSING, L.CHECKING, L.CANCELLING})
FINAL_ACTION = frozenset({L.SUCCEEDED, L.FAILED, L.CANCELLED})
# States in which a saved card is still to be charged, or its decline to be dealt with.
CHARGEABLE = frozenset({P.REQUESTED, P.UNKNOWN, P.AWAITING, P.DECLINED})
OPEN_ATTEMPT = frozenset({A.SENT, A.UNKNOWN})
# A refund that Stripe has not certainly taken: another one of the same payment has to wait for it.
REFUND_UNDER_WAY = frozenset({R.REQUESTED, R.SUBMITTING, R.UNKNOWN})
REFUND_OPEN = REFUND_UNDER_WAY | {R.PENDING}
REFUND_WITHOUT_MONEY = frozenset({R.FAILED, R.CANCELLED})  # what it had reserved is given back

EDGES = {
    "payment": PAYMENT_EDGES,
    "cart": CART_EDGES,
    "refund": REFUND_EDGES,
    "attempt": ATTEMPT_EDGES,
    "readeraction": ACTION_EDGES,
    "cardsetup": CARD_SETUP_EDGES,
}


class ForbiddenTransition(Exception):
    """A row was asked to go where its machine has no edge. Nothing was changed; this is a defect of ours."""


class Stateful(Protocol):
    """A row with a state, the name of its machine, and the time of its last change."""

    MACHINE: str
    state: str
    state_changed_at: datetime.datetime


def transition(row: Stateful, to: str, *, now: datetime.datetime) -> str:
    """Move the row along an edge and return the edge's cause; the caller saves it with its history row."""
    cause = EDGES[row.MACHINE].get((row.state, to))
    if cause is None:
        raise ForbiddenTransition(f"{row.MACHINE}: {row.state} -> {to}")
    row.state, row.state_changed_at = to, now
    return cause
