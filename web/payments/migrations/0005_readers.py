"""Card readers, their lanes and actions."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("payments", "0004_watch")]
    operations: list[object] = []
