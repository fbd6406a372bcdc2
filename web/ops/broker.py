"""What only the broker knows: whether it answers, and how many bells wait there. Never needed to know the truth."""

from __future__ import annotations

import redis
from django.conf import settings

from web.ops.health import REDIS_SECONDS
from web.payments.jobs import QUEUES


def bells() -> dict[str, int] | None:
    """Return how many bells wait in the broker, per queue; None where it is away, or is not Redis."""
    url = settings.CELERY_BROKER_URL
    if not url.startswith(("redis://", "rediss://")):
        return None
    client = redis.Redis.from_url(
        url, socket_connect_timeout=REDIS_SECONDS, socket_timeout=REDIS_SECONDS, retry=None
    )
    try:
        with client.pipeline(transaction=False) as pipeline:
            for queue in QUEUES:
                pipeline.llen(queue)
            return dict(zip(QUEUES, pipeline.execute(), strict=True))
    except (redis.RedisError, OSError):
        return None
    finally:
        client.close()
