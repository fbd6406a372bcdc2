"""Telling a business's own programs what happened: the event is written with the change, a job brings it.

An event and its deliveries are rows of the transaction that they tell of: a change that is undone is never told, and
one that is committed is told at least once. The body is drawn then and sent as it is, however late; its id never
changes, so that receivers can tell copies. A try is one run of a job; the next one is a job of its own.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _
from pydantic import BaseModel

from web.core.compiled import compiled
from web.core.crypto import seal, unseal
from web.core.models import Business
from web.payments import jobs
from web.payments.errors import Kind, Refusal
from web.payments.jobs import DELIVER_EVENT, NOBODY_WAITS, PERSON_WAITS, Lease, enqueue
from web.payments.models import AuditEntry, OutgoingDelivery, OutgoingEndpoint, OutgoingEvent
from web.payments.operations import audit

WORKER = "worker"
API_VERSION = "v1"
MOST_ENDPOINTS = 10  # of a business: each event is told to each
OLD_SECRET_VALID = datetime.timedelta(hours=24)
TRIED_FOR = datetime.timedelta(days=3)
# After the n-th try; the last one repeats until TRIED_FOR is over: 15 tries in all.
PAUSES_SECONDS = (10, 60, 300, 1800, 3600, 2 * 3600, 4 * 3600, 8 * 3600)
DISABLED_AFTER = datetime.timedelta(days=3)  # without a single delivery that came through
LONGEST_URL = 500
KINDS = tuple(kind for kind in OutgoingEvent.Kind.values if kind != OutgoingEvent.Kind.PING)


class AddressRefused(Refusal):
    code = "address_refused"
    message = _("Events cannot be sent to this address.")
    next_step = _("Give a public address that begins with https://, without a user name.")


class AddressKnown(Refusal):
    code, kind = "address_known", Kind.CONFLICT
    message = _("Events are sent to this address already.")
    next_step = _("Change which ones on its line below.")


class TooManyEndpoints(Refusal):
    code, kind = "too_many_endpoints", Kind.CONFLICT
    message = _("This business has as many addresses as it can have.")
    next_step = _("Remove one that is not used any more.")


class EndpointOff(Refusal):
    code, kind = "endpoint_off", Kind.CONFLICT
    message = _("This address is switched off.")
    next_step = _("Switch it on first; nothing was sent.")


@dataclass(frozen=True, slots=True)
class Sending:
    """What a try sends, where to, and how it is signed."""

    delivery_id: int
    url: str
    body: bytes
    signature: str
    event: str
    is_first: bool = True  # try


def is_forbidden(address: str) -> bool:
    """Say whether an IP address is one that a business's event must not be sent to: ours, local, or nobody's.

    Addresses that carry another one within (mapped, 6to4, Teredo, NAT64) are refused whole: what they lead to is not
    what they look like.
    """
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return is_forbidden(str(found.ipv4_mapped))
        if found.sixtofour is not None or found.teredo is not None or found in _NAT64 or found in _COMPATIBLE:
            return True
    return not found.is_global or found.is_multicast or found.is_reserved


_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_COMPATIBLE = ipaddress.ip_network("::/96")


def checked_url(url: str) -> str:
    """Return an address that events may be sent to; raise AddressRefused. Where it leads is asked when sending."""
    url = url.strip()
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise AddressRefused from error
    is_clean = url.isascii() and url.isprintable() and " " not in url and len(url) <= LONGEST_URL
    if not is_clean or not host or port == 0 or "@" in parts.netloc or parts.fragment or "\\" in url:
        raise AddressRefused
    if parts.scheme != "https" and not (settings.PAYDESK_LOCAL and parts.scheme == "http"):
        raise AddressRefused
    if not settings.PAYDESK_LOCAL:
        try:
            refused = is_forbidden(host)
        except ValueError:  # a name
            refused = "." not in host.strip(".") or host.rstrip(".").endswith(
                (".localhost", ".local", ".internal")
            )
        if refused:
            raise AddressRefused
    return url


# --- settings ------------------------------------------------------------------------------------------------


def _note(
    endpoint: OutgoingEndpoint, changes: dict[str, object], *, actor: str, now: datetime.datetime
) -> None:
    audit.record(
        AuditEntry.Action.ENDPOINT_CHANGED,
        business_id=endpoint.business_id,
        actor=actor,
        now=now,
        subject=endpoint.url,
        changes=changes,
    )


def _new_secret() -> str:
    return "whsec_" + secrets.token_urlsafe(32)


@transaction.atomic
def add_endpoint(
    *, business: Business, url: str, events: Collection[str], actor: str, now: datetime.datetime
) -> tuple[OutgoingEndpoint, str]:
    """Let an address be told of events; return it with the secret that signs them, which is shown once."""
    url = checked_url(url)
    there = OutgoingEndpoint.objects.filter(business=business, removed_at=None)
    if there.filter(url=url).exists():
        raise AddressKnown
    if there.count() >= MOST_ENDPOINTS:
        raise TooManyEndpoints
    secret = _new_secret()
    try:
        with transaction.atomic():
            endpoint = OutgoingEndpoint.objects.create(
                business=business,
                url=url,
                events=[kind for kind in KINDS if kind in events],
                secret_sealed=seal(secret),
                secret_hint=secret[-4:],
                created_at=now,
            )
    except IntegrityError as error:  # the same address, at this moment
        raise AddressKnown from error
    _note(endpoint, {"events": endpoint.events, "secret": f"whsec_…{secret[-4:]}"}, actor=actor, now=now)
    return endpoint, secret


@transaction.atomic
def change_endpoint(
    *,
    endpoint: OutgoingEndpoint,
    events: Collection[str],
    is_on: bool,
    actor: str,
    now: datetime.datetime,
) -> None:
    """Say which events an address is told, and whether at all. Switched on again it starts afresh."""
    before = {"events": endpoint.events, "on": endpoint.is_on}
    after = {"events": [kind for kind in KINDS if kind in events], "on": is_on}
    changed = audit.differences(before, after)
    if not changed:
        return
    endpoint.events = after["events"]
    if "on" in changed:
        endpoint.disabled_at = None if is_on else now
        endpoint.failing_since, endpoint.is_disabled_by_failing = None, False
    endpoint.save(update_fields=["events", "disabled_at", "failing_since", "is_disabled_by_failing"])
    _note(endpoint, dict(changed), actor=actor, now=now)


@transaction.atomic
def remove_endpoint(*, endpoint: OutgoingEndpoint, actor: str, now: datetime.datetime) -> None:
    """Tell an address nothing more. Again changes nothing."""
    rows = OutgoingEndpoint.objects.filter(id=endpoint.id, removed_at=None)
    if rows.update(removed_at=now, secret_sealed="", previous_secret_sealed="", previous_until=None):
        _note(endpoint, {"removed": True}, actor=actor, now=now)


@transaction.atomic
def roll_secret(*, endpoint: OutgoingEndpoint, hint: str, actor: str, now: datetime.datetime) -> str:
    """Give an address a new secret and return it; for a day both sign. `hint` is that of the one to be replaced.

    The same click twice: the second finds that it was replaced, and returns "".
    """
    secret = _new_secret()
    rolled = OutgoingEndpoint.objects.filter(id=endpoint.id, removed_at=None, secret_hint=hint).update(
        previous_secret_sealed=endpoint.secret_sealed,
        previous_until=now + OLD_SECRET_VALID,
        secret_sealed=seal(secret),
        secret_hint=secret[-4:],
    )
    if not rolled:
        return ""
    _note(endpoint, {"secret": [f"whsec_…{hint}", f"whsec_…{secret[-4:]}"]}, actor=actor, now=now)
    return secret


@transaction.atomic
def ping(*, endpoint: OutgoingEndpoint, now: datetime.datetime) -> OutgoingDelivery:
    """Send a test to an address."""
    if not endpoint.is_on:
        raise EndpointOff
    event = _write(
        OutgoingEvent.Kind.PING,
        endpoint.business_id,
        str(endpoint.public_id),
        {"endpoint": endpoint.url},
        now,
    )
    return _put_on_its_way(event, endpoint, now=now, priority=PERSON_WAITS)


@transaction.atomic
def resend(*, delivery: OutgoingDelivery, now: datetime.datetime) -> None:
    """Send an event once more, whatever came of it. One that is on its way is tried now."""
    if not delivery.endpoint.is_on:
        raise EndpointOff
    OutgoingDelivery.objects.filter(id=delivery.id).update(
        state=OutgoingDelivery.State.WAITING, tries=0, asked_at=now, delivered_at=None
    )
    _enqueue(delivery, now=now, priority=PERSON_WAITS)


# --- telling -------------------------------------------------------------------------------------------------


def endpoints_of(kind: OutgoingEvent.Kind, business_id: int) -> list[OutgoingEndpoint]:
    """Return the addresses of a business that are told of a kind of event."""
    return [one for one in _endpoints_in_use.all(business=business_id) if kind.value in one.events]


@compiled
def _endpoints_in_use(business: int) -> QuerySet[OutgoingEndpoint]:
    return OutgoingEndpoint.objects.filter(business=business, removed_at=None, disabled_at=None)


def announce(
    kind: OutgoingEvent.Kind,
    *,
    business_id: int,
    subject: str,
    facts: Callable[[], dict[str, BaseModel | None]],
    now: datetime.datetime,
    endpoints: list[OutgoingEndpoint] | None = None,
) -> None:
    """Write what happened for each address that wants it, in the transaction of the change; nothing where none does.

    `endpoints` are those addresses, from whoever has asked for them already.
    """
    wanted = endpoints_of(kind, business_id) if endpoints is None else endpoints
    if not wanted:
        return
    data = {name: None if value is None else value.model_dump(mode="json") for name, value in facts().items()}
    event = _write(kind, business_id, subject, data, now)
    for endpoint in wanted:
        _put_on_its_way(event, endpoint, now=now)


def _write(
    kind: OutgoingEvent.Kind,
    business_id: int,
    subject: str,
    data: Mapping[str, object],
    now: datetime.datetime,
) -> OutgoingEvent:
    event = OutgoingEvent(business_id=business_id, kind=kind, subject=subject, created_at=now)
    body = {
        "id": f"evt_{event.public_id.hex}",
        "type": kind.value,
        "api_version": API_VERSION,
        "created_at": now.astimezone(datetime.UTC).isoformat(),
        "data": data,
    }
    event.body = orjson.dumps(body).decode()
    event.save(force_insert=True)
    return event


def _put_on_its_way(
    event: OutgoingEvent, endpoint: OutgoingEndpoint, *, now: datetime.datetime, priority: int = NOBODY_WAITS
) -> OutgoingDelivery:
    delivery = OutgoingDelivery.objects.create(event=event, endpoint=endpoint, asked_at=now)
    _enqueue(delivery, now=now, priority=priority)
    return delivery


def _enqueue(
    delivery: OutgoingDelivery,
    *,
    now: datetime.datetime,
    due_at: datetime.datetime | None = None,
    priority: int = NOBODY_WAITS,
) -> None:
    enqueue(
        DELIVER_EVENT,
        business_id=delivery.endpoint.business_id,
        delivery_id=delivery.id,
        dedup_key=f"delivery:{delivery.id}",
        due_at=due_at,
        priority=priority,
        now=now,
    )


# --- sending -------------------------------------------------------------------------------------------------


def sign(body: bytes, keys: Collection[str], *, now: datetime.datetime) -> str:
    """Return the signature header: HMAC-SHA256 over "timestamp.body", one for each secret that is valid."""
    at = int(now.timestamp())
    signed = f"{at}.".encode() + body
    marks = [hmac.new(key.encode(), signed, hashlib.sha256).hexdigest() for key in keys]
    return ",".join([f"t={at}", *(f"v1={mark}" for mark in marks)])


def begin(*, delivery_id: int, now: datetime.datetime) -> Sending | None:
    """Return what to send; None where there is nothing to do any more."""
    delivery = (
        OutgoingDelivery.objects.filter(id=delivery_id, state=OutgoingDelivery.State.WAITING)
        .select_related("endpoint", "event")
        .first()
    )
    if delivery is None:
        return None
    endpoint = delivery.endpoint
    if not endpoint.is_on:
        OutgoingDelivery.objects.filter(id=delivery.id).update(
            state=OutgoingDelivery.State.FAILED, problem="endpoint_off"
        )
        return None
    keys = [unseal(endpoint.secret_sealed)]
    if endpoint.previous_until is not None and endpoint.previous_until > now:
        keys.append(unseal(endpoint.previous_secret_sealed))
    body = delivery.event.body.encode()
    return Sending(
        delivery.id,
        endpoint.url,
        body,
        sign(body, keys, now=now),
        f"evt_{delivery.event.public_id.hex}",
        is_first=not delivery.tries,
    )


@transaction.atomic
def conclude(
    *,
    delivery_id: int,
    lease: Lease,
    answer_code: int | None,
    problem: str,
    took_ms: int,
    now: datetime.datetime,
) -> None:
    """Write what came of a try, and when the next one is; an address that fails for long is switched off."""
    jobs.hold(lease)
    delivery = OutgoingDelivery.objects.select_related("endpoint").get(id=delivery_id)
    endpoint = delivery.endpoint
    delivery.tries += 1
    delivery.answer_code, delivery.problem, delivery.took_ms = answer_code, problem, took_ms
    delivery.tried_at = now
    if not problem:
        delivery.state, delivery.delivered_at = OutgoingDelivery.State.DELIVERED, now
        OutgoingEndpoint.objects.filter(id=endpoint.id, failing_since__isnull=False).update(
            failing_since=None
        )
    else:
        pause = PAUSES_SECONDS[min(delivery.tries, len(PAUSES_SECONDS)) - 1]
        due_at = now + datetime.timedelta(seconds=pause)
        if due_at > delivery.asked_at + TRIED_FOR:
            delivery.state = OutgoingDelivery.State.FAILED
        else:
            _enqueue(delivery, now=now, due_at=due_at)
        _fails(endpoint, now=now)
    delivery.save(
        update_fields=["tries", "answer_code", "problem", "took_ms", "tried_at", "state", "delivered_at"]
    )


def _fails(endpoint: OutgoingEndpoint, *, now: datetime.datetime) -> None:
    """Note that an address fails, and switch it off where nothing has come through for too long."""
    OutgoingEndpoint.objects.filter(id=endpoint.id, failing_since=None).update(failing_since=now)
    off = OutgoingEndpoint.objects.filter(
        id=endpoint.id, disabled_at=None, failing_since__lte=now - DISABLED_AFTER
    ).update(disabled_at=now, is_disabled_by_failing=True)
    if off:
        _note(endpoint, {"on": [True, False], "because": "it failed for three days"}, actor=WORKER, now=now)
