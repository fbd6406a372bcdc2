"""The back office's later additions."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("payments", "0010_keeping")]

    operations = []
