"""What whoever is on call sees and does: pauses, drains, figures of each minute, and a record of who did what.

The indexes that finish it are small, or find all work about one sale; each is partial where it can be.
"""

import django.db.models.deletion
from django.db import migrations, models

NEVER_CHANGED = """
CREATE TRIGGER operatoraction_is_never_deleted BEFORE DELETE ON payments_operatoraction
    FOR EACH ROW EXECUTE FUNCTION paydesk_refuse();
CREATE TRIGGER operatoraction_is_never_changed BEFORE UPDATE ON payments_operatoraction
    FOR EACH ROW EXECUTE FUNCTION paydesk_refuse();
"""
UNDO = """
DROP TRIGGER operatoraction_is_never_deleted ON payments_operatoraction;
DROP TRIGGER operatoraction_is_never_changed ON payments_operatoraction;
"""


class Migration(migrations.Migration):
    dependencies = [("payments", "0008_cards")]

    operations = [
        migrations.CreateModel(
            name="OperatorAction",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("jobs.retried", "Jobs let run again"),
                            ("jobs.discarded", "Jobs discarded"),
                            ("queue.paused", "Queue paused"),
                            ("queue.resumed", "Queue resumed"),
                            ("event.rehearsed", "Replay of an event tried out"),
                            ("events.replayed", "Events replayed"),
                            ("payment.read", "Payment read at Stripe"),
                            ("worker.drained", "Worker told to take no more"),
                            ("worker.returned", "Worker told to take work again"),
                            ("rights.changed", "An operator’s rights changed"),  # noqa: RUF001
                        ],
                        max_length=20,
                    ),
                ),
                ("actor", models.CharField(max_length=40)),
                ("at", models.DateTimeField()),
                ("reason", models.CharField(max_length=200)),
                ("subject", models.CharField(blank=True, max_length=100)),
                ("number", models.PositiveIntegerField(default=1)),
                ("changes", models.JSONField(default=dict)),
            ],
            options={
                "ordering": ["-at", "-id"],
            },
        ),
        migrations.CreateModel(
            name="QueueMinute",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("queue", models.CharField(max_length=20)),
                ("minute", models.DateTimeField()),
                ("due", models.PositiveIntegerField(null=True)),
                ("oldest_seconds", models.FloatField(null=True)),
                ("running", models.PositiveIntegerField(null=True)),
                ("dead", models.PositiveIntegerField(null=True)),
                ("done", models.PositiveIntegerField(db_default=0, default=0)),
                ("died", models.PositiveIntegerField(db_default=0, default=0)),
                ("failed", models.PositiveIntegerField(db_default=0, default=0)),
                ("excused", models.PositiveIntegerField(db_default=0, default=0)),
                ("waits", models.JSONField(default=list)),
                ("runs", models.JSONField(default=list)),
            ],
        ),
        migrations.CreateModel(
            name="QueuePause",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("queue", models.CharField(max_length=20, unique=True)),
                ("reason", models.CharField(max_length=200)),
                ("actor", models.CharField(max_length=40)),
                ("paused_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="StripeMinute",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("minute", models.DateTimeField()),
                ("calls", models.PositiveIntegerField(default=0)),
                ("errors", models.PositiveIntegerField(default=0)),
                ("limited", models.PositiveIntegerField(default=0)),
                ("turned_away", models.PositiveIntegerField(default=0)),
                ("milliseconds", models.PositiveBigIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="WorkerDrain",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("worker", models.CharField(max_length=100, unique=True)),
                ("reason", models.CharField(max_length=200)),
                ("actor", models.CharField(max_length=40)),
                ("asked_at", models.DateTimeField()),
            ],
        ),
        migrations.AlterField(
            model_name="job",
            name="state",
            field=models.CharField(
                choices=[
                    ("waiting", "Waiting"),
                    ("running", "Running"),
                    ("done", "Done"),
                    ("dead", "Given up"),
                    ("dropped", "Discarded"),
                ],
                default="waiting",
                max_length=8,
            ),
        ),
        migrations.AddIndex(
            model_name="attempt",
            index=models.Index(
                condition=models.Q(("request_id", ""), _negated=True),
                fields=["request_id"],
                name="attempt_of_request",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("state", "dropped")), fields=["finished_at"], name="job_dropped"
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(fields=["arguments"], name="job_of_subject"),
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(
                condition=models.Q(("state__in", ["cancelling", "processing", "requested", "unknown"])),
                fields=["state_changed_at"],
                name="payment_ours_to_move",
            ),
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(
                condition=models.Q(("is_released", False), ("state", "held")),
                fields=["state_changed_at"],
                name="payment_held",
            ),
        ),
        migrations.AddIndex(
            model_name="refund",
            index=models.Index(
                condition=models.Q(("state__in", ["requested", "submitting", "unknown"])),
                fields=["state_changed_at"],
                name="refund_ours_to_move",
            ),
        ),
        migrations.AddField(
            model_name="operatoraction",
            name="business",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="core.business"
            ),
        ),
        migrations.AddField(
            model_name="operatoraction",
            name="payment",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="operator_actions",
                to="payments.payment",
            ),
        ),
        migrations.AddConstraint(
            model_name="queueminute",
            constraint=models.UniqueConstraint(
                fields=("minute", "queue"), name="a_queue_has_one_row_a_minute"
            ),
        ),
        migrations.AddField(
            model_name="stripeminute",
            name="account",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="minutes",
                to="payments.stripeaccount",
            ),
        ),
        migrations.AddIndex(
            model_name="operatoraction",
            index=models.Index(fields=["-at", "-id"], name="operators_newest_first"),
        ),
        migrations.AddConstraint(
            model_name="operatoraction",
            constraint=models.CheckConstraint(
                condition=models.Q(("reason", ""), _negated=True), name="what_an_operator_does_has_a_reason"
            ),
        ),
        migrations.AddConstraint(
            model_name="stripeminute",
            constraint=models.UniqueConstraint(
                fields=("minute", "account"), name="an_account_has_one_row_a_minute"
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("attempts__gt", 0), ("state", "waiting")),
                fields=["queue", "due_at"],
                name="job_retrying",
            ),
        ),
        migrations.RunSQL(NEVER_CHANGED, UNDO),
    ]
