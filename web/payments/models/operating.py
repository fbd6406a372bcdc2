"""What whoever is on call sees and does: queues that stand still, workers that take no more, figures of each minute."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from web.core.models import Business
from web.payments.models.payment import Payment
from web.payments.models.settings import StripeAccount


class QueuePause(models.Model):
    """A queue that nobody takes work from while this row exists. Asking for work goes on: it waits."""

    queue = models.CharField(max_length=20, unique=True)
    reason = models.CharField(max_length=200)
    actor = models.CharField(max_length=40)
    paused_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.queue} stands still"


class WorkerDrain(models.Model):
    """A worker that takes no more work while this row exists. It finishes what it has in hand, and lives on."""

    worker = models.CharField(max_length=100, unique=True)  # Celery's name of it, as in WorkerPulse
    reason = models.CharField(max_length=200)
    actor = models.CharField(max_length=40)
    asked_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.worker} takes no more"


class QueueMinute(models.Model):
    """A queue in one minute. What was done is counted from the jobs' rows; what stood then, when a worker looked.

    `waits` and `runs` count jobs by how long they took, in the steps of queries/spans.py.
    """

    queue = models.CharField(max_length=20)
    minute = models.DateTimeField()
    # As it stood when it was looked at last; null where nobody looked in this minute.
    due = models.PositiveIntegerField(null=True)
    oldest_seconds = models.FloatField(null=True)
    running = models.PositiveIntegerField(null=True)
    dead = models.PositiveIntegerField(null=True)
    # What happened in it.
    done = models.PositiveIntegerField(default=0, db_default=0)
    died = models.PositiveIntegerField(default=0, db_default=0)
    failed = models.PositiveIntegerField(default=0, db_default=0)  # tries
    excused = models.PositiveIntegerField(default=0, db_default=0)  # put off through no fault of the job's
    waits = models.JSONField(default=list)
    runs = models.JSONField(default=list)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["minute", "queue"], name="a_queue_has_one_row_a_minute")
        ]

    def __str__(self) -> str:
        return f"{self.queue} at {self.minute:%F %H:%M}"


class StripeMinute(models.Model):
    """What was asked of Stripe for one account in one minute, by all workers, and how it answered."""

    account = models.ForeignKey(StripeAccount, on_delete=models.CASCADE, related_name="minutes")
    minute = models.DateTimeField()
    calls = models.PositiveIntegerField(default=0)
    errors = models.PositiveIntegerField(default=0)  # no answer, or 5xx
    limited = models.PositiveIntegerField(default=0)  # 429
    turned_away = models.PositiveIntegerField(default=0)  # by our own budget, before anything was sent
    milliseconds = models.PositiveBigIntegerField(default=0)  # of all calls together

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["minute", "account"], name="an_account_has_one_row_a_minute")
        ]

    def __str__(self) -> str:
        return f"{self.account_id} at {self.minute:%F %H:%M}"


class OperatorAction(models.Model):
    """What somebody on call did, when and why. Append-only: a trigger refuses changes and deletion."""

    class Action(models.TextChoices):
        JOBS_RETRIED = "jobs.retried", _("Jobs let run again")
        JOBS_DISCARDED = "jobs.discarded", _("Jobs discarded")
        QUEUE_PAUSED = "queue.paused", _("Queue paused")
        QUEUE_RESUMED = "queue.resumed", _("Queue resumed")
        EVENT_REHEARSED = "event.rehearsed", _("Replay of an event tried out")
        EVENTS_REPLAYED = "events.replayed", _("Events replayed")
        PAYMENT_READ = "payment.read", _("Payment read at Stripe")
        WORKER_DRAINED = "worker.drained", _("Worker told to take no more")
        WORKER_RETURNED = "worker.returned", _("Worker told to take work again")
        RIGHTS_CHANGED = "rights.changed", _("An operator’s rights changed")  # noqa: RUF001

    action = models.CharField(max_length=20, choices=Action)
    actor = models.CharField(max_length=40)  # "operator 12" (a profile's id), "command"
    at = models.DateTimeField()
    reason = models.CharField(max_length=200)
    subject = models.CharField(
        max_length=100, blank=True
    )  # a queue, a worker, an event's id, a filter in words
    number = models.PositiveIntegerField(default=1)  # how many rows it changed
    changes = models.JSONField(default=dict)  # ids and states; never a secret, never personal data
    business = models.ForeignKey(Business, on_delete=models.PROTECT, null=True, related_name="+")
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, null=True, related_name="operator_actions")

    class Meta:
        ordering = ["-at", "-id"]
        constraints = [
            models.CheckConstraint(condition=~Q(reason=""), name="what_an_operator_does_has_a_reason")
        ]
        indexes = [models.Index(fields=["-at", "-id"], name="operators_newest_first")]

    def __str__(self) -> str:
        return f"{self.at:%F %H:%M} {self.action}"
