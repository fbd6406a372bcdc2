"""A unit of work that must not be lost: written with the change that asks for it, claimed by a lease."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from web.core.models import Business
from web.payments.models.settings import StripeAccount


class Job(models.Model):
    """The truth about queued work. The broker only carries the news that there is some."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        DEAD = "dead", _("Given up")
        DROPPED = "dropped", _("Discarded")  # by a person, with a reason (OperatorAction)

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=40)  # of the catalogue in payments/jobs.py
    queue = models.CharField(max_length=20)
    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="+")
    account = models.ForeignKey(StripeAccount, on_delete=models.PROTECT, null=True, related_name="+")
    arguments = models.JSONField(default=dict)  # ids only
    dedup_key = models.CharField(max_length=120, null=True)  # one *waiting* job per name and key
    priority = models.SmallIntegerField(default=0)  # lower first: 0 where a person waits, 5 for sweeps
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    put_offs = models.PositiveIntegerField(
        default=0
    )  # put off through no fault of its own: no try was used up
    due_at = models.DateTimeField()
    leased_until = models.DateTimeField(null=True)
    fence = models.BigIntegerField(default=0)  # grows with each claim; an older holder can write no more
    worker = models.CharField(max_length=100, blank=True)
    last_error = models.CharField(max_length=300, blank=True)
    # Of the request that asked for it: what its run logs and traces carries them on.
    request_id = models.CharField(max_length=64, blank=True, default="", db_default="")
    traceparent = models.CharField(max_length=55, blank=True, default="", db_default="")
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["name", "dedup_key"],
                condition=Q(state="waiting", dedup_key__isnull=False),
                name="one_waiting_job_per_dedup_key",
            ),
            models.CheckConstraint(
                condition=~Q(state="running") | Q(leased_until__isnull=False),
                name="a_running_job_has_a_lease",
            ),
        ]
        indexes = [
            # The claim: businesses of a queue that wait, then the first of each (relay.py).
            models.Index(
                fields=["queue", "business", "priority", "due_at", "id"],
                condition=Q(state="waiting"),
                name="job_waiting",
            ),
            models.Index(fields=["queue", "due_at"], condition=Q(state="waiting"), name="job_due"),
            models.Index(
                fields=["queue", "due_at"], condition=Q(state="waiting", priority=0), name="job_person_waits"
            ),
            models.Index(
                fields=["queue", "due_at"], condition=Q(state="waiting", attempts__gt=0), name="job_retrying"
            ),
            models.Index(fields=["queue", "leased_until"], condition=Q(state="running"), name="job_leased"),
            models.Index(fields=["queue", "finished_at"], condition=Q(state="dead"), name="job_dead"),
            models.Index(fields=["finished_at"], condition=Q(state="done"), name="job_done"),
            models.Index(fields=["finished_at"], condition=Q(state="dropped"), name="job_dropped"),
            # Whose work it is: every job has one argument (jobs.py), so equality finds all jobs of a payment.
            models.Index(fields=["arguments"], name="job_of_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.id}"
