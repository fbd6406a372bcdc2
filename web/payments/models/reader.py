"""Card readers, and the durable queue in front of each: a place in it is a ReaderAction."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from web.core.models import Business, Location, Profile
from web.payments.models.payment import Payment
from web.payments.models.refund import Refund
from web.payments.models.settings import StripeAccount
from web.payments.money import Money
from web.payments.states import ACTIVE_ACTION, FINAL_ACTION, ActionState


class StripeLocation(models.Model):
    """A place of ours as Stripe knows it: every reader has to stand in one. Made when its first reader is registered.

    Stripe wants the parts of the address that the place itself keeps as one text.
    """

    account = models.ForeignKey(StripeAccount, on_delete=models.PROTECT, related_name="stripe_locations")
    location = models.ForeignKey(Location, on_delete=models.PROTECT, related_name="stripe_locations")
    stripe_location_id = models.CharField(max_length=64, null=True)  # tml_…; null until Stripe has made it
    line1 = models.CharField(max_length=200)
    city = models.CharField(max_length=100, blank=True)
    region = models.CharField(max_length=100, blank=True)  # a state, a province
    postal_code = models.CharField(max_length=20, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "location"], name="a_place_is_at_stripe_once"),
        ]

    def __str__(self) -> str:
        return self.stripe_location_id or f"address of {self.location_id}"


class Reader(models.Model):
    """A card reader. It belongs to its account for life; one that is removed stays for its history."""

    class State(models.TextChoices):
        REGISTERING = "registering", _("Being registered")
        READY = "ready", _("Ready")
        REFUSED = "refused", _("Refused by Stripe")
        REMOVED = "removed", _("Removed")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="readers")
    account = models.ForeignKey(StripeAccount, on_delete=models.PROTECT, related_name="readers")
    location = models.ForeignKey(Location, on_delete=models.PROTECT, related_name="readers")
    state = models.CharField(max_length=12, choices=State, default=State.REGISTERING)
    label = models.CharField(max_length=100)
    registration_code = models.CharField(
        max_length=80, blank=True
    )  # what the reader showed; erased once used
    stripe_reader_id = models.CharField(max_length=64, null=True)  # tmr_…
    device_type = models.CharField(max_length=40, blank=True)
    serial_number = models.CharField(max_length=60, blank=True)
    # As last seen: a hint for people. Whether a payment is sent never depends on it.
    is_online = models.BooleanField(null=True)
    last_seen_at = models.DateTimeField(null=True)
    read_at = models.DateTimeField(null=True)  # when we last read it at Stripe
    problem = models.CharField(
        max_length=200, blank=True
    )  # why Stripe refused the last request, in our words
    created_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "stripe_reader_id"], name="a_reader_is_known_once"),
            models.CheckConstraint(
                condition=~Q(state="ready") | Q(stripe_reader_id__isnull=False),
                name="a_ready_reader_is_known_to_stripe",
            ),
            models.CheckConstraint(
                condition=Q(state="removed", removed_at__isnull=False)
                | (~Q(state="removed") & Q(removed_at__isnull=True)),
                name="a_removed_reader_says_since_when",
            ),
        ]
        indexes = [models.Index(fields=["business", "location"], name="reader_of_business")]

    def __str__(self) -> str:
        return self.label


class ReaderAction(models.Model):
    """One place in a reader's queue: this payment, shown on this reader once. Never deleted (a trigger refuses).

    A payment that was declined, or was handed to another reader, has several, one after the other; its intent
    stays the same, so that however often it is shown it can be paid only once. A refund for which the card has to
    be there (Interac) has one place, and is named in it.
    """

    MACHINE = "readeraction"

    class Reason(models.TextChoices):
        """Why it is being cancelled."""

        NONE = "", ""
        ASKED = "asked", _("Somebody asked")
        DEADLINE = "deadline", _("Nobody paid in time")
        HANDED_OVER = "handed_over", _("Handed to another reader")
        INTENT_ENDED = "intent_ended", _("The payment was cancelled elsewhere")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="+")
    reader = models.ForeignKey(Reader, on_delete=models.PROTECT, related_name="actions")
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="reader_actions")
    refund = models.ForeignKey(Refund, on_delete=models.PROTECT, null=True, related_name="reader_actions")
    holder = models.ForeignKey(Profile, on_delete=models.SET_NULL, null=True, related_name="+")
    form_token = models.CharField(max_length=64)  # of the form that asked; a repeat finds this action
    asks_for_tip = models.BooleanField(default=False)  # on the reader, before the card

    state = models.CharField(max_length=12, choices=ActionState, default=ActionState.QUEUED)
    state_changed_at = models.DateTimeField()
    queued_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)  # first time that the reader may have got it
    shown_at = models.DateTimeField(null=True)  # first time that the reader certainly had it
    deadline_at = models.DateTimeField(null=True)  # then it is cancelled, and what became of it verified
    next_poll_at = models.DateTimeField(null=True)  # when the reader is looked at if no event comes; a lease
    polls = models.PositiveSmallIntegerField(default=0)
    fence = models.BigIntegerField(default=0)  # grows with every move and look: an older look says nothing
    cancel_reason = models.CharField(max_length=12, choices=Reason, blank=True)
    next_reader = models.ForeignKey(Reader, on_delete=models.PROTECT, null=True, related_name="+")
    failure_code = models.CharField(max_length=60, blank=True)  # Stripe's, or one of operations/lane.py
    api_error = models.CharField(
        max_length=60, blank=True
    )  # the code of the reader's own API error, if it tells
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["reader"],
                condition=Q(state__in=sorted(ACTIVE_ACTION)),
                name="a_reader_has_one_active_action",
            ),
            models.UniqueConstraint(
                fields=["payment"],
                condition=~Q(state__in=sorted(FINAL_ACTION)),
                name="a_payment_has_one_unfinished_action",
            ),
            models.UniqueConstraint(fields=["business", "form_token"], name="a_form_starts_one_action"),
            models.UniqueConstraint(
                fields=["refund"],
                condition=Q(refund__isnull=False),
                name="a_refund_has_one_place_at_a_reader",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=sorted(ACTIVE_ACTION))
                | Q(deadline_at__isnull=False, next_poll_at__isnull=False),
                name="an_active_action_has_a_deadline_and_a_next_look",
            ),
            models.CheckConstraint(
                condition=Q(
                    state__in=sorted(FINAL_ACTION), finished_at__isnull=False, next_poll_at__isnull=True
                )
                | (~Q(state__in=sorted(FINAL_ACTION)) & Q(finished_at__isnull=True)),
                name="a_finished_action_is_looked_at_no_more",
            ),
            models.CheckConstraint(
                condition=~Q(state="failed") | ~Q(failure_code=""), name="a_failed_action_says_why"
            ),
        ]
        indexes = [
            models.Index(
                fields=["reader", "queued_at", "id"], condition=Q(state="queued"), name="action_queued"
            ),
            models.Index(
                fields=["next_poll_at"], condition=Q(next_poll_at__isnull=False), name="action_due_for_a_look"
            ),
            models.Index(fields=["payment", "id"], name="action_of_payment"),
        ]

    def __str__(self) -> str:
        return str(self.public_id)

    @property
    def amount(self) -> Money:
        """Return what the reader shows: what is to be paid, or what is given back."""
        if self.refund is not None:
            return self.refund.amount
        return Money(self.payment.amount_minor, self.payment.currency)

    @property
    def is_final(self) -> bool:
        return self.state in FINAL_ACTION

    @property
    def is_active(self) -> bool:
        """Say whether the reader is (or may be) showing it."""
        return self.state in ACTIVE_ACTION


class ConnectionToken(models.Model):
    """A token with which a reader SDK may connect, asked for by a member of staff; its secret is given out once."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="+")
    account = models.ForeignKey(StripeAccount, on_delete=models.PROTECT, related_name="+")
    location = models.ForeignKey(Location, on_delete=models.PROTECT, null=True, related_name="+")
    asked_by = models.ForeignKey(Profile, on_delete=models.SET_NULL, null=True, related_name="+")
    secret_sealed = models.TextField(blank=True)  # erased when it is given out
    problem = models.CharField(max_length=60, blank=True)  # Stripe's code, where it refused
    created_at = models.DateTimeField()
    taken_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(taken_at__isnull=True) | Q(secret_sealed=""),
                name="a_connection_token_is_given_out_once",
            ),
        ]
        indexes = [
            models.Index(fields=["created_at"], condition=~Q(secret_sealed=""), name="token_to_forget"),
        ]

    def __str__(self) -> str:
        return str(self.public_id)
