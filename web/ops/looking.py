"""What an operator looks into: jobs, events, money that is stuck or at risk, one sale's whole story, what was done."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe
from django_celery_results.models import TaskResult

from web.core.groups import PlatformGroup
from web.core.tenancy import operator_rights, operators_only
from web.payments.jobs import CATALOGUE, QUEUES
from web.payments.models import InboxEvent, Job, Order, Payment
from web.payments.queries import actions, drift, events_list, jobs_list, pickups, standing, story
from web.payments.queries.jobs_list import JobFilter
from web.payments.queries.story import Story


def filter_of(request: HttpRequest) -> JobFilter:
    """Read which jobs are meant; what makes no sense narrows to nothing rather than to everything."""
    given = request.POST if request.method == "POST" else request.GET
    queue, name, state = given.get("queue", ""), given.get("name", ""), given.get("state", "") or "dead"
    return JobFilter(
        state=state if state in Job.State.values else "none",
        queue=queue if not queue or queue in QUEUES else "none",
        name=name[:40],
        business_id=_number(given.get("business", "")),
        error=given.get("error", "")[:300],
        job_id=_number(given.get("job", "")),
    )


def _number(text: str) -> int | None:
    if not text.strip():
        return None
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1


def _show(request: HttpRequest, template: str, context: Mapping[str, object]) -> HttpResponse:
    may_act = PlatformGroup.OPS in operator_rights(request)
    response = render(request, template, {**context, "may_act": may_act})
    response["Cache-Control"] = "no-store"
    return response


@require_safe
@operators_only()
def find(request: HttpRequest) -> HttpResponse:
    """Go to the sale that an id is about."""
    text = request.GET.get("q", "").strip()[:255]
    found = story.find(text)
    if isinstance(found, Payment):
        return redirect("ops:payment", payment_id=found.public_id)
    if isinstance(found, Order):
        return redirect("ops:sale", reference=found.cart_reference)
    if text.isascii() and text.isdecimal() and Job.objects.filter(id=_number(text) or -1).exists():
        return redirect("ops:job", job_id=int(text))
    event = events_list.named(text)
    if event is not None:
        return redirect("ops:event", event_id=event.id)
    if text:
        messages.error(request, _("Nothing is known under %(text)s.") % {"text": text})
    return redirect("ops:dashboard")


@require_safe
@operators_only()
def jobs(request: HttpRequest) -> HttpResponse:
    """List jobs that fit, the newest first."""
    wanted = filter_of(request)
    rows, before = jobs_list.page(wanted, before=_number(request.GET.get("before", "")))
    asked = request.GET.copy()
    asked.pop("before", None)
    is_dead = wanted.state == Job.State.DEAD
    context = {
        "wanted": wanted,
        "rows": rows,
        "before": before,
        "query": asked.urlencode(),
        "count": jobs_list.count(wanted) if is_dead else None,
        "most": jobs_list.MOST_AT_ONCE,
        "groups": jobs_list.dead_groups(jobs_list.first(wanted)) if is_dead else [],
        "queues": QUEUES,
        "names": sorted(CATALOGUE),
        "states": Job.State.choices,
    }
    return _show(request, "ops/jobs.html", context)


@require_safe
@operators_only()
def job(request: HttpRequest, job_id: int) -> HttpResponse:
    """Show one job: what it is about, how it ended, what may be done."""
    row = Job.objects.select_related("business", "account").filter(id=job_id).first()
    if row is None:
        raise Http404
    subject = story.find(str(row.id))
    context = {
        "job": row,
        "subject": subject if isinstance(subject, Payment) else None,
        "sale": subject.cart_reference if subject is not None else None,
        "pickup": pickups.after_discarding(row) if row.state == Job.State.DEAD else None,
    }
    return _show(request, "ops/job.html", context)


@require_safe
@operators_only()
def money(request: HttpRequest) -> HttpResponse:
    """List what is stuck, what is held, and where the books differ, over all businesses."""
    now = timezone.now()
    context = {
        "stuck_payments": standing.stuck_payments(now=now),
        "stuck_refunds": standing.stuck_refunds(now=now),
        "held": standing.held_payments(),
        "drift": drift.open_differences()[: standing.MOST_SHOWN],
        "now": now,
    }
    return _show(request, "ops/money.html", context)


@require_safe
@operators_only()
def events(request: HttpRequest) -> HttpResponse:
    """List events that wait or were given up; any other is found by its id."""
    state = request.GET.get("state", "")
    state = state if state in ("received", "dead") else "received"
    rows, before = events_list.page(state, before=_number(request.GET.get("before", "")))
    context = {"rows": rows, "before": before, "state": state, "now": timezone.now()}
    return _show(request, "ops/events.html", context)


@require_safe
@operators_only()
def event(request: HttpRequest, event_id: int) -> HttpResponse:
    """Show one event as it came, and what a replay would change once somebody asked for that."""
    row = InboxEvent.objects.select_related("account__business", "payment").filter(id=event_id).first()
    if row is None:
        raise Http404
    context = {
        "event": row,
        "payload": json.dumps(row.payload, indent=2, sort_keys=True, ensure_ascii=False),
        "rehearsal": _rehearsal(row, request.GET.get("rehearsal", "")),
    }
    if getattr(request, "htmx", False):
        return _show(request, "ops/_rehearsal.html", context)
    return _show(request, "ops/event.html", context)


def _rehearsal(row: InboxEvent, asked: str) -> dict[str, object] | None:
    """Return how far a rehearsal of this event is, and what it found."""
    try:
        public_id = uuid.UUID(asked)
    except ValueError:
        return None
    jobs = Job.objects.filter(
        public_id=public_id, name="rehearse_event", arguments={"inbox_event_id": row.id}
    )
    job = jobs.first()
    if job is None:
        return None
    found: dict[str, object] = {"job": job, "is_under_way": job.state in ("waiting", "running")}
    if job.state == Job.State.DONE:
        result = TaskResult.objects.filter(task_id=str(job.public_id)).first()
        found.update(json.loads(result.result) if result and result.result else {})
    return found


@require_safe
@operators_only()
def payment(request: HttpRequest, payment_id: uuid.UUID) -> HttpResponse:
    """Show the whole story of a payment's sale."""
    row = _payment(payment_id)
    told = story.of_sale(business=row.business, reference=row.cart_reference)
    return _told(request, told, row)


