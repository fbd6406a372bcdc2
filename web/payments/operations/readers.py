"""A business's card readers: registered, renamed, moved, removed. A worker asks Stripe; a person follows the job.

None of this moves money, so a request is not an attempt of its own: the reader's row is what is asked for, the key
is made from it, and asking again asks for the same.
"""

from __future__ import annotations

import datetime
import uuid
from dataclasses import dataclass

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from web.core.crypto import seal, unseal
from web.core.models import Business, Location, Profile
from web.payments import locks
from web.payments.errors import Kind, Refusal
from web.payments.jobs import (
    CREATE_CONNECTION_TOKEN,
    READ_READER,
    REGISTER_READER,
    REMOVE_READER,
    UPDATE_READER,
    JobKind,
    enqueue,
)
from web.payments.models import (
    AuditEntry,
    ConnectionToken,
    Reader,
    ReaderAction,
    StripeAccount,
    StripeLocation,
)
from web.payments.operations import audit
from web.payments.operations.accounts import settings_of
from web.payments.operations.intents import account_in_use
from web.payments.operations.terminal import ReaderNotFound
from web.payments.snapshots import ReaderSnapshot
from web.payments.states import FINAL_ACTION, ActionState

LONGEST_LABEL = 100
TOKEN_LASTS = datetime.timedelta(minutes=5)  # a connection token that nobody fetched by then is forgotten


class CodeMissing(Refusal):
    code = "registration_code_missing"
    message = _("A reader is registered by the code that it shows.")
    next_step = _("Nothing was changed. Open Settings on the reader and type the words that it shows.")


class LabelMissing(Refusal):
    code = "label_missing"
    message = _("A reader needs a name of at most 100 characters.")
    next_step = _("Nothing was changed. Give it one by which staff know it, such as “Front desk”.")


class AddressMissing(Refusal):
    code = "address_missing"
    message = _("Stripe wants the address of the place where the reader stands.")
    next_step = _("Nothing was changed. Enter street, city, region and postal code.")


class ReaderInUse(Refusal):
    code, kind = "reader_in_use", Kind.CONFLICT
    message = _("There are payments on this reader, or waiting for it.")
    next_step = _("Nothing was changed. Let them end or hand them over first.")


class TokenNotFound(Refusal):
    code, kind = "connection_token_not_found", Kind.MISSING
    message = _("There is no such connection token, or it was fetched already.")
    next_step = _("No money moved. Ask for a new one.")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a place is, in the parts that Stripe wants; the country is the place's own."""

    line1: str
    city: str = ""
    region: str = ""
    postal_code: str = ""


@transaction.atomic
def register(
    *,
    business: Business,
    location: Location,
    label: str,
    registration_code: str,
    now: datetime.datetime,
    address: Address | None = None,
    actor: str = audit.COMMAND,
) -> tuple[Reader, uuid.UUID]:
    """Ask for a reader to be registered by its code; return its row and the job that a person can follow.

    `address` is needed for the first reader of a place; a corrected one is taken over until Stripe has it. The same
    code again, while it is being registered, is the same reader: it shows it to Stripe once.
    """
    label, registration_code = _label(label), registration_code.strip()
    if not registration_code or len(registration_code) > 80:
        raise CodeMissing
    account, _settings = account_in_use(business)
    settings_of(business)
    locks.settings(business.id)  # the same click twice takes turns
    _place(account, location, address)
    twin = Reader.objects.filter(
        account=account,
        location=location,
        registration_code=registration_code,
        state=Reader.State.REGISTERING,
    ).first()
    if twin is not None:
        return twin, _ask(REGISTER_READER, twin, now=now)
    reader = Reader.objects.create(
        business=business,
        account=account,
        location=location,
        label=label,
        registration_code=registration_code,
        created_at=now,
    )
    _audit(reader, {"state": [None, reader.state]}, actor=actor, now=now)
    return reader, _ask(REGISTER_READER, reader, now=now)


def _audit(reader: Reader, changes: dict[str, object], *, actor: str, now: datetime.datetime) -> None:
    audit.record(
        AuditEntry.Action.READER_CHANGED,
        business_id=reader.business_id,
        actor=actor,
        now=now,
        subject=reader.label,
        changes=changes,
    )


def _label(label: str) -> str:
    label = label.strip()
    if not label or len(label) > LONGEST_LABEL:
        raise LabelMissing
    return label


