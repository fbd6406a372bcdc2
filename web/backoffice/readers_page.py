"""/settings/readers/: the business's card readers: live state and queue; register, rename, move, remove.

A worker asks Stripe. The page follows: what is under way is told beside the reader, and what went wrong.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.cache import get_conditional_response
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from web.core.groups import Group
from web.core.models import Location
from web.core.tenancy import MemberRequest, get_for_business_or_404, staff_required
from web.payments import history
from web.payments.errors import Kind, Refusal
from web.payments.models import Job, Reader
from web.payments.operations import readers
from web.payments.queries import readers as queries
from web.payments.queries import sales
from web.payments.queries.readers import ReaderStatus

_FORM_TOKEN = re.compile(rb'name="csrfmiddlewaretoken" value="[^"]*"')
_STATUS = {Kind.INVALID: 422, Kind.MISSING: 404, Kind.CONFLICT: 409, Kind.UNAVAILABLE: 503}
_FOLLOWED = ("register_reader", "update_reader", "read_reader")


@dataclass(frozen=True, slots=True)
class Shown:
    """A reader with the newest job that a person asked for, as the page tells it."""

    status: ReaderStatus
    job: Job | None

    @property
    def reader(self) -> Reader:
        return self.status.reader

    @property
    def is_under_way(self) -> bool:
        return self.job is not None and self.job.state in (Job.State.WAITING, Job.State.RUNNING)

    @property
    def is_stuck(self) -> bool:
        return self.job is not None and self.job.state == Job.State.DEAD


def _shown(request: MemberRequest) -> list[Shown]:
    found = []
    for status in queries.readers(request.business):
        jobs = [job for name in _FOLLOWED if (job := queries.job_of(status.reader, name)) is not None]
        found.append(Shown(status, max(jobs, key=lambda job: job.id, default=None)))
    return found


def _state(request: MemberRequest) -> dict[str, object]:
    shown = _shown(request)
    return {
        "readers": shown,
        "version": " ".join(f"{one.reader.id}:{one.reader.state}:{one.reader.label}" for one in shown),
        "now": timezone.now(),
    }


def _page(request: MemberRequest, refusal: Refusal | None = None) -> HttpResponse:
    places = sales.locations(request.business)
    context = _state(request) | {"places": places, "refusal": refusal, "typed": request.POST}
    status = _STATUS[refusal.kind] if refusal is not None else 200
    response = render(request, "backoffice/readers.html", context, status=status)
    response["Cache-Control"] = "private, no-store"
    return response


@require_safe
@staff_required(Group.SETTINGS)
def readers_page(request: MemberRequest) -> HttpResponse:
    """Show every reader as it is."""
    return _page(request)


@require_safe
@staff_required(Group.SETTINGS)
def readers_state(request: MemberRequest) -> HttpResponse:
    """Draw the readers' states alone; 304 where nothing has changed."""
    drawn = render(request, "backoffice/_readers_state.html", _state(request))
    tag = f'W/"{hashlib.sha256(_FORM_TOKEN.sub(b"", drawn.content)).hexdigest()[:32]}"'
    drawn["ETag"] = tag
    response = get_conditional_response(request, etag=tag, response=drawn)
    assert response is not None  # the one that was given, or 304
    response["Cache-Control"] = "private, no-store"
    return response


@require_POST
@staff_required(Group.SETTINGS)
def register(request: MemberRequest) -> HttpResponse:
    """Have a reader registered by the code that it shows."""
    place = get_for_business_or_404(Location, request.business, pk=request.POST.get("location", ""))
    address = readers.Address(*(_text(request, name) for name in ("line1", "city", "region", "postal_code")))
    try:
        reader, _job = readers.register(
            business=request.business,
            location=place,
            label=_text(request, "label"),
            registration_code=_text(request, "code"),
            address=address if address.line1 else None,
            now=timezone.now(),
            actor=_actor(request),
        )
    except Refusal as refusal:
        return _page(request, refusal)
    return _done(request, _("%(reader)s is being registered.") % {"reader": reader.label})


@require_POST
@staff_required(Group.SETTINGS)
def register_again(request: MemberRequest, reader_id: uuid.UUID) -> HttpResponse:
    """Try another code for a reader that Stripe refused."""
    try:
        readers.register_again(
            business=request.business,
            reader_id=reader_id,
            registration_code=_text(request, "code"),
            now=timezone.now(),
        )
    except Refusal as refusal:
        return _page(request, refusal)
    return _done(request, _("The reader is being registered."))


@require_POST
@staff_required(Group.SETTINGS)
def change(request: MemberRequest, reader_id: uuid.UUID) -> HttpResponse:
    """Give a reader another name, or another place."""
    get_for_business_or_404(Reader, request.business, public_id=reader_id)
    place = get_for_business_or_404(Location, request.business, pk=request.POST.get("location", ""))
    try:
        readers.change(
            business=request.business,
            reader_id=reader_id,
            location=place,
            label=_text(request, "label"),
            now=timezone.now(),
            actor=_actor(request),
        )
    except Refusal as refusal:
        return _page(request, refusal)
    return _done(request, _("Saved."))


@require_POST
@staff_required(Group.SETTINGS)
def refresh(request: MemberRequest, reader_id: uuid.UUID) -> HttpResponse:
    """Have a reader looked at."""
    try:
        readers.refresh(business=request.business, reader_id=reader_id, now=timezone.now())
    except Refusal as refusal:
        return _page(request, refusal)
    return redirect("payment:settings_readers")


@require_POST
@staff_required(Group.SETTINGS)
def remove(request: MemberRequest, reader_id: uuid.UUID) -> HttpResponse:
    """Remove a reader that nobody uses."""
    try:
        readers.remove(
            business=request.business, reader_id=reader_id, now=timezone.now(), actor=_actor(request)
        )
    except Refusal as refusal:
        return _page(request, refusal)
    return _done(request, _("The reader is removed."))


def _actor(request: MemberRequest) -> str:
    return history.staff(request.profile.id)


def _text(request: MemberRequest, name: str) -> str:
    return request.POST.get(name, "")[:200].replace("\x00", "").strip()


def _done(request: MemberRequest, message: str) -> HttpResponse:
    messages.success(request, message)
    return redirect("payment:settings_readers")
