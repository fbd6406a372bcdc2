"""What an operator does: each page first shows what would change, and the same page does it, with a reason.

Every action is written down (web/payments/operations/operators.py). Those who may only look get 403 here.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST

from web.core.tenancy import MemberRequest, operators_only
from web.ops.looking import filter_of
from web.payments.errors import Kind, Refusal
from web.payments.jobs import QUEUES
from web.payments.models import InboxEvent, Job, Payment, QueuePause, WorkerDrain
from web.payments.operations import operators
from web.payments.operations.operators import Effect
from web.payments.queries import jobs_list, pulses, queues
from web.payments.queries.jobs_list import JobFilter

MOST_LISTED = 50  # effects on the page; all of them are applied
PAUSE_MEANS: dict[str, str | Promise] = {
    "intents": _lazy("Customers who pay online wait in front of their page, and so do saved cards."),
    "terminal": _lazy(
        "Readers are neither served nor looked at: a till learns of its payment only from an event of Stripe."
    ),
    "webhooks": _lazy(
        "Events of Stripe are stored and not applied: payments look unpaid until it is resumed."
    ),
    "refunds": _lazy("Refunds that were asked for wait, and their amounts stay reserved."),
    "receipts": _lazy("Customers get their receipts later."),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What an action would do, as its page shows it. `expected` is typed by the person where it is there."""

    title: str
    text: str
    button: str
    back: str
    lines: Sequence[str] = ()
    effects: Sequence[Effect] = ()
    expected: int | None = None
    is_danger: bool = False
    hidden: Sequence[tuple[str, str]] = ()
    is_empty: bool = False


def _page(
    request: MemberRequest, plan: Plan, *, refusal: Refusal | None = None, reason: str = ""
) -> HttpResponse:
    changed = [one for one in plan.effects if one.is_done]
    context = {
        "plan": plan,
        "effects": plan.effects[:MOST_LISTED],
        "unlisted": max(len(plan.effects) - MOST_LISTED, 0),
        "changed": len(changed),
        "refusal": refusal,
        "reason": reason,
    }
    status = 200 if refusal is None else {Kind.MISSING: 404, Kind.CONFLICT: 409}.get(refusal.kind, 422)
    response = render(request, "ops/act.html", context, status=status)
    response["Cache-Control"] = "no-store"
    return response


def _do(
    request: MemberRequest,
    plan: Callable[[], Plan],
    act: Callable[[str, int, str], str],
) -> HttpResponse:
    """Show the plan, or carry it out. `act` takes reason, expected number and actor, and says what was done."""
    if request.method != "POST":
        return _page(request, plan())
    reason = request.POST.get("reason", "")
    typed = request.POST.get("number", "").strip()
    expected = int(typed) if typed.isascii() and typed.isdecimal() and len(typed) < 10 else -1
    try:
        done = act(reason, expected, operators.actor_of(request.profile.id))
    except Refusal as refusal:
        return _page(request, plan(), refusal=refusal, reason=reason)
    messages.success(request, done)
    return redirect(plan().back)


@require_http_methods(["GET", "HEAD", "POST"])
@operators_only(acting=True)
def retry(request: MemberRequest) -> HttpResponse:
    """Let dead jobs run again: one, or all that fit."""
    wanted = dataclasses.replace(filter_of(request), state=Job.State.DEAD)

    def plan() -> Plan:
        effects = operators.retry_effects(wanted)
        return Plan(
            title=_("Let dead jobs run again"),
            text=_(
                "Each looks at its subject anew before it does anything: what was done already is not done twice."
            ),
            button=_("Let them run again"),
            back=_back(wanted),
            effects=effects,
            expected=len(effects),
            hidden=_hidden(wanted),
            is_empty=not effects,
            lines=_limits(wanted),
        )

    def act(reason: str, expected: int, actor: str) -> str:
        number = operators.retry(
            wanted=wanted, expected=expected, reason=reason, actor=actor, now=timezone.now()
        )
        return ngettext("%(number)s job waits again.", "%(number)s jobs wait again.", number) % {
            "number": number
        }

    return _do(request, plan, act)


