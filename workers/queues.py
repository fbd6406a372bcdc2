"""Which queue each Celery task goes to, in one place, derived from the catalogue of jobs."""

from __future__ import annotations

from web.payments.bell import queue_definitions
from web.payments.jobs import QUEUES, Queue

QUEUE_DEFINITIONS = queue_definitions(QUEUES)

# Bells are sent to the queue that they name (payments/bell.py); what beat sends is maintenance.
ROUTES = {"paydesk.*": {"queue": Queue.MAINTENANCE}}
