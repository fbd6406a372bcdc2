"""Is this database, restored from a backup, whole in itself? Read before anybody serves from it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from django.db import connection
from django.db.models import Max

from web.core.crypto import CannotOpenSecret, unseal
from web.payments.models import Job, Order, Payment, StripeAccount, WebhookSecret, WorkerPulse
from web.payments.queries.pulses import ALIVE_WITHIN

# Each finds rows that cannot be: what the database itself refuses is asked again, since a restore may leave a
# constraint or a trigger out and say so only in the middle of its log.
_IMPOSSIBLE = {
    "constraints that are not valid": "SELECT conname FROM pg_constraint WHERE NOT convalidated",
    "indexes that are not valid": "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid",
    "orders that their payments do not cover": """
        SELECT o.number::text FROM payments_order AS o
        LEFT JOIN payments_payment AS p ON p.order_id = o.id
        GROUP BY o.id
        HAVING o.total_minor > coalesce(sum(p.amount_received_minor), 0)
               AND bool_and(p.method IS NULL OR p.method NOT IN ('credits', 'complimentary', 'no_charge'))
        """,
    "payments of orders that did not succeed": """
        SELECT public_id::text FROM payments_payment WHERE order_id IS NOT NULL AND state <> 'succeeded'
        """,
    "payments whose history ends elsewhere": """
        SELECT p.public_id::text FROM payments_payment AS p
        WHERE NOT EXISTS (SELECT 1 FROM payments_paymentevent AS e
                          WHERE e.payment_id = p.id AND e.to_state = p.state)
              AND EXISTS (SELECT 1 FROM payments_paymentevent AS e WHERE e.payment_id = p.id AND e.to_state <> '')
        """,
}
_SHOWN = 5
TRIGGERS = (
    "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid::regclass::text LIKE 'payments_%'"
)


def is_served(*, now: datetime.datetime) -> bool:
    """Return whether workers or beat live on this database: then it is no copy."""
    return WorkerPulse.objects.filter(seen_at__gt=now - ALIVE_WITHIN).exists()


def newest() -> datetime.datetime | None:
    """Return when the copy was last written to, as far as its rows tell."""
    found = [
        Payment.objects.aggregate(at=Max("created_at"))["at"],
        Payment.objects.aggregate(at=Max("state_changed_at"))["at"],
        Job.objects.aggregate(at=Max("created_at"))["at"],
    ]
    return max((at for at in found if at is not None), default=None)


def counts() -> dict[str, int]:
    """Return how much the copy holds, for a person who knows how much it should be."""
    with connection.cursor() as cursor:
        cursor.execute(TRIGGERS)
        (triggers,) = cursor.fetchone()
    return {
        "payments": Payment.objects.count(),
        "orders": Order.objects.count(),
        "accounts": StripeAccount.objects.count(),
        "triggers": triggers,
    }


def problems() -> Iterator[str]:
    """Yield what is wrong with the copy in itself."""
    with connection.cursor() as cursor:
        for what, query in _IMPOSSIBLE.items():
            cursor.execute(query)
            found = [str(row[0]) for row in cursor.fetchall()]
            if found:
                more = ", …" if len(found) > _SHOWN else ""
                yield f"{len(found)} {what}: {', '.join(found[:_SHOWN])}{more}"
        cursor.execute(TRIGGERS)
        if cursor.fetchone()[0] == 0:
            yield "no trigger guards the tables of payments"
    sealed = [
        *StripeAccount.objects.values_list("secret_key_sealed", flat=True),
        *WebhookSecret.objects.values_list("secret_sealed", flat=True),
    ]
    closed = sum(not _opens(one) for one in sealed)
    if closed:
        yield f"FIELD_ENCRYPTION_KEYS opens {len(sealed) - closed} of {len(sealed)} sealed keys and secrets"


def _opens(sealed: str) -> bool:
    try:
        unseal(sealed)
    except CannotOpenSecret:
        return False
    return True
