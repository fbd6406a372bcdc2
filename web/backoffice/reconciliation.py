"""/reconciliation/: payouts with their lines and fees, beside what we took; and the same as CSV."""

from __future__ import annotations

from collections.abc import Iterator

from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from web.backoffice import csv_files
from web.core.groups import Group
from web.core.models import Business
from web.core.tenancy import MemberRequest, staff_required
from web.payments import history
from web.payments.models import AuditEntry
from web.payments.money import Money
from web.payments.operations import audit
from web.payments.queries import reconciliation
from web.payments.queries.reconciliation import Verdict

VERDICTS = {
    Verdict.MATCHED: gettext_lazy("Matches"),
    Verdict.DIFFERENT: gettext_lazy("Another amount"),
    Verdict.UNKNOWN: gettext_lazy("Not ours"),
    Verdict.STRIPES: gettext_lazy("Stripe"),
}


@require_safe
@staff_required(Group.PURCHASES)
def payouts(request: MemberRequest) -> HttpResponse:
    """List payouts with what their lines come to, and what fits on one side only."""
    context = {
        "payouts": reconciliation.payouts(request.business),
        "waiting": reconciliation.not_paid_out(request.business),
        "not_booked": reconciliation.not_booked(request.business, now=timezone.now()),
        "unknown": reconciliation.unknown(request.business),
    }
    response = render(request, "backoffice/payouts.html", context)
    response["Cache-Control"] = "private, no-cache"
    return response


@require_safe
@staff_required(Group.PURCHASES)
def payout(request: MemberRequest, payout_id: str) -> HttpResponse:
    """Show one payout line by line."""
    summary = reconciliation.payout(request.business, payout_id)
    if summary is None:
        raise Http404
    shown = reconciliation.lines(summary.payout)
    context = {
        "summary": summary,
        "lines": [(line, VERDICTS[line.verdict]) for line in shown],
        "is_cut": len(shown) == reconciliation.MOST_LINES,
    }
    return render(request, "backoffice/payout.html", context)


@require_safe
@staff_required(Group.PURCHASES)
def export(request: MemberRequest) -> StreamingHttpResponse:
    """Send balance transactions as CSV: of one payout, or all; who took them out is written down."""
    asked = request.GET.get("payout", "")[:64].replace("\x00", "")
    if asked and reconciliation.payout(request.business, asked) is None:
        raise Http404
    audit.record(
        AuditEntry.Action.RECONCILIATION_EXPORTED,
        business_id=request.business.id,
        actor=history.staff(request.profile.id),
        now=timezone.now(),
        subject=asked,
    )
    header = [
        _("Payout"), _("Arrives"), _("State"), _("Booked"), _("Balance transaction"), _("Kind"),
        _("Source"), _("Currency"), _("Amount"), _("Fee"), _("Net"), _("Order"), _("Ours"), _("Our currency"),
        _("Result"),
    ]  # fmt: skip
    verdicts = {name: str(label) for name, label in VERDICTS.items()}
    name = f"reconciliation-{asked or timezone.localdate()}"
    return csv_files.response(name, header, _rows(request.business, asked, verdicts))


def _rows(business: Business, payout_id: str, verdicts: dict[str, str]) -> Iterator[list[csv_files.Cell]]:
    zone = timezone.get_current_timezone()
    for line in reconciliation.every_line(business, payout_id):
        entry, ours = line.entry, line.ours
        order = entry.payment.order if entry.payment is not None else None
        yield [
            entry.payout.payout_id if entry.payout else "",
            f"{entry.payout.arrives_on:%Y-%m-%d}" if entry.payout else "",
            entry.payout.status if entry.payout else "",
            f"{entry.created_at.astimezone(zone):%Y-%m-%d %H:%M:%S}",
            entry.entry_id,
            entry.kind,
            entry.source_id,
            entry.currency.upper(),
            Money(entry.amount_minor, entry.currency).major(),
            Money(entry.fee_minor, entry.currency).major(),
            Money(entry.net_minor, entry.currency).major(),
            order.number if order else "",
            ours.major() if ours else None,
            ours.currency.upper() if ours else "",
            verdicts[line.verdict],
        ]
