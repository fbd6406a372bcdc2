"""Readers' later additions."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("payments", "0011_after_the_sale_again")]

    operations = []
