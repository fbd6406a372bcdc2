"""Sending a receipt again, from the page of a purchase."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from web.core.groups import Group
from web.core.tenancy import MemberRequest, staff_required
from web.payments import history
from web.payments.errors import Refusal
from web.payments.operations import receipts
from web.payments.queries import purchases


def _text(request: MemberRequest, name: str, longest: int) -> str:
    return request.POST.get(name, "")[:longest].replace("\x00", "")


@require_POST
@staff_required(Group.PURCHASES)
def resend(request: MemberRequest, number: str) -> HttpResponse:
    """Have the order's receipt sent again; a worker sends it."""
    order = purchases.order(request.business, number)
    if order is None:
        raise Http404
    try:
        asked = receipts.ask_again(
            order=order,
            email=_text(request, "email", 254),
            form_token=_text(request, "form_token", 64) or f"{order.token}-{timezone.now():%H%M}",
            actor=history.staff(request.profile.id),
            now=timezone.now(),
        )
    except Refusal as refusal:
        messages.error(request, f"{refusal.message} {refusal.next_step}")
    else:
        messages.success(request, _("The receipt goes to %(email)s.") % {"email": asked.sent_to})
    return redirect("payment:purchase", number=order.number)
