"""Stripe's address as Django knows it: for anything but a POST, and where no Door stands before."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from web.core.tenancy import any_host
from web.webhooks import receiving


@any_host  # the address names the business; Stripe may reach us by any name
@csrf_exempt
@require_POST
def stripe_webhook(request: HttpRequest, token: uuid.UUID) -> HttpResponse:
    """Take one event for the business that the address names."""
    answer = receiving.receive(
        token,
        length=request.headers.get("Content-Length", ""),
        read=request.read,
        signature=request.headers.get("Stripe-Signature", ""),
        request_id=request.request_id,  # type: ignore[attr-defined]
    )
    return HttpResponse(answer.body, status=int(answer.status[:3]), content_type=answer.content_type)
