"""A business's card readers at Stripe: registered, renamed, removed, read; tokens for SDKs that connect to one."""

from __future__ import annotations

import hashlib
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_noop as _

from tasks.gateway import readers as gateway
from tasks.gateway.stripe_api import StripeRefused
from web.payments.jobs import Lease, TryAgain
from web.payments.models import ConnectionToken, Reader, StripeLocation
from web.payments.operations import reader_attempts, readers
from web.payments.snapshots import Answer, Verdict

# What a person can do about a refusal, by Stripe's code.
_PROBLEMS = {
    "resource_missing": _("Stripe does not know this code. Read it from the reader again."),
    "invalid_request_error": _("Stripe did not take the code or the address. Check both."),
    "parameter_invalid_empty": _("Stripe did not take the address. Complete it."),
}
_REFUSED = _("Stripe refused it.")


def _certain(answer: Answer[Any]) -> bool:
    """Say whether Stripe did it; raise TryAgain where that is not certain."""
    if answer.verdict is Verdict.DONE:
        return True
    if answer.verdict is Verdict.REFUSED:
        return False
    raise TryAgain(answer.error_code or answer.verdict.value)


def _told(answer: Answer[Any]) -> str:
    return _PROBLEMS.get(answer.error_code, _REFUSED)


def register_reader(*, reader_id: int, lease: Lease) -> dict[str, object]:
    """Register a reader by its code, in a place that Stripe knows; say what came of it to who follows."""
    reader = Reader.objects.select_related("account", "location").get(id=reader_id)
    if reader.state != Reader.State.REGISTERING:
        return {"ok": reader.state == Reader.State.READY, "problem": reader.problem}
    place = StripeLocation.objects.get(account=reader.account, location=reader.location)
    problem = _make_place(place, reader)
    snapshot = None
    if not problem:
        place.refresh_from_db()
        answer = gateway.register(
            reader.account,
            parameters={
                "registration_code": reader.registration_code,
                "label": reader.label,
                "location": place.stripe_location_id,
                "metadata": {"reader": str(reader.public_id)},
            },
            # A new code is a new request: the job's own id tells one from the other.
            key=f"paydesk-register_reader-{reader.public_id}-{lease.public_id}",
        )
        snapshot = answer.snapshot if _certain(answer) else None
        problem = "" if snapshot is not None else _told(answer)
    reader = readers.settle_registration(
        reader_id=reader_id, snapshot=snapshot, problem=problem, now=timezone.now()
    )
    return {"ok": snapshot is not None, "problem": problem, "reader": str(reader.public_id)}


def _make_place(place: StripeLocation, reader: Reader) -> str:
    """Make the place at Stripe, unless it is there; return why not, in our words."""
    if place.stripe_location_id is not None:
        return ""
    parts = {
        "line1": place.line1,
        "city": place.city,
        "state": place.region,
        "postal_code": place.postal_code,
        "country": reader.location.country.upper(),
    }
    address = {name: value for name, value in parts.items() if value}
    # A corrected address is a new request.
    fingerprint = hashlib.sha256(repr(sorted(address.items())).encode()).hexdigest()[:16]
    answer = gateway.create_location(
        reader.account,
        parameters={"display_name": reader.location.name, "address": address},
        key=f"paydesk-create_location-{place.id}-{reader.public_id}-{fingerprint}",
    )
    if not _certain(answer):
        return _told(answer)
    readers.settle_place(place_id=place.id, stripe_location_id=str(answer.snapshot))
    return ""


def update_reader(*, reader_id: int, lease: Lease) -> dict[str, object]:
    """Bring a reader's label at Stripe to ours."""
    reader = Reader.objects.select_related("account").get(id=reader_id)
    if reader.stripe_reader_id is None or reader.state == Reader.State.REMOVED:
        return {"ok": False, "problem": ""}
    answer = gateway.rename(reader.account, reader_id=reader.stripe_reader_id, label=reader.label)
    is_done = _certain(answer)
    return {"ok": is_done, "problem": "" if is_done else _told(answer)}


def remove_reader(*, reader_id: int, lease: Lease) -> dict[str, object]:
    """Remove a reader at Stripe; one that is not there any more is as good."""
    reader = Reader.objects.select_related("account").get(id=reader_id)
    if reader.stripe_reader_id is None or reader.state != Reader.State.REMOVED:
        return {"ok": False, "problem": ""}
    answer = gateway.delete(reader.account, reader_id=reader.stripe_reader_id)
    is_done = _certain(answer) or answer.http_status == 404
    return {"ok": is_done, "problem": "" if is_done else _told(answer)}


def read_reader(*, reader_id: int, lease: Lease) -> dict[str, object]:
    """Read how a reader is now, for who looks at it in the settings."""
    reader = Reader.objects.select_related("account").get(id=reader_id)
    if reader.stripe_reader_id is None:
        return {"ok": False, "problem": reader.problem}
    try:
        snapshot = gateway.read_reader(reader.account, reader_id=reader.stripe_reader_id)
    except StripeRefused as refusal:
        return {"ok": False, "problem": _PROBLEMS.get(refusal.code, _REFUSED)}
    reader_attempts.note_reader(reader_id=reader.id, snapshot=snapshot, now=timezone.now())
    return {"ok": True, "problem": "", "online": snapshot.is_online}


def create_connection_token(*, connection_token_id: int, lease: Lease) -> None:
    """Get a connection token for who asked for it. Its secret is sealed at once and never in a result or a log."""
    token = ConnectionToken.objects.select_related("account").get(id=connection_token_id)
    if token.secret_sealed or token.taken_at is not None:
        return
    place = StripeLocation.objects.filter(account=token.account, location=token.location).first()
    parameters = {"location": place.stripe_location_id} if place and place.stripe_location_id else {}
    answer = gateway.create_connection_token(token.account, parameters=parameters)
    is_done = _certain(answer)
    readers.settle_connection_token(
        connection_token_id=token.id,
        secret=str(answer.snapshot) if is_done else "",
        problem="" if is_done else answer.error_code,
        now=timezone.now(),
    )
