"""The servers under Paydesk: PostgreSQL, Redis, the broker, and everybody's clock."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from web.core import checks
from web.ops import health
from workers.doctor.findings import Finding, broken, warning, well

OLDEST_POSTGRESQL = 150_000
OLDEST_REDIS = (6, 2)
CONNECTIONS_FULL = 0.8
DISK_FULL = 0.9
CLOCK_WARNS_SECONDS = 5
CLOCK_BROKEN_SECONDS = 120  # Stripe's signatures are good for 300, codes of an app for 60


def database() -> Iterator[Finding]:
    """Look at PostgreSQL: version, migrations, connections. Everything else needs it."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('server_version_num')::int, current_setting('server_version')"
            )
            number, version = cursor.fetchone()
            cursor.execute(
                "SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),"
                " current_setting('max_connections')::int, current_setting('fsync'), pg_is_in_recovery()"
            )
            used, most, fsync, is_replica = cursor.fetchone()
    except DatabaseError as error:
        yield broken(
            "servers.database",
            f"PostgreSQL does not answer: {_first_line(error)}",
            means="Nothing can be sold.",
            mend="Start it, and see that DATABASE_URL names its host, user, password and database.",
        )
        return
    if number < OLDEST_POSTGRESQL:
        yield broken(
            "servers.database", f"PostgreSQL {version}", means="Only 15 and newer are tested.",
            mend="Upgrade PostgreSQL.",
        )  # fmt: skip
    else:
        yield well("servers.database", f"PostgreSQL {version}")
    if (encoding := checks.encoding_of("default")) != checks.ENCODING:
        yield broken(
            "servers.encoding", f"the database's encoding is {encoding}",
            means="What is not ASCII fails to be written or read: names, texts, what is noted of a change.",
            mend=checks.MEND_ENCODING,
        )  # fmt: skip
    if is_replica:
        yield broken(
            "servers.database_role", "this is a replica", means="Nothing can be written.",
            mend="Let DATABASE_URL name the primary; a replica goes into DATABASE_REPLICA_URL.",
        )  # fmt: skip
    if fsync != "on":
        yield broken(
            "servers.fsync", "fsync is off", means="A crash of its host can lose or tear what was sold.",
            mend="Set fsync = on in postgresql.conf and restart PostgreSQL.",
        )  # fmt: skip
    share = used / most
    if share >= CONNECTIONS_FULL:
        yield warning(
            "servers.connections", f"{used} of {most} connections are in use",
            means="The next worker or web process may get none.",
            mend="Fewer processes or smaller pools (docs/scaling.md), PgBouncer, or a higher max_connections.",
        )  # fmt: skip
    else:
        yield well("servers.connections", f"{used} of {most} connections are in use")
    if health.migrations_state() == "ok":
        yield well("servers.migrations", "the schema is this release's")
    else:
        yield broken(
            "servers.migrations", "migrations are missing", means="This release does not fit the database.",
            mend="python manage.py migrate (docs/deploying.md)",
        )  # fmt: skip