@require_http_methods(["GET", "HEAD", "POST"])
@operators_only(acting=True)
def discard(request: MemberRequest) -> HttpResponse:
    """Discard dead jobs whose subjects are over, or that something else picks up."""
    wanted = dataclasses.replace(filter_of(request), state=Job.State.DEAD)

    def plan() -> Plan:
        effects = operators.discard_effects(wanted)
        number = sum(one.is_done for one in effects)
        return Plan(
            title=_("Discard dead jobs"),
            text=_("A job whose subject is open, and that nothing else would take further, stays."),
            button=_("Discard them"),
            back=_back(wanted),
            effects=effects,
            expected=number,
            is_danger=True,
            hidden=_hidden(wanted),
            is_empty=not number,
            lines=_limits(wanted),
        )

    def act(reason: str, expected: int, actor: str) -> str:
        number = operators.discard(
            wanted=wanted, expected=expected, reason=reason, actor=actor, now=timezone.now()
        )
        return ngettext("%(number)s job was discarded.", "%(number)s jobs were discarded.", number) % {
            "number": number
        }

    return _do(request, plan, act)


def _limits(wanted: JobFilter) -> list[str]:
    if jobs_list.count(wanted) > jobs_list.MOST_AT_ONCE:
        return [
            _("More fit than one action changes: the %(number)s oldest of them are listed and changed.")
            % {"number": jobs_list.MOST_AT_ONCE}
        ]
    return []


def _hidden(wanted: JobFilter) -> list[tuple[str, str]]:
    pairs = (
        ("queue", wanted.queue),
        ("name", wanted.name),
        ("business", wanted.business_id),
        ("error", wanted.error),
        ("job", wanted.job_id),
    )
    return [(name, str(value)) for name, value in pairs if value]


def _back(wanted: JobFilter) -> str:
    if wanted.job_id:
        return reverse("ops:job", args=[wanted.job_id])
    return f"{reverse('ops:jobs')}?state=dead"


@require_http_methods(["GET", "HEAD", "POST"])
@operators_only(acting=True)
def pause(request: MemberRequest, queue: str) -> HttpResponse:
    """Let nobody take work from a queue."""
    _known(queue)

    def plan() -> Plan:
        standing = next(one for one in queues.standing(now=timezone.now()) if one.queue == queue)
        return Plan(
            title=_("Pause %(queue)s") % {"queue": queue},
            text=_("Nobody takes work from it until somebody resumes it, whatever is restarted."),
            button=_("Pause it"),
            back=reverse("ops:dashboard"),
            lines=[
                _("%(number)s are due and would wait.") % {"number": standing.due},
                _("%(number)s run now, and end by themselves.") % {"number": standing.in_flight},
                str(PAUSE_MEANS.get(queue, _("What is asked for meanwhile waits, and nothing is lost."))),
            ],
            is_danger=True,
            is_empty=standing.is_paused,
        )

    def act(reason: str, _expected: int, actor: str) -> str:
        operators.pause(queue=queue, reason=reason, actor=actor, now=timezone.now())
        return _("%(queue)s is paused.") % {"queue": queue}

    return _do(request, plan, act)


@require_http_methods(["GET", "HEAD", "POST"])
@operators_only(acting=True)
def resume(request: MemberRequest, queue: str) -> HttpResponse:
    """Let work be taken from a queue again."""
    _known(queue)

    def plan() -> Plan:
        standing = next(one for one in queues.standing(now=timezone.now()) if one.queue == queue)
        since = QueuePause.objects.filter(queue=queue).first()
        lines = [_("%(number)s are due and are taken at once.") % {"number": standing.due}]
        if since is not None:
            lines.append(_("It was paused because: %(why)s") % {"why": since.reason})
        return Plan(
            title=_("Resume %(queue)s") % {"queue": queue},
            text=_("Work is taken from it again."),
            button=_("Resume it"),
            back=reverse("ops:dashboard"),
            lines=lines,
            is_empty=since is None,
        )

    def act(reason: str, _expected: int, actor: str) -> str:
        operators.resume(queue=queue, reason=reason, actor=actor, now=timezone.now())
        return _("%(queue)s works again.") % {"queue": queue}

    return _do(request, plan, act)


def _known(queue: str) -> None:
    if queue not in QUEUES:
        raise Http404