def _place(account: StripeAccount, location: Location, address: Address | None) -> StripeLocation:
    place = StripeLocation.objects.filter(account=account, location=location).first()
    if address is not None and address.line1.strip():
        if place is None:
            place = StripeLocation(account=account, location=location)
        if place.stripe_location_id is None:
            place.line1, place.city = address.line1.strip()[:200], address.city.strip()[:100]
            place.region = address.region.strip()[:100]
            place.postal_code = address.postal_code.strip()[:20]
            place.save()
    if place is None:
        raise AddressMissing
    return place


def _ask(kind: JobKind, reader: Reader, *, now: datetime.datetime) -> uuid.UUID:
    return enqueue(
        kind,
        business_id=reader.business_id,
        account_id=reader.account_id,
        reader_id=reader.id,
        dedup_key=f"reader:{reader.id}",
        now=now,
    )


def _locked(business: Business, reader_id: uuid.UUID) -> Reader:
    known = Reader.objects.filter(business=business, public_id=reader_id).first()
    if known is None or known.state == Reader.State.REMOVED:
        raise ReaderNotFound
    reader = locks.reader(known.id)
    if reader.state == Reader.State.REMOVED:  # by somebody else, while we waited for it
        raise ReaderNotFound
    return reader


@transaction.atomic
def register_again(
    *, business: Business, reader_id: uuid.UUID, registration_code: str, now: datetime.datetime
) -> uuid.UUID:
    """Try another code for a reader that Stripe refused; return the job to follow."""
    reader = _locked(business, reader_id)
    if reader.state == Reader.State.READY:
        return _ask(READ_READER, reader, now=now)
    if not registration_code.strip() or len(registration_code) > 80:
        raise CodeMissing
    reader.state, reader.problem = Reader.State.REGISTERING, ""
    reader.registration_code = registration_code.strip()
    reader.save(update_fields=["state", "problem", "registration_code"])
    return _ask(REGISTER_READER, reader, now=now)


@transaction.atomic
def change(
    *,
    business: Business,
    reader_id: uuid.UUID,
    label: str,
    location: Location,
    now: datetime.datetime,
    actor: str,
) -> None:
    """Give a reader another place and another name: both, or neither where one is refused."""
    reader = _locked(business, reader_id)
    move(business=business, reader_id=reader_id, location=location, now=now, actor=actor)
    if label.strip() != reader.label:
        rename(business=business, reader_id=reader_id, label=label, now=now, actor=actor)


@transaction.atomic
def rename(
    *,
    business: Business,
    reader_id: uuid.UUID,
    label: str,
    now: datetime.datetime,
    actor: str = audit.COMMAND,
) -> uuid.UUID:
    """Give a reader another name, here at once and at Stripe by a worker; return the job to follow."""
    reader = _locked(business, reader_id)
    before, reader.label = reader.label, _label(label)
    if before != reader.label:
        reader.save(update_fields=["label"])
        _audit(reader, {"label": [before, reader.label]}, actor=actor, now=now)
    return _ask(UPDATE_READER, reader, now=now)


@transaction.atomic
def move(
    *,
    business: Business,
    reader_id: uuid.UUID,
    location: Location,
    now: datetime.datetime,
    actor: str = audit.COMMAND,
) -> Reader:
    """Say that a reader stands in another place of the business. Ours alone: at Stripe it keeps its location."""
    reader = _locked(business, reader_id)
    before = reader.location
    if before.id != location.id:
        reader.location = location
        reader.save(update_fields=["location"])
        _audit(reader, {"location": [before.name, location.name]}, actor=actor, now=now)
    return reader


@transaction.atomic
def remove(
    *, business: Business, reader_id: uuid.UUID, now: datetime.datetime, actor: str = audit.COMMAND
) -> uuid.UUID | None:
    """Remove a reader that nobody uses; return the job to follow, None where Stripe never knew it."""
    reader = _locked(business, reader_id)
    in_use = ReaderAction.objects.filter(reader=reader).exclude(state__in=FINAL_ACTION)
    # A refund on a reader that broke down is certain only once Stripe does not know the reader any more.
    if in_use.exclude(refund__isnull=False, state=ActionState.CANCELLING).exists():
        raise ReaderInUse
    known_to_stripe = reader.stripe_reader_id is not None
    before = reader.state
    reader.state, reader.removed_at = Reader.State.REMOVED, now
    reader.save(update_fields=["state", "removed_at"])
    _audit(reader, {"state": [before, reader.state]}, actor=actor, now=now)
    return _ask(REMOVE_READER, reader, now=now) if known_to_stripe else None


