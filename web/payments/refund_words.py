"""What a refund's place at a card reader means to who stands there, and what to do next."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from web.payments.operations import lane
from web.payments.states import ActionState

NOTHING_GIVEN = _("Nothing was given back. Ask again, or give the money back in another way.")
DO_NOT_REPEAT = _("Do not give the money back in another way: we are checking.")

AT_READER: dict[str, tuple[str | Promise, str | Promise]] = {
    ActionState.QUEUED: (_("The refund waits for the reader."), _("Its turn comes by itself.")),
    ActionState.SENDING: (_("Sending the refund to the reader…"), _("Please wait a moment.")),
    ActionState.WAITING: (
        _("Present the card that paid."),
        _("The reader gives the money back to this card only."),
    ),
    ActionState.PROCESSING: (_("Processing…"), DO_NOT_REPEAT),
    ActionState.CHECKING: (_("Checking what the reader did."), DO_NOT_REPEAT),
    ActionState.CANCELLING: (
        _("Cancelling…"),
        _("Wait until it is certain. A reader that is off the net has to be back first."),
    ),
    ActionState.SUCCEEDED: (_("Given back to the card."), _("The refund receipt is on its way.")),
    ActionState.CANCELLED: (_("The refund was cancelled."), NOTHING_GIVEN),
}
# Why nothing came of it on the reader; the other codes of refunds are in templatetags/refunds.py.
FAILURES: dict[str, str | Promise] = {
    lane.TIMED_OUT: _("Nobody presented the card in time."),
    lane.REPLACED: _("Another program took the reader."),
    lane.DROPPED: _("The reader does not show it any more: it was cleared or restarted."),
    "card_declined": _("Not this card: it is not the one that paid, or its bank refuses."),
    "customer_canceled": _("The customer cancelled on the reader."),
    "connection_error": _("The reader lost its connection."),
    "terminal_reader_offline": _("The reader is not connected."),
}
FAILED = _("The reader could not give the money back.")


def at_reader(state: str, failure_code: str = "") -> tuple[str | Promise, str | Promise]:
    """Say how far a refund at a reader is, and what to do next."""
    if state == ActionState.FAILED:
        return FAILURES.get(failure_code, FAILED), NOTHING_GIVEN
    return AT_READER[state]
