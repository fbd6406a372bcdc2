"""Celery's own task with one INSERT, on connections that are kept."""

import os

os.environ["DJANGO_SETTINGS_MODULE"] = "bench.limits.settings"

import django
from celery import Celery, shared_task
from django.db import connection

from bench.limits.urls import INSERT

django.setup()
app = Celery("limits", broker=os.environ["CELERY_BROKER_URL"])
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    worker_prefetch_multiplier=4,
    task_default_queue="limits",
    broker_connection_retry_on_startup=True,
    # Celery's Django fixup closes the connection around every task unless it may be used again so often.
    CELERY_DB_REUSE_MAX=1000,
)
app.conf.db_reuse_max = 1000


@shared_task(name="limits.insert")
def insert() -> None:
    """Store one row in one commit."""
    with connection.cursor() as cursor:
        cursor.execute(INSERT, ["x" * 100])
