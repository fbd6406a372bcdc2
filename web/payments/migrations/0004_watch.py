"""What may be asked of Stripe, whether it answers, cursors of its events, and differences found."""

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
    ]
