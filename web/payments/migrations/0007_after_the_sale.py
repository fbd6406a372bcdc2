"""What the back office needs: payouts, close-outs, cards, purchases' search."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("payments", "0006_ledgers")]
    operations: list[object] = []
