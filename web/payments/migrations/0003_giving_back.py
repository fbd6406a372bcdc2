"""What refunds, disputes and held money need."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("payments", "0002_guards")]
    operations: list[object] = []