@transaction.atomic
def refresh(*, business: Business, reader_id: uuid.UUID, now: datetime.datetime) -> uuid.UUID:
    """Ask for a reader to be read at Stripe; return the job to follow."""
    return _ask(READ_READER, _locked(business, reader_id), now=now)


# --- what came of it -------------------------------------------------------------------------------------


@transaction.atomic
def settle_place(*, place_id: int, stripe_location_id: str) -> None:
    """Note the place that Stripe has made."""
    StripeLocation.objects.filter(id=place_id, stripe_location_id=None).update(
        stripe_location_id=stripe_location_id
    )


@transaction.atomic
def settle_registration(
    *, reader_id: int, snapshot: ReaderSnapshot | None, problem: str, now: datetime.datetime
) -> Reader:
    """Apply what Stripe said to a registration: the reader, or why not.

    A reader that this account has already (registered twice, or in the dashboard and here) stays one row.
    """
    reader = locks.reader(reader_id)
    if snapshot is None:
        if reader.state == Reader.State.REGISTERING:
            reader.state, reader.problem = Reader.State.REFUSED, problem
            reader.save(update_fields=["state", "problem"])
        return reader
    known = (
        Reader.objects.filter(account_id=reader.account_id, stripe_reader_id=snapshot.reader_id)
        .exclude(id=reader.id)
        .first()
    )
    if known is not None:
        known = locks.reader(known.id)
        known.state, known.removed_at, known.problem = Reader.State.READY, None, ""
        known.label, known.location_id, known.read_at = reader.label, reader.location_id, now
        known.save()
        reader.state, reader.removed_at = Reader.State.REMOVED, now
        reader.registration_code = ""
        reader.save()
        return known
    reader.stripe_reader_id = snapshot.reader_id
    reader.device_type, reader.serial_number = snapshot.device_type, snapshot.serial_number
    reader.is_online, reader.last_seen_at, reader.read_at = snapshot.is_online, snapshot.last_seen_at, now
    reader.registration_code = reader.problem = ""
    if reader.state != Reader.State.REMOVED:
        reader.state = Reader.State.READY
    reader.save()
    return reader


# --- connection tokens -----------------------------------------------------------------------------------


@transaction.atomic
def request_connection_token(
    *, business: Business, location: Location | None, staff: Profile, now: datetime.datetime
) -> ConnectionToken:
    """Ask for a token with which a reader SDK may connect; a worker gets it, its secret is given out once."""
    account, _settings = account_in_use(business)
    token = ConnectionToken.objects.create(
        business=business, account=account, location=location, asked_by=staff, created_at=now
    )
    enqueue(
        CREATE_CONNECTION_TOKEN,
        business_id=business.id,
        account_id=account.id,
        connection_token_id=token.id,
        dedup_key=f"token:{token.id}",
        now=now,
    )
    return token


def settle_connection_token(
    *, connection_token_id: int, secret: str, problem: str, now: datetime.datetime
) -> None:
    """Keep a token's secret, sealed, until it is fetched; or why Stripe refused it. One that comes too late is not."""
    token = ConnectionToken.objects.filter(id=connection_token_id, taken_at=None)
    token.filter(created_at__gte=now - TOKEN_LASTS).update(
        secret_sealed=seal(secret) if secret else "", problem=problem[:60]
    )


def forget_connection_tokens(*, now: datetime.datetime) -> int:
    """Erase the secrets of tokens that nobody fetched in time; return how many."""
    late = ConnectionToken.objects.filter(created_at__lt=now - TOKEN_LASTS).exclude(secret_sealed="")
    return late.update(secret_sealed="")


@transaction.atomic
def take_connection_token(
    *, business: Business, token_id: uuid.UUID, staff: Profile, now: datetime.datetime
) -> tuple[str, str]:
    """Give a token's secret to who asked for it, once; ("", "") while it is not there, or ("", why it never will)."""
    token = locks.connection_token(business_id=business.id, public_id=token_id)
    if token is None or token.asked_by_id != staff.id or token.taken_at is not None:
        raise TokenNotFound
    if now - token.created_at > TOKEN_LASTS:
        raise TokenNotFound
    if not token.secret_sealed:
        return "", token.problem
    secret = unseal(token.secret_sealed)
    token.secret_sealed, token.taken_at = "", now
    token.save(update_fields=["secret_sealed", "taken_at"])
    return secret, ""
