"""What is kept so that nothing goes unnoticed: how far Stripe's books were read, where they differ, who works."""

from __future__ import annotations

import datetime

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from web.core.models import Business
from web.payments.models.base import currency_field, is_lower_case_currency, minor_field
from web.payments.models.payment import Payment
from web.payments.models.settings import StripeAccount


class EventCursor(models.Model):
    """How far Stripe's list of an account's events has been read into the inbox.

    The list goes back in time. A pass reads from `window_to` back to `through_at` (and a little beyond); only
    when it is complete, `through_at` moves. `resume_after` is where a pass that was cut short goes on.
    """

    account = models.OneToOneField(StripeAccount, on_delete=models.PROTECT, related_name="event_cursor")
    through_at = models.DateTimeField()
    window_to = models.DateTimeField(null=True)
    resume_after = models.CharField(max_length=64, blank=True)
    due_at = models.DateTimeField()
    problem = models.CharField(max_length=60, blank=True)  # Stripe's code, where it refuses us the list

    class Meta:
        indexes = [models.Index(fields=["due_at"], name="event_cursor_due")]

    def __str__(self) -> str:
        return f"events of {self.account_id} through {self.through_at}"

    def rewind(self, to: datetime.datetime) -> None:
        """Read from `to` on again, and forget where a pass was cut short. Not saved here."""
        self.through_at, self.window_to, self.resume_after = to, None, ""


class DriftCursor(models.Model):
    """How far an account's books at Stripe have been compared with ours."""

    account = models.OneToOneField(StripeAccount, on_delete=models.PROTECT, related_name="drift_cursor")
    through_at = models.DateTimeField()
    slice_seconds = models.PositiveIntegerField(
        default=86_400
    )  # halved where a slice holds too much for one run
    due_at = models.DateTimeField()
    problem = models.CharField(max_length=60, blank=True)

    class Meta:
        indexes = [models.Index(fields=["due_at"], name="drift_cursor_due")]

    def __str__(self) -> str:
        return f"books of {self.account_id} through {self.through_at}"

    def rewind(self, to: datetime.datetime) -> None:
        """Compare from `to` on again. Not saved here."""
        self.through_at = to


class Drift(models.Model):
    """A difference between Stripe's books and ours. One open row per account, kind and object."""

    class Kind(models.TextChoices):
        NOT_SETTLED = "not_settled", _("Paid at Stripe, not settled here")
        UNKNOWN_CHARGE = "unknown_charge", _("Paid at Stripe with our mark, unknown here")
        NOT_PAID = "not_paid", _("Paid here, not at Stripe")
        AMOUNT = "amount", _("Another amount at Stripe")
        REFUND_UNKNOWN_HERE = "refund_unknown_here", _("Refunded at Stripe, unknown here")
        REFUND_UNKNOWN_THERE = "refund_unknown_there", _("Refunded here, not at Stripe")
        REFUNDED_TOTAL = "refunded_total", _("Another sum of refunds at Stripe")

    account = models.ForeignKey(StripeAccount, on_delete=models.PROTECT, related_name="drift")
    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=24, choices=Kind)
    object_id = models.CharField(max_length=64)  # Stripe's: pi_… or re_…
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, null=True, related_name="drift")
    ours = models.CharField(max_length=80)
    theirs = models.CharField(max_length=80)
    at_risk_minor = minor_field()
    currency = currency_field()
    found_at = models.DateTimeField()
    checked_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)  # it vanished: the books agree again
    note = models.CharField(max_length=200, blank=True)  # of whoever looked into it
    # Since when a person says that it may stay: it is listed apart, until it is another one.
    accepted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            is_lower_case_currency("a_drift_has_a_lower_case_currency"),
            models.CheckConstraint(
                condition=Q(at_risk_minor__gte=0), name="a_drift_risks_no_negative_amount"
            ),
            models.UniqueConstraint(
                fields=["account", "kind", "object_id"],
                condition=Q(resolved_at__isnull=True),
                name="a_difference_is_open_once",
            ),
        ]
        indexes = [
            models.Index(
                fields=["business", "-at_risk_minor"],
                condition=Q(resolved_at__isnull=True),
                name="drift_open",
            ),
            models.Index(
                fields=["account", "checked_at"], condition=Q(resolved_at__isnull=True), name="drift_to_check"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.object_id}"


class WorkerPulse(models.Model):
    """A worker and a queue that it should serve: when it was last alive, and when it last looked for work."""

    worker = models.CharField(max_length=100)  # Celery's name of it: kind@host
    queue = models.CharField(max_length=20)
    threads = models.PositiveSmallIntegerField(default=1)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()  # by its own clockwork, whether it gets bells or not
    drained_at = models.DateTimeField(null=True)  # a bell reached it and it looked for work

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["worker", "queue"], name="a_worker_has_one_pulse_a_queue")
        ]
        indexes = [models.Index(fields=["queue", "seen_at"], name="pulse_of_queue")]

    def __str__(self) -> str:
        return f"{self.worker} {self.queue}"
