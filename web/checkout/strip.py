"""The till's reader strip: how far a payment on a card reader is, who is before it, and what can be done now."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from web.checkout.reader_words import words_for_action
from web.checkout.words import Words
from web.core.models import Business
from web.payments.models import Payment, ReaderAction
from web.payments.queries import readers
from web.payments.queries.readers import FollowedAction, ReaderStatus
from web.payments.queries.sales import Sale
from web.payments.states import ActionState, PaymentState

QUEUED, SENT, CARD, PROCESSING, APPROVED = range(5)
LABELS: tuple[Promise, ...] = (
    _("Queued"),
    _("Sent to reader"),
    _("Present card"),
    _("Processing"),
    _("Approved"),
)
_REACHED: dict[str, int] = {
    ActionState.QUEUED: QUEUED,
    ActionState.SENDING: SENT,
    ActionState.WAITING: CARD,
    ActionState.PROCESSING: PROCESSING,
    ActionState.CHECKING: PROCESSING,
    ActionState.SUCCEEDED: APPROVED,
}
_KINDS: dict[str, str] = {
    ActionState.SUCCEEDED: "ok",
    ActionState.FAILED: "failed",
    ActionState.CHECKING: "unknown",
    ActionState.CANCELLED: "",
}
_TRY_ANOTHER = _("The customer was not charged. Try another card, or take the payment in another way.")
# What staff may say aloud of a decline; never "lost" or "stolen": that is the bank's to say.
_DECLINES: dict[str, Promise] = {
    "insufficient_funds": _("Declined: there is not enough money on the card."),
    "expired_card": _("Declined: the card has expired."),
    "incorrect_pin": _("Declined: the PIN was not right."),
    "pin_try_exceeded": _("Declined: the PIN was wrong too often."),
    "card_velocity_exceeded": _("Declined: the card's limit is reached."),
    "withdrawal_count_limit_exceeded": _("Declined: the card's limit is reached."),
    "call_issuer": _("Declined: the bank wants the customer to call."),
}
_DECLINED = _("Declined by the bank.")
_TAKEN = (PaymentState.SUCCEEDED, PaymentState.AUTHORISED)


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the strip: done, current, failed, or still to come ("")."""

    label: str | Promise
    state: str


@dataclass(frozen=True, slots=True)
class Strip:
    """What the strip shows of one payment."""

    followed: FollowedAction
    words: Words
    readers: list[ReaderStatus]  # of this place, that it could be shown on

    @property
    def action(self) -> ReaderAction:
        return self.followed.action

    @property
    def payment(self) -> Payment:
        return self.followed.payment

    @property
    def kind(self) -> str:
        """Return the badge's kind: only a settled payment is "ok"."""
        if self.action.state == ActionState.SUCCEEDED and self.payment.state not in _TAKEN:
            return "unknown"
        return _KINDS.get(self.action.state, "waiting")

    @property
    def steps(self) -> list[Step]:
        state = self.action.state
        if state in _REACHED:
            reached = _REACHED[state]
            is_done = state == ActionState.SUCCEEDED and self.payment.state in _TAKEN
            if state == ActionState.SUCCEEDED and not is_done:
                reached = PROCESSING
            states = ["done"] * reached + ["done" if is_done else "current"]
            return [
                Step(label, there)
                for label, there in zip(LABELS, states + [""] * (len(LABELS) - len(states)), strict=True)
            ]
        reached = QUEUED if self.action.sent_at is None else SENT if self.action.shown_at is None else CARD
        steps = [Step(label, "done") for label in LABELS[:reached]]
        if state == ActionState.CANCELLING:
            return [*steps, Step(LABELS[reached], "done"), Step(_("Cancelling…"), "current")]
        if state == ActionState.CANCELLED:
            return [*steps, Step(_("Cancelled"), "failed")]
        return [*steps, Step(LABELS[reached], "done"), Step(self.ended_as, "failed")]

    @property
    def ended_as(self) -> str | Promise:
        return _("Declined") if self.payment.state == PaymentState.DECLINED else _("Not paid")

    @property
    def since(self) -> datetime.datetime:
        """Return from when the elapsed time counts."""
        return self.action.queued_at

    @property
    def is_ended(self) -> bool:
        return self.action.is_final

    @property
    def is_cancelling(self) -> bool:
        return self.payment.state == PaymentState.CANCELLING or self.action.state == ActionState.CANCELLING

    @property
    def may_cancel(self) -> bool:
        return not self.is_cancelling and not self.payment.is_final

    @property
    def may_try_again(self) -> bool:
        return self.followed.may_try_again and self.payment.state in (
            PaymentState.REQUESTED,
            PaymentState.UNKNOWN,
            PaymentState.AWAITING,
            PaymentState.DECLINED,
        )

    @property
    def may_capture(self) -> bool:
        return self.payment.state == PaymentState.AUTHORISED

    @property
    def other_readers(self) -> list[ReaderStatus]:
        return [one for one in self.readers if one.reader.id != self.action.reader_id]

    @property
    def may_hand_over(self) -> bool:
        return bool(self.other_readers) and not self.is_ended and not self.is_cancelling


def strip_of(business: Business, sale: Sale) -> Strip | None:
    """Return the strip of the sale's payment on a reader, or None where it has none."""
    followed = readers.action_of_cart(business, sale.cart.token)
    if followed is None:
        return None
    words = _words(followed)
    places = usable(business, sale)
    return Strip(followed, words, places)


def _words(followed: FollowedAction) -> Words:
    """Say how far it is, to staff: a decline is told of the customer, not to them."""
    action, payment = followed.action, followed.payment
    if action.state == ActionState.FAILED and payment.state == PaymentState.DECLINED:
        code = payment.decline_code or action.api_error
        return Words(_DECLINES.get(code, _DECLINED), _TRY_ANOTHER, money_moved=False)
    return words_for_action(action, payment)


def usable(business: Business, sale: Sale) -> list[ReaderStatus]:
    """Return the readers of the sale's place that can take payments; whether they seem online does not matter."""
    return [
        status
        for status in readers.readers(business, location=sale.cart.location)
        if status.reader.state == status.reader.State.READY
    ]


def nearest(statuses: list[ReaderStatus], remembered: str) -> str:
    """Return the reader to offer first: the one charged on last here, else one that is free, else the first."""
    ids = {str(status.reader.public_id): status for status in statuses}
    if remembered in ids or not ids:
        return remembered if ids else ""
    free = (name for name, one in ids.items() if one.is_free and one.reader.is_online is not False)
    return next(free, next(iter(ids)))
