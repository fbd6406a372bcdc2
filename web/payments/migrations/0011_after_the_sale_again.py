"""The back office's later additions: purchases by card reader, differences that a person accepts."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("payments", "0010_keeping")]

    operations = [
        migrations.AddField(
            model_name="drift",
            name="accepted_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="action",
            field=models.CharField(
                choices=[
                    ("settings.changed", "Settings changed"),
                    ("taxes.changed", "Taxes changed"),
                    ("keys.entered", "Stripe keys entered"),
                    ("keys.tested", "Connection tested"),
                    ("keys.decided", "Stripe answered about the keys"),
                    ("webhook.secret_added", "Webhook secret added"),
                    ("limits.changed", "Limits changed"),
                    ("purchases.exported", "Purchases exported"),
                    ("reconciliation.exported", "Reconciliation exported"),
                    ("receipt.resent", "Receipt sent again"),
                    ("person.erased", "Personal data erased"),
                    ("bulk_refund.asked", "Refund of many orders asked for"),
                    ("bulk_refund.resumed", "Refund of many orders resumed"),
                    ("reader.changed", "Card reader changed"),
                    ("shift.closed", "Shift closed"),
                    ("drift.noted", "Difference looked into"),
                ],
                max_length=40,
            ),
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(
                condition=models.Q(("order__isnull", False), ("reader__isnull", False)),
                fields=["business", "reader", "order"],
                name="payment_on_reader",
            ),
        ),
    ]
