"""What a job carries on of the request that asked for it; what finds the old parameters of attempts."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

import web.core.tracing


class Migration(migrations.Migration):
    atomic = False  # the index is built while sales go on

    dependencies = [("payments", "0009_on_call")]

    operations = [
        migrations.AddField(
            model_name="job",
            name="request_id",
            field=models.CharField(blank=True, db_default="", default="", max_length=64),
        ),
        migrations.AddField(
            model_name="job",
            name="traceparent",
            field=models.CharField(blank=True, db_default="", default="", max_length=55),
        ),
        migrations.AddField(
            model_name="payment",
            name="traceparent",
            field=models.CharField(blank=True, db_default="", default=web.core.tracing.traceparent, max_length=55),
        ),
        AddIndexConcurrently(
            model_name="attempt",
            index=models.Index(
                condition=models.Q(
                    ("state__in", ["sent", "unknown"]), ("parameters", {}), _connector="OR", _negated=True
                ),
                fields=["state_changed_at"],
                name="attempt_parameters_kept",
            ),
        ),
    ]
