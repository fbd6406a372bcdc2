"""Writing down who did what: in the transaction of the change, and never a secret."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from decimal import Decimal

from web.payments.models import AuditEntry

COMMAND = "command"  # somebody with a shell on a server


def record(
    action: AuditEntry.Action,
    *,
    business_id: int,
    actor: str,
    now: datetime.datetime,
    subject: str = "",
    changes: Mapping[str, object] | None = None,
) -> None:
    """Write one line, in the transaction of what it tells."""
    AuditEntry.objects.create(
        business_id=business_id,
        action=action,
        subject=subject[:100],
        changes=dict(changes or {}),
        actor=actor,
        at=now,
    )


def differences(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, list[object]]:
    """Return the fields that differ, each with its value before and after, as JSON can hold them."""
    return {
        name: [_plain(before.get(name)), _plain(value)]
        for name, value in after.items()
        if _plain(before.get(name)) != _plain(value)
    }


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"  # a rate of 8.875 is stored as 8.8750: that is no change
    return value if value is None or isinstance(value, bool | int | str | list) else str(value)
