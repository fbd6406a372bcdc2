"""The back office's later additions: purchases are found by card reader."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("payments", "0010_keeping")]

    operations = [
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(
                condition=models.Q(("order__isnull", False), ("reader__isnull", False)),
                fields=["business", "reader", "order"],
                name="payment_on_reader",
            ),
        ),
    ]
