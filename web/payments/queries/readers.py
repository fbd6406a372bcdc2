"""What a till and the settings show of card readers: which there are, who holds each, and how far a payment is."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from web.core.models import Business, Location
from web.payments.models import Cart, Job, Order, Payment, Reader, ReaderAction
from web.payments.operations.refunds import needs_its_reader
from web.payments.operations.terminal import ActionNotFound
from web.payments.states import ACTIVE_ACTION, FINAL_ACTION, ActionState


@dataclass(frozen=True, slots=True)
class ReaderStatus:
    """A reader with its queue: whose turn is on, and who waits, first come first."""

    reader: Reader
    active: ReaderAction | None = None
    queue: list[ReaderAction] = field(default_factory=list)

    @property
    def is_free(self) -> bool:
        return self.active is None and not self.queue

    @property
    def holder(self) -> str:
        """Return who holds it: "" where it is free, or where that person has been erased."""
        first = self.active or (self.queue[0] if self.queue else None)
        return first.holder.name if first is not None and first.holder is not None else ""


@dataclass(frozen=True, slots=True)
class FollowedAction:
    """A payment's place at a reader as a till shows it."""

    action: ReaderAction
    payment: Payment
    reader: Reader
    order: Order | None
    cart_token: str
    ahead: list[ReaderAction]  # whose turns come first, the one that is on included

    @property
    def position(self) -> int:
        """Return how many turns come first; 0 once its own has come."""
        return len(self.ahead)

    @property
    def holder(self) -> str:
        """Return who holds the reader now, while this one waits."""
        first = self.ahead[0] if self.ahead else self.action
        return first.holder.name if first.holder is not None else ""

    @property
    def may_try_again(self) -> bool:
        """Say whether the same payment can be put on a reader again."""
        return self.action.is_final and not self.payment.is_final


def readers(
    business: Business, *, location: Location | None = None, with_removed: bool = False
) -> list[ReaderStatus]:
    """Return the business's readers (of one place), each with its queue."""
    rows = (
        Reader.objects.filter(business=business)
        .select_related("location")
        .order_by("location", "label", "id")
    )
    if location is not None:
        rows = rows.filter(location=location)
    if not with_removed:
        rows = rows.exclude(state=Reader.State.REMOVED)
    found = list(rows)
    unfinished = (
        ReaderAction.objects.filter(reader__in=found)
        .exclude(state__in=FINAL_ACTION)
        .select_related("holder", "payment", "refund")
        .order_by("queued_at", "id")
    )
    active: dict[int, ReaderAction] = {}
    queues: dict[int, list[ReaderAction]] = defaultdict(list)
    for action in unfinished:
        if action.is_active:
            active[action.reader_id] = action
        else:
            queues[action.reader_id].append(action)
    return [ReaderStatus(reader, active.get(reader.id), queues.get(reader.id, [])) for reader in found]


def reader(business: Business, public_id: uuid.UUID) -> Reader | None:
    """Return a reader of the business, a removed one too; None where it has none like this."""
    return Reader.objects.filter(business=business, public_id=public_id).select_related("location").first()


def refund_readers(payments: Sequence[Payment]) -> list[Reader]:
    """Return the readers at which payments can be given back whose card has to be there; none where none has to."""
    on_reader = [payment for payment in payments if needs_its_reader(payment)]
    if not on_reader:
        return []
    ready = Reader.objects.filter(
        business_id=on_reader[0].business_id,
        account_id=on_reader[0].account_id,
        state=Reader.State.READY,
    )
    return list(ready.select_related("location").order_by("location", "label", "id"))


def action(business: Business, public_id: uuid.UUID) -> FollowedAction:
    """Return a payment's place at a reader; where it was handed over, its newest one. Raises ActionNotFound."""
    rows = ReaderAction.objects.filter(business=business)
    asked = rows.filter(public_id=public_id).first()
    if asked is None:
        raise ActionNotFound
    newest = rows.filter(payment_id=asked.payment_id, refund=None, id__gte=asked.id)
    shown = asked
    if asked.cancel_reason == ReaderAction.Reason.HANDED_OVER and asked.state == ActionState.CANCELLED:
        shown = newest.order_by("-id").first() or asked
    return _followed(shown.id)


def action_of_cart(business: Business, token: str) -> FollowedAction | None:
    """Return the newest place of a cart's live payment at a reader, or None: how a till that reloads finds it."""
    references = Cart.objects.filter(business=business, token=token).values_list("reference", flat=True)
    newest = (
        ReaderAction.objects.filter(
            business=business, payment__cart_reference__in=list(references), refund=None
        )
        .order_by("-id")
        .first()
    )
    if newest is None:
        return None
    followed = _followed(newest.id)
    return None if followed.payment.is_final and newest.is_final else followed


def _followed(action_id: int) -> FollowedAction:
    found = ReaderAction.objects.select_related(
        "reader", "reader__location", "payment", "payment__order", "refund", "holder", "next_reader"
    ).get(id=action_id)
    ahead: list[ReaderAction] = []
    if found.state == ActionState.QUEUED:
        others = ReaderAction.objects.filter(reader_id=found.reader_id).select_related(
            "holder", "payment", "refund"
        )
        ahead += others.filter(state__in=ACTIVE_ACTION)
        earlier = others.filter(state=ActionState.QUEUED, queued_at__lte=found.queued_at).exclude(id=found.id)
        ahead += [
            one
            for one in earlier.order_by("queued_at", "id")
            if (one.queued_at, one.id) < (found.queued_at, found.id)
        ]
    payment = found.payment
    order = payment.order
    cart_token = order.token if order is not None else _token_of(payment)
    return FollowedAction(found, payment, found.reader, order, cart_token, ahead)


def _token_of(payment: Payment) -> str:
    token = Cart.objects.filter(reference=payment.cart_reference).values_list("token", flat=True).first()
    return token or ""


def job_of(reader: Reader, name: str) -> Job | None:
    """Return the newest job of a kind for this reader: what a person who asked for it follows."""
    jobs = Job.objects.filter(business_id=reader.business_id, name=name, arguments__reader_id=reader.id)
    return jobs.order_by("-id").first()
