"""Stripe's facts in our own terms, so that the ledger need not know Stripe. `tasks` builds them."""

from __future__ import annotations

import datetime
import enum
import uuid
from dataclasses import dataclass
from typing import Generic, TypeVar

from web.payments.money import Money
from web.payments.states import PaymentState, RefundState

S = TypeVar("S")  # the snapshot of what was written: an intent, a refund


class Source(enum.Enum):
    """Where a snapshot comes from: an event may be old news, a read or an answer is not."""

    ANSWER = "answer"
    READ = "read"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class IntentSnapshot:
    """A payment intent as it was at one moment.

    `state` is the payment state that it stands for (never one of our own: requested, unknown, cancelling,
    held, failed). `amount` is None where Stripe reported a currency or number that we cannot hold.
    """

    intent_id: str
    state: PaymentState
    amount: Money | None
    amount_received: Money | None
    source: Source
    occurred_at: datetime.datetime | None  # Stripe's clock; a read may not know it, and is never old
    payment_public_id: str = ""  # what we put into the metadata
    charge_id: str = ""
    card_brand: str = ""
    card_last4: str = ""
    decline_code: str = ""
    failure_code: str = ""
    client_secret: str = ""  # only in what was answered to us
    tip: Money | None = None  # what the customer added on a reader: part of `amount`
    capture_before: datetime.datetime | None = (
        None  # when an authorisation runs out, where the charge says so
    )

    def __repr__(self) -> str:  # never the client secret
        return f"IntentSnapshot({self.intent_id}, {self.state}, {self.amount}, {self.source.value})"


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a charge's event tells and an intent's does not: which card it was."""

    intent_id: str
    payment_public_id: str
    charge_id: str
    card_brand: str
    card_last4: str
    is_paid: bool  # a failed charge's card must not replace the one that paid


@dataclass(frozen=True, slots=True)
class RefundSnapshot:
    """A refund at Stripe as it was at one moment. `state` is never one of our own (requested, submitting, unknown)."""

    stripe_refund_id: str
    state: RefundState
    amount: Money | None  # None where Stripe reported a currency or number that we cannot hold
    source: Source
    created_at: datetime.datetime
    intent_id: str = ""
    charge_id: str = ""
    refund_public_id: str = ""  # what we put into the metadata; "" for one that was not made here
    failure_code: str = ""
    reason: str = ""  # Stripe's word


@dataclass(frozen=True, slots=True)
class RefundedSoFar:
    """How much of a charge was given back by all its refunds: a hint that there may be one we do not know."""

    intent_id: str
    payment_public_id: str
    charge_id: str
    amount: Money | None


@dataclass(frozen=True, slots=True)
class DisputeSnapshot:
    """A dispute at Stripe as it was at one moment. `status` and `reason` are Stripe's words."""

    stripe_dispute_id: str
    intent_id: str
    charge_id: str
    amount: Money | None
    status: str
    reason: str
    is_refundable: bool
    occurred_at: datetime.datetime
    opened_at: datetime.datetime
    evidence_due_at: datetime.datetime | None
    is_money_gone: bool
    entries: int  # balance transactions so far
    fee_minor: int
    fee_currency: str


@dataclass(frozen=True, slots=True)
class ReaderSnapshot:
    """A card reader as it was at one moment, and the payment or refund that it shows or showed last."""

    reader_id: str
    is_online: bool | None = None
    last_seen_at: datetime.datetime | None = None
    label: str = ""
    device_type: str = ""
    serial_number: str = ""
    intent_id: str = ""  # of its last action, where that was to take a payment
    refund_public_id: str = ""  # what we put into the metadata, where that was to give money back
    action_status: str = ""  # in_progress, succeeded, failed
    failure_code: str = ""
    api_error: str = ""  # newer readers say which error of the API it was

    @property
    def is_busy(self) -> bool:
        """Say whether somebody's payment is on it."""
        return self.action_status == "in_progress"

    def shows(self, intent_id: str | None) -> bool:
        """Say whether its action is this intent's. What it says of another intent is none of our business."""
        return bool(intent_id) and self.intent_id == intent_id

    def shows_refund(self, public_id: uuid.UUID) -> bool:
        """Say whether its action is this refund's."""
        return self.refund_public_id == str(public_id)


@dataclass(frozen=True, slots=True)
class SetupSnapshot:
    """A setup intent as it was at one moment; the card's facts are there once it has succeeded and was read."""

    setup_intent_id: str
    setup_public_id: str  # what we put into the metadata
    is_succeeded: bool
    is_cancelled: bool
    failure_code: str = ""
    client_secret: str = ""  # only in what was answered to us
    card: SavedCard | None = None

    def __repr__(self) -> str:  # never the client secret
        return f"SetupSnapshot({self.setup_intent_id}, {self.is_succeeded})"


@dataclass(frozen=True, slots=True)
class SavedCard:
    """A card that Stripe keeps for a customer of an account."""

    customer_id: str
    payment_method_id: str
    brand: str
    last4: str
    expires_year: int
    expires_month: int


class Verdict(enum.Enum):
    """What an answer of Stripe says about a write."""

    DONE = "done"
    REFUSED = "refused"  # definite: it was not done, and asking again with the same key changes nothing
    NEVER_HAPPENED = "never_happened"  # definite: a look at Stripe shows that it was not done; take a new key
    NOT_SENT = "not_sent"  # definite: it was not looked at (429, no connection); ask again, same key
    UNKNOWN = "unknown"  # it may have been done; ask again with the same key


@dataclass(frozen=True, slots=True)
class Answer(Generic[S]):
    """What came back for an attempt. Carries nothing secret but the snapshot's client secret."""

    verdict: Verdict
    snapshot: S | None = None
    request_id: str = ""
    http_status: int | None = None
    error_code: str = ""
    decline_code: str = ""
    is_replay: bool = False


@dataclass(frozen=True, slots=True)
class PayoutSnapshot:
    """A payout as it was at one moment."""

    payout_id: str
    status: str  # Stripe's: pending, in_transit, paid, failed, canceled
    amount: Money
    is_automatic: bool
    is_reconcilable: bool  # Stripe says that its lines are complete
    failure_code: str
    created_at: datetime.datetime
    arrives_on: datetime.date


@dataclass(frozen=True, slots=True)
class EntrySnapshot:
    """A balance transaction: it never changes once it is there."""

    entry_id: str
    kind: str
    category: str
    source_id: str
    amount: Money
    fee: Money
    created_at: datetime.datetime
    available_at: datetime.datetime
