"""The Celery app of the workers and of beat: `celery -A workers.app worker …`.

Why each setting is as it is: docs/decisions/ and the comments here; most were seen by running the parts.
"""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "web.settings")

from web.core import startup

startup.begin()

import django  # noqa: E402  # the collector rests by now
from celery import Celery, signals  # noqa: E402
from django.conf import settings  # noqa: E402
from django.db import close_old_connections  # noqa: E402

django.setup()  # the schedule, routes and handlers below are Django code

from tasks import handlers  # noqa: E402
from web.payments.bell import is_redis  # noqa: E402
from workers import probes, shown  # noqa: E402
from workers.queues import QUEUE_DEFINITIONS, ROUTES  # noqa: E402
from workers.schedule import SCHEDULE  # noqa: E402

handlers.check()

VISIBILITY_TIMEOUT_SECONDS = 120  # where Redis keeps what is in hand: longer than the longest task

app = Celery("paydesk", include=["tasks.relay", "tasks.sweeps", "tasks.terminal", "tasks.watch"])
app.conf.update(
    broker_url=settings.CELERY_BROKER_URL,
    # By rediss:// Celery's own: it hands over what TLS needs by the name of the scheme.
    broker_transport="workers.redis_bells:Transport"
    if settings.CELERY_BROKER_URL.startswith("redis://")
    else None,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,  # the broker may be away for hours; workers wait
    broker_transport_options={
        # RabbitMQ says that it has a message before the sender goes on.
        "confirm_publish": True
    }
    if not is_redis()
    else {
        "visibility_timeout": VISIBILITY_TIMEOUT_SECONDS,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_keepalive": True,
        "socket_timeout": 30,
        "socket_connect_timeout": 5,
        "health_check_interval": 10,
    },
    broker_pool_limit=20,  # not below the largest thread pool
    # A soft or cold shutdown with early acks loses the task; our leases make a second run harmless.
    task_acks_late=True,
    task_acks_on_failure_or_timeout=True,
    task_retry_on_worker_lost=False,  # a bell that killed its child must not come back: the job's row decides
    task_reject_on_worker_lost=False,
    worker_prefetch_multiplier=1,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,  # results only for jobs that a person follows (tasks/relay.py)
    result_backend="django-db",
    result_expires=86_400,  # seconds: a day
    result_extended=False,  # never the arguments
    task_queues=QUEUE_DEFINITIONS,
    task_default_queue="maintenance",
    task_create_missing_queues=False,
    task_routes=ROUTES,
    beat_schedule=SCHEDULE,
    beat_scheduler="workers.probes:Scheduler",
    beat_max_loop_interval=1,
    worker_hijack_root_logger=False,
    worker_send_task_events=False,
    worker_soft_shutdown_timeout=15.0,
    worker_enable_soft_shutdown_on_idle=False,
    timezone="UTC",
    # Celery's Django fixup otherwise opens and closes a database connection around every task.
    CELERY_DB_REUSE_MAX=1000,
)


@signals.task_prerun.connect
def _drop_dead_connections(**_: object) -> None:
    """Drop a connection that the server has closed: kept connections outlive a restart of PostgreSQL badly."""
    close_old_connections()


@signals.setup_logging.connect
def _keep_our_logging(**_: object) -> None:
    """Keep the logging that Django's settings configured: one line a fact, redacted."""


probes.connect()
shown.connect()
startup.done()
