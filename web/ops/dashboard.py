"""/ops/: what stands, what moves, what needs somebody. It reads the database; what only Redis knows may be unknown."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe

from web.core.groups import PlatformGroup
from web.core.tenancy import operator_rights, operators_only
from web.ops import broker, charts, health
from web.ops.charts import Chart, span
from web.payments.queries import actions, pulses, queues, share, standing, stripe_minutes
from web.payments.queries.queues import Inbox, Lately, Outbox, Standing
from web.payments.templatetags.money import money

HOURS = (1, 3, 12, 24)
CALM_SECONDS = 60  # a lag below this is nobody's business


@dataclass(frozen=True, slots=True)
class Row:
    """A queue's row: how it stands, what it did of late, and its course as a small line."""

    standing: Standing
    lately: Lately
    spark: str
    bells: int | None
    is_silent: bool

    @property
    def per_minute(self) -> float:
        return self.lately.done / self.lately.minutes


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that somebody should look at: in words, and where."""

    kind: str  # error or warning
    text: str
    url: str = ""


@require_safe
@operators_only()
def dashboard(request: HttpRequest) -> HttpResponse:
    """Show the whole page."""
    now = timezone.now()
    within = _within(request)
    context = {
        **_live(request, now),
        "charts": _charts(now, within),
        "hours": HOURS,
        "shown_hours": int(within.total_seconds() // 3600),
        "may_act": PlatformGroup.OPS in operator_rights(request),
    }
    return _fresh(render(request, "ops/dashboard.html", context))


@require_safe
@operators_only()
def live(request: HttpRequest) -> HttpResponse:
    """Draw what changes, for the page that is open already."""
    context = {
        **_live(request, timezone.now()),
        "may_act": PlatformGroup.OPS in operator_rights(request),
    }
    return _fresh(render(request, "ops/_live.html", context))


@require_safe
@operators_only()
def charts_only(request: HttpRequest) -> HttpResponse:
    """Draw the charts anew: a minute's figures change every quarter of it."""
    return _fresh(render(request, "ops/_charts.html", {"charts": _charts(timezone.now(), _within(request))}))


