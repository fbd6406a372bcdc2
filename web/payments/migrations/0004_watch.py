"""What may be asked of Stripe, whether it answers, cursors of its events, and differences found."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("payments", "0003_giving_back")]
    operations = [
        migrations.AddField(
            model_name="job",
            name="put_offs",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="paymentsettings",
            name="abandoned_after_hours",
            field=models.PositiveSmallIntegerField(default=24),
        ),
        migrations.AddField(
            model_name="stripeaccount",
            name="calls_per_second",
            field=models.PositiveSmallIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="stripeaccount",
            name="calls_per_second_and_endpoint",
            field=models.PositiveSmallIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="stripeaccount",
            name="silent_since",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddConstraint(
            model_name="stripeaccount",
            constraint=models.CheckConstraint(
                condition=(models.Q(calls_per_second=None) | models.Q(calls_per_second__gt=0))
                & (
                    models.Q(calls_per_second_and_endpoint=None)
                    | models.Q(calls_per_second_and_endpoint__gt=0)
                ),
                name="an_account_may_call_stripe",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                fields=["queue", "due_at"],
                condition=models.Q(state="waiting", priority=0),
                name="job_person_waits",
            ),
        ),
        migrations.CreateModel(
            name="WorkerPulse",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("worker", models.CharField(max_length=100)),
                ("queue", models.CharField(max_length=20)),
                ("threads", models.PositiveSmallIntegerField(default=1)),
                ("started_at", models.DateTimeField()),
                ("seen_at", models.DateTimeField()),
                ("drained_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [models.Index(fields=["queue", "seen_at"], name="pulse_of_queue")],
                "constraints": [
                    models.UniqueConstraint(fields=("worker", "queue"), name="a_worker_has_one_pulse_a_queue")
                ],
            },
        ),
        migrations.CreateModel(
            name="Drift",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("not_settled", "Paid at Stripe, not settled here"),
                            ("unknown_charge", "Paid at Stripe with our mark, unknown here"),
                            ("not_paid", "Paid here, not at Stripe"),
                            ("amount", "Another amount at Stripe"),
                            ("refund_unknown_here", "Refunded at Stripe, unknown here"),
                            ("refund_unknown_there", "Refunded here, not at Stripe"),
                            ("refunded_total", "Another sum of refunds at Stripe"),
                        ],
                        max_length=24,
                    ),
                ),
                ("object_id", models.CharField(max_length=64)),
                ("ours", models.CharField(max_length=80)),
                ("theirs", models.CharField(max_length=80)),
                ("at_risk_minor", models.BigIntegerField()),
                ("currency", models.CharField(max_length=3)),
                ("found_at", models.DateTimeField()),
                ("checked_at", models.DateTimeField()),
                ("resolved_at", models.DateTimeField(null=True)),
                ("note", models.CharField(blank=True, max_length=200)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="drift",
                        to="payments.stripeaccount",
                    ),
                ),
                (
                    "business",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="core.business"
                    ),
                ),
                (
                    "payment",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="drift",
                        to="payments.payment",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("resolved_at__isnull", True)),
                        fields=["business", "-at_risk_minor"],
                        name="drift_open",
                    ),
                    models.Index(
                        condition=models.Q(("resolved_at__isnull", True)),
                        fields=["account", "checked_at"],
                        name="drift_to_check",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("currency__regex", "^[a-z]{3}$")),
                        name="a_drift_has_a_lower_case_currency",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("at_risk_minor__gte", 0)), name="a_drift_risks_no_negative_amount"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("resolved_at__isnull", True)),
                        fields=("account", "kind", "object_id"),
                        name="a_difference_is_open_once",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="DriftCursor",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("through_at", models.DateTimeField()),
                ("slice_seconds", models.PositiveIntegerField(default=86400)),
                ("due_at", models.DateTimeField()),
                ("problem", models.CharField(blank=True, max_length=60)),
                (
                    "account",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="drift_cursor",
                        to="payments.stripeaccount",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["due_at"], name="drift_cursor_due")],
            },
        ),
        migrations.CreateModel(
            name="EventCursor",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("through_at", models.DateTimeField()),
                ("window_to", models.DateTimeField(null=True)),
                ("resume_after", models.CharField(blank=True, max_length=64)),
                ("due_at", models.DateTimeField()),
                ("problem", models.CharField(blank=True, max_length=60)),
                (
                    "account",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="event_cursor",
                        to="payments.stripeaccount",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["due_at"], name="event_cursor_due")],
            },
        ),
    ]
