"""The two ledgers of a customer: stored money and service credits."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("payments", "0005_readers")]
    operations: list[object] = []
