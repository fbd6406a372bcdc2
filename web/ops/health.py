"""What a web process needs, and whether it is there: asked by `/readyz`.

Without the database, or with a schema older than the code, nothing can be served. Without Redis or broker sales go on:
jobs are rows, and a tick finds them when the bell does not ring; that is `degraded`, not down.
"""

from __future__ import annotations

from dataclasses import dataclass

import redis
import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone

from web.payments.bell import broker_answers
from web.payments.queries.pulses import silent_queues

log = structlog.get_logger(__name__)

REDIS_SECONDS = 1  # a probe that waits longer than its prober is worth nothing

# Migrations only go forward while a process runs: once they are all there, they stay there.
_migrations_are_applied = False


@dataclass(frozen=True, slots=True)
class Readiness:
    """What was found, in the words of the answer: ok, away, or pending."""

    database: str
    migrations: str
    redis: str
    broker: str = "unknown"
    queues: str = "unknown"

    @property
    def can_serve(self) -> bool:
        return self.database == "ok" and self.migrations == "ok"

    def as_json(self) -> dict[str, str]:
        """Give the body of `/readyz`."""
        is_whole = self.redis == self.broker == self.queues == "ok"
        status = "unavailable" if not self.can_serve else "ok" if is_whole else "degraded"
        return {
            "status": status,
            "database": self.database,
            "migrations": self.migrations,
            "redis": self.redis,
            "broker": self.broker,
            "queues": self.queues,
        }


def readiness() -> Readiness:
    """Ask the database and Redis now."""
    database = database_state()
    migrations = migrations_state() if database == "ok" else "unknown"
    return Readiness(
        database=database,
        migrations=migrations,
        redis=redis_state(),
        broker=broker_state(),
        queues=queues_state() if migrations == "ok" else "unknown",
    )


def queues_state() -> str:
    """Say `ok`, or name the queues with work that nobody takes: sales are asked for, and wait."""
    try:
        silent = silent_queues(now=timezone.now())
    except DatabaseError as error:
        log.warning("readiness.queues_unknown", error=str(error))
        return "unknown"
    return "silent: " + ", ".join(one.queue for one in silent) if silent else "ok"


def database_state() -> str:
    """Say `ok` when the database answers a query, else `away`."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        log.warning("readiness.database_away", error=str(error))
        connection.close()  # the next probe must not find the broken connection again
        return "away"
    return "ok"


def migrations_state() -> str:
    """Say `ok` when the database has every migration of this code, else `pending`."""
    global _migrations_are_applied
    if not _migrations_are_applied:
        try:
            loader = MigrationLoader(connection)
            _migrations_are_applied = loader.graph.nodes.keys() <= loader.applied_migrations.keys()
        except DatabaseError as error:
            log.warning("readiness.migrations_unknown", error=str(error))
            return "unknown"
    return "ok" if _migrations_are_applied else "pending"


def redis_state() -> str:
    """Say `ok` when Redis answers a ping, else `away`."""
    client = redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=REDIS_SECONDS, socket_timeout=REDIS_SECONDS
    )
    try:
        client.ping()
    except (redis.RedisError, OSError) as error:
        log.warning("readiness.redis_away", error=str(error))
        return "away"
    finally:
        client.close()
    return "ok"


def broker_state() -> str:
    """Say `ok` when the broker takes a connection, else `away`; it may be Redis, or another."""
    if settings.CELERY_BROKER_URL == settings.REDIS_URL:
        return redis_state()
    return "ok" if broker_answers() else "away"