@require_safe
@operators_only()
def sale(request: HttpRequest, reference: uuid.UUID) -> HttpResponse:
    """Show the whole story of a sale that took no payment."""
    order = Order.objects.select_related("business").filter(cart_reference=reference).first()
    if order is None:
        raise Http404
    return _told(request, story.of_sale(business=order.business, reference=reference), None)


def _told(request: HttpRequest, told: Story, row: Payment | None) -> HttpResponse:
    context = {
        "story": told,
        "payment": row,
        "business_of": told.business,
        "text": story.as_text(told),
        "now": timezone.now(),
    }
    return _show(request, "ops/payment.html", context)


@require_safe
@operators_only()
def payment_text(request: HttpRequest, payment_id: uuid.UUID) -> HttpResponse:
    """Write the story as plain text, for a support case."""
    row = _payment(payment_id)
    text = story.as_text(story.of_sale(business=row.business, reference=row.cart_reference))
    response = HttpResponse(text, content_type="text/plain; charset=utf-8")
    response["Cache-Control"] = "no-store"
    return response


def _payment(payment_id: uuid.UUID) -> Payment:
    row = Payment.objects.select_related("business").filter(public_id=payment_id).first()
    if row is None:
        raise Http404
    return row


@require_safe
@operators_only()
def done(request: HttpRequest) -> HttpResponse:
    """List what operators did, the newest first."""
    rows = actions.newest(before=_number(request.GET.get("before", "")))
    before = rows[-1].action.id if len(rows) == actions.PAGE else None
    return _show(request, "ops/actions.html", {"rows": rows, "before": before})
