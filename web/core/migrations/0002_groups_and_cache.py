"""What must exist besides the tables of models: the groups of staff, and the table of the cache.

With it `migrate` alone makes a database ready; rate limits live in the cache, so they need no Redis.
"""

from django.core.management import call_command
from django.db import migrations

# Written out: a migration must not change when the code does.
GROUPS = (
    "checkin", "store", "customers", "staff", "schedule", "locations", "purchases", "customer", "settings",
)


def create_groups(apps, schema_editor):
    group = apps.get_model("auth", "Group")
    for name in GROUPS:
        group.objects.using(schema_editor.connection.alias).get_or_create(name=name)


def create_cache_table(apps, schema_editor):
    call_command("createcachetable", database=schema_editor.connection.alias, verbosity=0)


class Migration(migrations.Migration):
    dependencies = [
        ("core", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.RunPython(create_groups, migrations.RunPython.noop),
        migrations.RunPython(create_cache_table, migrations.RunPython.noop),
    ]