@require_http_methods(["GET", "HEAD", "POST"])
@operators_only(acting=True)
def drain(request: MemberRequest, worker: str) -> HttpResponse:
    """Let a worker take no more work."""
    now = timezone.now()
    found = next((one for one in pulses.workers(now=now) if one.name == worker), None)
    if found is None:
        raise Http404

    def plan() -> Plan:
        others = [
            one
            for one in pulses.workers(now=now)
            if one.is_alive and one.drain is None and one.name != worker
        ]
        alone = [queue for queue in found.queues if not any(queue in one.queues for one in others)]
        lines = [_("%(number)s jobs run there now, and end by themselves.") % {"number": len(found.running)}]
        if alone:
            lines.append(
                _("No other worker serves %(queues)s: its work would wait.") % {"queues": ", ".join(alone)}
            )
        return Plan(
            title=_("Drain %(worker)s") % {"worker": worker},
            text=_(
                "It takes no more work, finishes what it has, and lives on until somebody stops it or takes it back."
            ),
            button=_("Drain it"),
            back=reverse("ops:dashboard"),
            lines=lines,
            is_danger=True,
            is_empty=WorkerDrain.objects.filter(worker=worker).exists(),
        )

    def act(reason: str, _expected: int, actor: str) -> str:
        operators.drain(worker=worker, reason=reason, actor=actor, now=timezone.now())
        return _("%(worker)s takes no more work.") % {"worker": worker}

    return _do(request, plan, act)


@require_http_methods(["GET", "HEAD", "POST"])
@operators_only(acting=True)
def take_back(request: MemberRequest, worker: str) -> HttpResponse:
    """Let a drained worker take work again."""

    def plan() -> Plan:
        found = WorkerDrain.objects.filter(worker=worker).first()
        why = [_("It was drained because: %(why)s") % {"why": found.reason}] if found else []
        return Plan(
            title=_("Let %(worker)s take work again") % {"worker": worker},
            text=_("It listens to its queues again within seconds, if it still lives."),
            button=_("Take it back"),
            back=reverse("ops:dashboard"),
            lines=why,
            is_empty=found is None,
        )

    def act(reason: str, _expected: int, actor: str) -> str:
        operators.take_back(worker=worker, reason=reason, actor=actor, now=timezone.now())
        return _("%(worker)s takes work again.") % {"worker": worker}

    return _do(request, plan, act)


@require_POST
@operators_only(acting=True)
def rehearse(request: MemberRequest, event_id: int) -> HttpResponse:
    """Have a worker apply an event and take it back; its page shows what that would change."""
    try:
        job = operators.rehearse_event(
            event_id=event_id,
            reason=_("to see what a replay would change"),
            actor=operators.actor_of(request.profile.id),
            now=timezone.now(),
        )
    except operators.NoSuchThing:
        raise Http404 from None
    return redirect(f"{reverse('ops:event', args=[event_id])}?rehearsal={job}")


@require_http_methods(["GET", "HEAD", "POST"])
@operators_only(acting=True)
def replay(request: MemberRequest, event_id: int) -> HttpResponse:
    """Let an event be applied once more."""
    event = InboxEvent.objects.filter(id=event_id).first()
    if event is None:
        raise Http404

    def plan() -> Plan:
        return Plan(
            title=_("Replay %(event)s") % {"event": event.event_id},
            text=_("It is applied by the road that all events go. What it says already changes nothing."),
            button=_("Replay it"),
            back=reverse("ops:event", args=[event.id]),
            lines=[
                _("%(type)s about %(object)s, now: %(state)s")
                % {
                    "type": event.event_type,
                    "object": event.object_id or _("nothing with an id"),
                    "state": event.get_state_display(),
                }
            ],
            is_empty=InboxEvent.objects.filter(id=event.id, state="received").exists(),
        )

    def act(reason: str, _expected: int, actor: str) -> str:
        operators.replay_event(event_id=event.id, reason=reason, actor=actor, now=timezone.now())
        return _("%(event)s waits to be applied again.") % {"event": event.event_id}

    return _do(request, plan, act)


@require_http_methods(["GET", "HEAD", "POST"])
@operators_only(acting=True)
def read_payment(request: MemberRequest, payment_id: uuid.UUID) -> HttpResponse:
    """Have a worker read a payment at Stripe."""
    payment = Payment.objects.select_related("business").filter(public_id=payment_id).first()
    if payment is None:
        raise Http404

    def plan() -> Plan:
        try:
            effect = operators.read_effect(payment)
        except operators.NotAtStripe as refusal:
            effect = str(refusal.message)
        return Plan(
            title=_("Read the payment at Stripe"),
            text=effect,
            button=_("Read it"),
            back=reverse("ops:payment", args=[payment.public_id]),
            lines=[
                _("It is %(state)s now. A worker reads it; this page changes nothing by itself.")
                % {"state": payment.get_state_display()}
            ],
            is_empty=not payment.intent_id,
        )

    def act(reason: str, _expected: int, actor: str) -> str:
        operators.read_payment(payment=payment, reason=reason, actor=actor, now=timezone.now())
        return _("A worker reads it now.")

    return _do(request, plan, act)
