"""Redis as the broker of bells: what is delivered is counted here, and not written to Redis once more.

Kombu keeps each message that a worker has in hand in Redis, to hand it on should the worker die: two round trips a
message, a quarter of a worker's processor time. A bell needs none of that: the rows say what is due, and the tick
rings for it within a second (docs/decisions/0023-a-bell-is-not-kept-in-redis.md).
"""

from __future__ import annotations

from typing import Any

from kombu.transport import redis, virtual


class QoS(redis.QoS):
    """Counts what is in hand, for the prefetch limit, in memory alone. What a worker dies with is lost."""

    restore_at_shutdown = False

    def append(self, message: Any, delivery_tag: str) -> None:
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        virtual.QoS.ack(self, delivery_tag)

    def restore_visible(self, start: int = 0, num: int | None = 10, interval: int = 10) -> None:
        """Nothing waits to be restored."""


class Channel(redis.Channel):
    QoS = QoS


class Transport(redis.Transport):
    Channel = Channel
