"""The whole story of a sale, for whoever is on call: found by any id, told in one order of time, without a secret.

A sale's own history (PaymentEvent) is the thread; jobs, attempts with Stripe's request ids, events as they arrived,
places at readers, ledgers, receipts and what operators did are told beside it. People are numbers here.
"""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

from web.core.logs import redact_text
from web.core.models import Business
from web.payments.models import (
    Attempt,
    AuditEntry,
    Cart,
    Dispute,
    InboxEvent,
    Job,
    LedgerEntry,
    OperatorAction,
    Order,
    Payment,
    PaymentEvent,
    ReaderAction,
    Receipt,
    ReceiptResend,
    Refund,
    RefundReceipt,
    StripeAccount,
)

MOST = 500  # of each kind of line: far more than a sale has
_NUMBER = re.compile(r"[2-9A-HJKMNP-TV-Z]{4}-[2-9A-HJKMNP-TV-Z]{4}")
# Facts of a line that may name a person, or that somebody typed.
_NOT_TOLD = frozenset({"email", "name", "phone", "address", "note", "sent_to", "client_secret", "reason"})


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened. `lasted` is there for what has an end, `row` (its id) for a job and an event."""

    at: datetime.datetime
    source: str  # history, job, attempt, event, reader, ledger, receipt, refund, dispute, operator
    what: str
    facts: tuple[tuple[str, str], ...] = ()
    lasted: datetime.timedelta | None = None
    tone: str = ""  # ok, failed, unknown
    row: int | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """A sale with its payments and everything that happened to it, the oldest line first."""

    business: Business
    reference: uuid.UUID
    payments: list[Payment]
    refunds: list[Refund]
    order: Order | None
    cart: Cart | None
    lines: list[Line] = field(default_factory=list)

    @property
    def title(self) -> str:
        return f"order {self.order.number}" if self.order else f"sale {self.reference}"


# --- finding -----------------------------------------------------------------------------------------


def find(text: str) -> Payment | Order | None:
    """Return the payment (or the order, where it has none) that an id is about; None where there is nothing like it.

    Any id: of Stripe's intents, charges, refunds, disputes, events, requests; an order's number; ours of payments,
    refunds, places at readers and jobs; an attempt's key. Each is looked up along an index.
    """
    text = text.strip()
    if not text or len(text) > 255 or "\0" in text:
        return None
    payments = Payment.objects.select_related("business")
    if text.startswith("pi_"):
        return payments.filter(intent_id=text, account_id__in=_accounts()).order_by("id").first()
    if text.startswith(("ch_", "py_")):
        return payments.filter(charge_id=text).order_by("id").first()
    if text.startswith(("re_", "pyr_")):
        return _payment(
            Refund.objects.filter(stripe_refund_id=text).values_list("payment_id", flat=True).first()
        )
    if text.startswith(("dp_", "du_")):
        disputes = Dispute.objects.filter(stripe_dispute_id=text, account_id__in=_accounts())
        return _payment(disputes.values_list("payment_id", flat=True).first())
    if text.startswith("evt_"):
        return _of_event(text)
    if text.startswith("req_"):
        return _of_attempt(Attempt.objects.filter(request_id=text).order_by("id").first())
    if text.startswith("paydesk-"):
        return _of_attempt(Attempt.objects.filter(key=text).first())
    if text.isascii() and text.isdecimal() and len(text) < 19:
        return _of_job(Job.objects.filter(id=int(text)).first())
    if _NUMBER.fullmatch(text.upper()):
        businesses = list(Business.objects.values_list("id", flat=True))
        orders = Order.objects.filter(number=text.upper(), business_id__in=businesses)
        return _of_order(orders.select_related("business").order_by("id").first())
    return _of_uuid(text)


def _accounts() -> list[int]:
    """Return every account's row: ids of Stripe's are unique within an account, and so is their index."""
    return list(StripeAccount.objects.values_list("id", flat=True))


def _payment(payment_id: int | None) -> Payment | None:
    if payment_id is None:
        return None
    return Payment.objects.select_related("business").filter(id=payment_id).first()


def _of_attempt(attempt: Attempt | None) -> Payment | None:
    return None if attempt is None else _payment(attempt.payment_id)


def _of_order(order: Order | None) -> Payment | Order | None:
    if order is None:
        return None
    first = Payment.objects.select_related("business").filter(order=order).order_by("id").first()
    return first or order


def _of_event(text: str) -> Payment | None:
    events = InboxEvent.objects.filter(event_id=text, account_id__in=_accounts())
    event = events.order_by("-payment_id").first()
    if event is None:
        return None
    if event.payment_id is not None:
        return _payment(event.payment_id)
    found = find(event.object_id) if event.object_id and not event.object_id.startswith("evt_") else None
    return found if isinstance(found, Payment) else None


def _of_job(job: Job | None) -> Payment | Order | None:
    if job is None:
        return None
    for name, number in job.arguments.items():
        match name:
            case "payment_id":
                return _payment(number)
            case "refund_id":
                return _payment(Refund.objects.filter(id=number).values_list("payment_id", flat=True).first())
            case "order_id":
                return _of_order(Order.objects.filter(id=number).select_related("business").first())
            case "resend_id":
                resend = ReceiptResend.objects.filter(id=number).select_related("order__business").first()
                return _of_order(resend.order if resend else None)
            case "reader_action_id":
                actions = ReaderAction.objects.filter(id=number)
                return _payment(actions.values_list("payment_id", flat=True).first())
            case "inbox_event_id":
                event = InboxEvent.objects.filter(id=number).first()
                return _of_event(event.event_id) if event else None
    return None


def _of_uuid(text: str) -> Payment | Order | None:
    try:
        public_id = uuid.UUID(text)
    except ValueError:
        return None
    payments = Payment.objects.select_related("business")
    found = payments.filter(public_id=public_id).first()
    found = found or payments.filter(cart_reference=public_id).order_by("id").first()
    if found is not None:
        return found
    refund = Refund.objects.filter(public_id=public_id).first()
    if refund is not None:
        return _payment(refund.payment_id)
    action = ReaderAction.objects.filter(public_id=public_id).first()
    if action is not None:
        return _payment(action.payment_id)
    return _of_job(Job.objects.filter(public_id=public_id).first())


# --- telling -----------------------------------------------------------------------------------------


def of_sale(*, business: Business, reference: uuid.UUID) -> Story:
    """Return all that happened to a sale. A dozen queries, each along an index."""
    payments = list(
        Payment.objects.filter(business=business, cart_reference=reference)
        .select_related("account", "reader")
        .order_by("id")[:MOST]
    )
    refunds = list(Refund.objects.filter(payment__in=payments).order_by("id")[:MOST])
    order = Order.objects.filter(business=business, cart_reference=reference).first()
    cart = Cart.objects.filter(business=business, reference=reference).first()
    story = Story(business, reference, payments, refunds, order, cart)
    story.lines.extend(_history(story))
    story.lines.extend(_jobs(story))
    story.lines.extend(_attempts(story))
    story.lines.extend(_events(story))
    story.lines.extend(_readers(story))
    story.lines.extend(_ledger(story))
    story.lines.extend(_receipts(story))
    story.lines.extend(_operators(story))
    story.lines.sort(key=lambda line: line.at)
    return story


def _facts(**given: object) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, redact_text(str(value)))
        for name, value in given.items()
        if value not in (None, "", False) and name not in _NOT_TOLD
    )


def _tone(state: str) -> str:
    if state in ("succeeded", "applied", "done"):
        return "ok"
    if state in ("failed", "declined", "dead", "refused"):
        return "failed"
    return "unknown" if state in ("unknown", "held", "checking") else ""


def _history(story: Story) -> Iterator[Line]:
    events = PaymentEvent.objects.filter(business=story.business, cart_reference=story.reference)
    names = {payment.id: payment.intent_id or str(payment.public_id) for payment in story.payments}
    for event in events.order_by("at", "id")[:MOST]:
        moved = f"{event.from_state} → {event.to_state}" if event.from_state else ""
        data = {str(name): value for name, value in event.data.items()}
        yield Line(
            event.at,
            "history",
            f"{event.kind} {moved}".strip(),
            _facts(
                by=event.actor,
                cause=event.cause,
                payment=names.get(event.payment_id or 0, "") if len(names) > 1 else "",
                **data,
            ),
            tone=_tone(event.to_state),
        )


def _jobs(story: Story) -> Iterator[Line]:
    subjects: list[dict[str, int]] = [{"payment_id": payment.id} for payment in story.payments]
    subjects += [{"refund_id": refund.id} for refund in story.refunds]
    if story.order is not None:
        subjects.append({"order_id": story.order.id})
        resends = ReceiptResend.objects.filter(order=story.order).values_list("id", flat=True)
        subjects += [{"resend_id": number} for number in resends[:MOST]]
    actions = ReaderAction.objects.filter(payment__in=story.payments).values_list("id", flat=True)
    subjects += [{"reader_action_id": number} for number in actions[:MOST]]
    for job in Job.objects.filter(arguments__in=subjects).order_by("id")[:MOST]:
        tries = job.attempts if job.attempts > 1 or job.state == Job.State.DEAD else ""
        yield Line(
            job.created_at,
            "job",
            f"{job.name} → {job.state}",
            _facts(
                job=job.id,
                queue=job.queue,
                started=_time(job.started_at),
                ended=_time(job.finished_at),
                tries=tries,
                put_off=job.put_offs or "",
                worker=job.worker,
                error=job.last_error,
                due=_time(job.due_at) if job.state == Job.State.WAITING else "",
                request=getattr(job, "request_id", ""),
            ),
            lasted=None if job.finished_at is None else job.finished_at - job.created_at,
            tone=_tone(job.state),
            row=job.id,
        )


def _attempts(story: Story) -> Iterator[Line]:
    for attempt in Attempt.objects.filter(payment__in=story.payments).order_by("id")[:MOST]:
        yield Line(
            attempt.first_sent_at,
            "attempt",
            f"{attempt.operation} → {attempt.state}",
            _facts(
                stripe_request=attempt.request_id,
                http=attempt.http_status,
                code=attempt.error_code,
                sends=attempt.sends if attempt.sends != 1 else "",
                key=attempt.key,
            ),
            lasted=attempt.state_changed_at - attempt.first_sent_at,
            tone=_tone(attempt.state),
        )


def _events(story: Story) -> Iterator[Line]:
    for event in InboxEvent.objects.filter(payment__in=story.payments).order_by("id")[:MOST]:
        yield Line(
            event.received_at,
            "event",
            f"{event.event_type} → {event.state}",
            _facts(
                event=event.event_id,
                about=event.object_id,
                at_stripe=_time(event.occurred_at),
                applied=_time(event.settled_at),
                tries=event.tries or "",
                error=event.error,
            ),
            lasted=None if event.settled_at is None else event.settled_at - event.received_at,
            tone=_tone(event.state),
            row=event.id,
        )


def _readers(story: Story) -> Iterator[Line]:
    actions = ReaderAction.objects.filter(payment__in=story.payments).select_related("reader")
    for action in actions.order_by("id")[:MOST]:
        yield Line(
            action.queued_at,
            "reader",
            f"place at reader {action.reader.label} → {action.state}",
            _facts(
                action=action.public_id,
                reader=action.reader.stripe_reader_id,
                sent=_time(action.sent_at),
                shown=_time(action.shown_at),
                deadline=_time(action.deadline_at),
                looks=action.polls or "",
                cancelled_because=action.cancel_reason,
                code=action.failure_code or action.api_error,
                holder=f"staff {action.holder_id}" if action.holder_id else "",
            ),
            lasted=None if action.finished_at is None else action.finished_at - action.queued_at,
            tone=_tone(action.state),
        )


def _ledger(story: Story) -> Iterator[Line]:
    for entry in LedgerEntry.objects.filter(payment__in=story.payments).order_by("id")[:MOST]:
        yield Line(
            entry.at,
            "ledger",
            f"customer's ledger: {entry.kind}",
            _facts(
                amount=f"{entry.amount:+}" if entry.amount else "",
                set_aside=f"{entry.reserved:+}" if entry.reserved else "",
                entry=entry.number,
                by=entry.actor,
            ),
        )


def _receipts(story: Story) -> Iterator[Line]:
    if story.order is not None:
        receipt = Receipt.objects.filter(order=story.order).first()
        if receipt is not None:
            yield Line(receipt.rendered_at, "receipt", "receipt rendered", _facts(language=receipt.language))
            if receipt.sent_at is not None:
                yield Line(receipt.sent_at, "receipt", "receipt sent", tone="ok")
        for resend in ReceiptResend.objects.filter(order=story.order).order_by("id")[:MOST]:
            yield Line(
                resend.asked_at,
                "receipt",
                "receipt asked for again",
                _facts(by=resend.asked_by, sent=_time(resend.sent_at)),
            )
    for mail in RefundReceipt.objects.filter(refund__in=story.refunds).order_by("id")[:MOST]:
        yield Line(
            mail.rendered_at, "receipt", "receipt of a refund rendered", _facts(sent=_time(mail.sent_at))
        )


def _operators(story: Story) -> Iterator[Line]:
    for action in OperatorAction.objects.filter(payment__in=story.payments).order_by("id")[:MOST]:
        yield Line(
            action.at,
            "operator",
            action.action,
            _facts(by=action.actor, subject=action.subject, why=action.reason),
        )
    if story.order is not None:
        entries = AuditEntry.objects.filter(business=story.business, subject=story.order.number)
        for entry in entries.order_by("at", "id")[:MOST]:
            yield Line(entry.at, "staff", entry.action, _facts(by=entry.actor))


def _time(at: datetime.datetime | None) -> str:
    return "" if at is None else f"{at.astimezone(datetime.UTC):%H:%M:%S.%f}"[:12]


# --- as text -----------------------------------------------------------------------------------------


def as_text(story: Story) -> str:
    """Write a story as lines for a support case: times in UTC, ids and codes; no names, no addresses, no secrets."""
    rows = [
        f"Paydesk, {story.title}, business {story.business.business_id}",
        f"sale {story.reference}",
    ]
    for payment in story.payments:
        account = payment.account
        rows.append(
            f"payment {payment.public_id} {payment.method} {payment.state} "
            f"{payment.amount_minor} {payment.currency} (minor units), received {payment.amount_received_minor}, "
            f"given back {payment.refunded_minor}"
        )
        ids = [payment.intent_id, payment.charge_id, account.account_id if account else None]
        if any(ids):
            rows.append("  at Stripe: " + " ".join(one for one in ids if one))
        codes = [payment.decline_code, payment.failure_code, payment.held_reason]
        if any(codes):
            rows.append("  codes: " + " ".join(one for one in codes if one))
    rows.extend(
        f"refund {refund.public_id} {refund.stripe_refund_id or 'not at Stripe yet'} {refund.state} "
        f"{refund.amount_minor} {refund.currency}"
        for refund in story.refunds
    )
    rows.append("times are UTC")
    previous: datetime.date | None = None
    for line in story.lines:
        at = line.at.astimezone(datetime.UTC)
        if at.date() != previous:
            previous = at.date()
            rows.append(f"--- {previous:%Y-%m-%d}")
        lasted = f" ({line.lasted.total_seconds():.3f} s)" if line.lasted is not None else ""
        facts = " ".join(f"{name}={value}" for name, value in line.facts)
        rows.append(f"{at:%H:%M:%S.%f}"[:12] + f" {line.source:<8} {line.what}{lasted} {facts}".rstrip())
    return redact_text("\n".join(rows)) + "\n"
