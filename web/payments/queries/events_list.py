"""Stripe's events as whoever is on call looks for them: those that wait, those that were given up, one by its id."""

from __future__ import annotations

from web.payments.models import InboxEvent, StripeAccount

PAGE = 50


def page(state: str, *, before: int | None = None) -> tuple[list[InboxEvent], int | None]:
    """Return the newest events of a state (received or dead), and where the next page begins (None: no more)."""
    rows = InboxEvent.objects.filter(state=state).select_related("account__business").defer("payload")
    if before is not None:
        rows = rows.filter(id__lt=before)
    found = list(rows.order_by("-id")[: PAGE + 1])
    return found[:PAGE], found[PAGE - 1].id if len(found) > PAGE else None


def named(event_id: str) -> InboxEvent | None:
    """Return an event by Stripe's id of it."""
    if not event_id.startswith("evt_") or len(event_id) > 64:
        return None
    accounts = list(StripeAccount.objects.values_list("id", flat=True))
    return InboxEvent.objects.filter(event_id=event_id, account_id__in=accounts).first()
