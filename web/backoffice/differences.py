"""/reconciliation/differences/: where Stripe's books and ours differ, by money at risk; what people found out."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from web.core.groups import Group
from web.core.tenancy import MemberRequest, get_for_business_or_404, staff_required
from web.payments import history
from web.payments.errors import Refusal
from web.payments.models import Drift
from web.payments.operations import drift as operations
from web.payments.queries import drift


@require_safe
@staff_required(Group.PURCHASES)
def differences(request: MemberRequest) -> HttpResponse:
    """List what differs now, the largest amounts first; what was accepted and what vanished stand below."""
    shown = drift.open_differences(request.business)
    is_open = [one for one in shown if one.drift.accepted_at is None]
    context = {
        "is_open": is_open,
        "accepted": [one for one in shown if one.drift.accepted_at is not None],
        "resolved": drift.lately_resolved(request.business),
        "at_risk": drift.at_risk(is_open).values(),
        "is_cut": len(shown) == drift.MOST_SHOWN,
    }
    response = render(request, "backoffice/differences.html", context)
    response["Cache-Control"] = "private, no-cache"
    return response


@require_POST
@staff_required(Group.REFUNDS)
def decide(request: MemberRequest, drift_id: int) -> HttpResponse:
    """Keep a note about a difference; `accept` says that it may stay."""
    found = get_for_business_or_404(Drift, request.business, pk=drift_id)
    accepts = request.POST.get("step") == "accept"
    try:
        operations.decide(
            drift_id=found.id,
            note=request.POST.get("note", "").replace("\0", ""),
            accepts=accepts,
            actor=history.staff(request.profile.id),
            now=timezone.now(),
        )
    except Refusal as refusal:
        messages.error(request, f"{refusal.message} {refusal.next_step}")
    else:
        messages.success(request, _("The difference is accepted.") if accepts else _("The note is kept."))
    return redirect("payment:differences")