def _fresh(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-store"
    return response


def _within(request: HttpRequest) -> datetime.timedelta:
    asked = request.GET.get("hours", "")
    hours = int(asked) if asked in {str(one) for one in HOURS} else HOURS[1]
    return datetime.timedelta(hours=hours)


def _live(request: HttpRequest, now: datetime.datetime) -> dict[str, object]:
    stand = queues.standing(now=now)
    lately = {one.queue: one for one in queues.lately(now=now)}
    silent = {one.queue for one in pulses.silent_queues(now=now)}
    course = queues.history(now=now, within=datetime.timedelta(hours=1))
    bells = broker.bells()
    rows = [
        Row(
            one,
            lately[one.queue],
            charts.spark(
                [(point.at, point.due) for point in course[one.queue]],
                now=now,
                within=datetime.timedelta(hours=1),
            ),
            None if bells is None else bells[one.queue],
            one.queue in silent,
        )
        for one in stand
    ]
    inbox, outbox = queues.inbox(now=now), queues.outbox(stand)
    beat = pulses.beat(now=now)
    workers = pulses.workers(now=now)
    accounts = stripe_minutes.of_accounts(now=now)
    context: dict[str, object] = {
        "now": now,
        "rows": rows,
        "inbox": inbox,
        "outbox": outbox,
        "beat": beat,
        "workers": workers,
        "stuck": standing.stuck(now=now),
        "held": standing.held(),
        "drift": standing.drift(),
        "accounts": accounts,
        "shares": share.shares(now=now),
        "redis": health.redis_state(),
        "dead": sum(one.dead for one in stand),
        "recent": actions.newest(limit=5),
    }
    context["problems"] = _problems(context, rows, inbox, outbox, beat, workers)
    return context


def _problems(
    found: dict[str, object],
    rows: list[Row],
    inbox: Inbox,
    outbox: Outbox,
    beat: pulses.Beat,
    workers: list[pulses.Worker],
) -> list[Problem]:
    """Say what needs somebody, the worst first. Money comes before machines."""
    problems = [*_about_money(found), *_about_work(rows, inbox, outbox)]
    if not beat.is_alive:
        when = _("not within a day") if beat.seen_seconds is None else span(beat.seen_seconds)
        problems.append(
            Problem(
                "error",
                _("Beat is silent: last seen %(when)s. Nothing is swept or rung again.") % {"when": when},
            )
        )
    elif beat.ticked_seconds is None or beat.ticked_seconds > CALM_SECONDS:
        problems.append(
            Problem("error", _("Beat lives, and nothing that it asks for is carried out: broker or workers."))
        )
    if len(beat.hosts) > 1:
        problems.append(
            Problem(
                "warning", _("Beat runs on %(hosts)s: it should run once.") % {"hosts": ", ".join(beat.hosts)}
            )
        )
    if found["redis"] != "ok":
        problems.append(
            Problem(
                "error",
                _("Redis is away. Work goes on at the pace of the tick; limits are kept by each process."),
            )
        )
    problems += [
        Problem("warning", _("Worker %(name)s does not answer any more.") % {"name": worker.name}, "#workers")
        for worker in workers
        if not worker.is_alive and worker.drain is None
    ]
    silent = stripe_minutes.silent_accounts()
    if silent:
        problems.append(
            Problem(
                "error",
                ngettext(
                    "Stripe does not answer for %(number)s account.",
                    "Stripe does not answer for %(number)s accounts.",
                    silent,
                )
                % {"number": silent},
                "#stripe",
            )
        )
    return problems


def _about_money(found: dict[str, object]) -> list[Problem]:
    problems = []
    stuck = found["stuck"]
    assert isinstance(stuck, standing.Stuck)
    money_url = reverse("ops:money")
    if stuck.number:
        problems.append(
            Problem(
                "error",
                ngettext(
                    "%(number)s payment or refund has not moved for minutes, the oldest for %(age)s.",
                    "%(number)s payments and refunds have not moved for minutes, the oldest for %(age)s.",
                    stuck.number,
                )
                % {"number": stuck.number, "age": span(stuck.oldest_seconds)},
                money_url,
            )
        )
    for words, key in (
        (_("Held money waits for a person: %(sums)s."), "held"),
        (_("Books differ: %(sums)s."), "drift"),
    ):
        sums = found[key]
        assert isinstance(sums, list)
        if sums:
            text = ", ".join(f"{one.number} × {money(one.amount)}" for one in sums)  # noqa: RUF001 - a times sign
            problems.append(Problem("warning", words % {"sums": text}, money_url))
    return problems


def _about_work(rows: list[Row], inbox: Inbox, outbox: Outbox) -> list[Problem]:
    problems = []
    jobs_url = reverse("ops:jobs")
    for row in rows:
        name = row.standing.queue
        if row.is_silent:
            problems.append(
                Problem("error", _("Nobody takes work from %(queue)s.") % {"queue": name}, f"#queue-{name}")
            )
        if row.standing.is_paused:
            problems.append(
                Problem(
                    "warning",
                    _("%(queue)s is paused: %(why)s") % {"queue": name, "why": row.standing.pause_reason},
                    f"#queue-{name}",
                )
            )
        if row.standing.dead:
            problems.append(
                Problem(
                    "warning",
                    ngettext(
                        "%(number)s job of %(queue)s was given up.",
                        "%(number)s jobs of %(queue)s were given up.",
                        row.standing.dead,
                    )
                    % {"number": row.standing.dead, "queue": name},
                    f"{jobs_url}?state=dead&queue={name}",
                )
            )
    if outbox.lag_seconds is not None and outbox.lag_seconds > CALM_SECONDS:
        problems.append(
            Problem(
                "error", _("Work has been due for %(age)s.") % {"age": span(outbox.lag_seconds)}, "#queues"
            )
        )
    if inbox.lag_seconds is not None and inbox.lag_seconds > CALM_SECONDS:
        problems.append(
            Problem(
                "error",
                _("Events of Stripe wait for %(age)s.") % {"age": span(inbox.lag_seconds)},
                reverse("ops:events"),
            )
        )
    if inbox.dead:
        problems.append(
            Problem(
                "warning",
                ngettext(
                    "%(number)s event of Stripe was given up.",
                    "%(number)s events of Stripe were given up.",
                    inbox.dead,
                )
                % {"number": inbox.dead},
                f"{reverse('ops:events')}?state=dead",
            )
        )
    return problems


def _charts(now: datetime.datetime, within: datetime.timedelta) -> list[Chart]:
    course = queues.history(now=now, within=within)
    every = course[""]
    calls = stripe_minutes.history(now=now, within=within)
    busy = sorted(
        (queue for queue in course if queue),
        key=lambda queue: -sum(point.due or 0 for point in course[queue]),
    )[:3]
    tones = ("a", "b", "c")
    return [
        charts.chart(
            _("Due, and not taken yet"),
            [
                (queue, tone, [(point.at, point.due) for point in course[queue]])
                for queue, tone in zip(busy, tones, strict=True)
            ],
            now=now,
            within=within,
        ),
        charts.chart(
            _("Age of the oldest"),
            [(_("all queues"), "a", [(point.at, point.oldest_seconds or 0.0) for point in every])],
            now=now,
            within=within,
            unit="s",
        ),
        charts.chart(
            _("Jobs"),
            [
                (_("done"), "a", [(point.at, point.done) for point in every]),
                (_("failed tries"), "b", [(point.at, point.failed) for point in every]),
                (_("given up"), "c", [(point.at, point.died) for point in every]),
            ],
            now=now,
            within=within,
        ),
        charts.chart(
            _("Calls to Stripe"),
            [
                (_("calls"), "a", [(at, one.calls) for at, one in calls]),
                (_("errors"), "b", [(at, one.errors) for at, one in calls]),
                ("429", "c", [(at, one.limited) for at, one in calls]),
            ],
            now=now,
            within=within,
        ),
    ]