def redis_server() -> Iterator[Finding]:
    """Look at Redis: version, what it does when memory is full, and whether it outlives a restart."""
    client = redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=2, socket_timeout=2)
    try:
        info = client.info()
        policy = str(info.get("maxmemory_policy", ""))
        limit = int(info.get("maxmemory", 0))
    except (redis.RedisError, OSError) as error:
        yield broken(
            "servers.redis", f"Redis does not answer: {_first_line(error)}",
            means="Workers are not rung: sales wait for the next tick, and Stripe's budget is not shared.",
            mend="Start it, and see that REDIS_URL names it. Nothing is lost meanwhile (docs/runbooks/redis-lost.md).",
        )  # fmt: skip
        return
    finally:
        client.close()
    version = str(info["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        yield broken(
            "servers.redis", f"Redis {version}", means="6.2 and newer are tested.", mend="Upgrade Redis."
        )
    else:
        yield well("servers.redis", f"Redis {version}")
    if policy != "noeviction":
        yield broken(
            "servers.redis_eviction", f"maxmemory-policy is {policy}",
            means="When its memory is full, Redis throws bells and budgets away, and nobody is told.",
            mend="redis-cli config set maxmemory-policy noeviction, and the same in redis.conf",
        )  # fmt: skip
    else:
        yield well("servers.redis_eviction", "maxmemory-policy is noeviction")
    if int(info.get("aof_enabled", 0)):
        yield well("servers.redis_aof", "the append-only file is on")
    else:
        yield warning(
            "servers.redis_aof", "the append-only file is off",
            means="A restart of Redis forgets every bell: nothing is lost, but what was rung waits for the next tick.",
            mend="redis-cli config set appendonly yes, and the same in redis.conf",
        )  # fmt: skip
    used = int(info.get("used_memory", 0))
    if limit and used / limit >= DISK_FULL:
        yield warning(
            "servers.redis_memory", f"{used * 100 // limit} % of maxmemory is in use",
            means="When it is full, Redis takes no bell any more.",
            mend="Raise maxmemory, and look at /ops/ for a queue that nobody takes work from.",
        )  # fmt: skip


def broker() -> Iterator[Finding]:
    """Look at a broker that is not Redis."""
    if settings.CELERY_BROKER_URL == settings.REDIS_URL:
        return
    if health.broker_state() == "ok":
        yield well("servers.broker", "the broker answers")
    else:
        yield broken(
            "servers.broker", "the broker does not answer", means="Workers are not rung.",
            mend="Start it, and see that CELERY_BROKER_URL names it.",
        )  # fmt: skip


def clocks() -> Iterator[Finding]:
    """Compare this machine's clock with PostgreSQL's and Redis's."""
    for name, ask in (("PostgreSQL", _clock_of_database), ("Redis", _clock_of_redis)):
        try:
            before = timezone.now()
            theirs = ask()
            ours = before + (timezone.now() - before) / 2
        except (DatabaseError, redis.RedisError, OSError):
            continue  # said above already
        yield clock(f"clock.{name.lower()}", name, (theirs - ours).total_seconds())


def clock(check: str, whose: str, ahead_seconds: float, *, precision_seconds: float = 0.0) -> Finding:
    """Judge how far somebody's clock is from ours."""
    off = abs(ahead_seconds)
    found = f"{whose}'s clock is {off:.1f} s {'ahead of' if ahead_seconds > 0 else 'behind'} this machine's"
    if off <= CLOCK_WARNS_SECONDS + precision_seconds:
        return well(check, found)
    means = "Signatures of Stripe and codes of an app are looked at with a clock; jobs fall due too early or late."
    mend = "Let both machines keep time (chrony, systemd-timesyncd): timedatectl status"
    if off <= CLOCK_BROKEN_SECONDS:
        return warning(check, found, means=means, mend=mend)
    return broken(check, found, means=means, mend=mend)


def _clock_of_database() -> datetime.datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cast(datetime.datetime, cursor.fetchone()[0])


def _clock_of_redis() -> datetime.datetime:
    client = redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=2, socket_timeout=2)
    try:
        seconds, microseconds = client.time()
    finally:
        client.close()
    return datetime.datetime.fromtimestamp(seconds + microseconds / 1e6, tz=datetime.UTC)


def disk() -> Iterator[Finding]:
    """Look at this machine's own disk; PostgreSQL's is watched by its own metrics where it is elsewhere."""
    for path in sorted(
        {"/", str(settings.BASE_DIR), *([settings.METRICS_DIR] if settings.METRICS_DIR else [])}
    ):
        if not Path(path).exists():
            continue
        usage = shutil.disk_usage(path)
        share = usage.used / usage.total if usage.total else 0.0
        if share >= DISK_FULL:
            yield warning(
                "servers.disk", f"{share:.0%} of {path} is full",
                means="A database on a full disk takes no sale (docs/runbooks/database-full.md).",
                mend="Make room, or a larger disk.",
            )  # fmt: skip
            return
    yield well("servers.disk", f"{usage.free // 2**30} GiB are free")


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0][:160] if text else type(error).__name__
