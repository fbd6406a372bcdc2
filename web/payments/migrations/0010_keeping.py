"""How long rows are kept, and what finds the old ones."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("payments", "0009_on_call")]

    operations = []
