"""Tokens of programs: made and revoked by people in the settings, looked up by their hash on every call."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
from collections.abc import Collection
from dataclasses import dataclass

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils.translation import gettext_lazy as _

from web.core.models import Business, Profile
from web.payments.errors import Kind, Refusal
from web.payments.models import ApiToken, AuditEntry
from web.payments.operations import audit

BEGINS = "pdk_"
PREFIX = len(BEGINS) + 8  # what is kept to tell it apart: 48 of its 256 bits
LONGEST = 100  # characters of what could be a token at all
MOST_TOKENS = 50  # of a business, in use


class TooManyTokens(Refusal):
    code, kind = "too_many_tokens", Kind.CONFLICT
    message = _("This business has as many tokens as it can have.")
    next_step = _("No money moved. Revoke one that is not used any more.")


class TokenUnknown(Refusal):
    """It never was, is revoked, has expired, or belongs to another business: nobody learns which."""

    code = "token_unknown"
    message = _("This token is not valid here.")
    next_step = _("Nothing was done. Use a token of this business that is in use, as a Bearer token.")


class TooManyCalls(Refusal):
    """More calls in a minute than a token has; `details["retry_after"]` is when there are some again, in seconds."""

    code = "too_many_calls"
    message = _("This token was used too often within a minute.")
    next_step = _("Nothing was done. Wait as long as Retry-After says, then ask again.")


@dataclass(frozen=True, slots=True)
class Caller:
    """A program that asks: its token, and how many calls it has left in this minute."""

    token: ApiToken
    left: int

    def may(self, scope: str) -> bool:
        return scope in self.token.scopes


def hash_of(secret: str) -> str:
    """Return what is kept of a token. It has 256 random bits: no salt nor slow hash makes it harder to guess."""
    return hashlib.sha256(secret.encode()).hexdigest()


def secret_of_form(business: Business, form_token: str) -> str:
    """Return the token that a form makes: the same click twice makes one, and both answers can show it.

    The form's token has 192 random bits and is kept nowhere; together with SECRET_KEY it cannot be guessed.
    """
    key = f"api token of {business.id}\n{settings.SECRET_KEY}".encode()
    made = hmac.new(key, form_token.encode(), hashlib.sha256).digest()
    return BEGINS + base64.urlsafe_b64encode(made).decode().rstrip("=")


@transaction.atomic
def make(
    *,
    business: Business,
    name: str,
    scopes: Collection[str],
    expires_at: datetime.datetime | None,
    form_token: str,
    maker: Profile,
    actor: str,
    now: datetime.datetime,
) -> tuple[ApiToken, str]:
    """Make a token; return it with what it is, which is never known again. The same form makes it once."""
    secret = secret_of_form(business, form_token)
    known = ApiToken.objects.filter(secret_hash=hash_of(secret)).first()
    if known is not None:
        return known, secret
    if ApiToken.objects.filter(business=business, revoked_at=None).count() >= MOST_TOKENS:
        raise TooManyTokens
    try:
        with transaction.atomic():
            token = ApiToken.objects.create(
                business=business,
                name=name,
                prefix=secret[:PREFIX],
                secret_hash=hash_of(secret),
                scopes=sorted(set(scopes)),
                created_by=maker,
                created_at=now,
                expires_at=expires_at,
            )
    except IntegrityError:  # the same form, at this moment
        return ApiToken.objects.get(secret_hash=hash_of(secret)), secret
    audit.record(
        AuditEntry.Action.TOKEN_MADE,
        business_id=business.id,
        actor=actor,
        now=now,
        subject=f"{token.name} {token.prefix}…",
        changes={"scopes": token.scopes, "expires_at": "" if expires_at is None else expires_at.isoformat()},
    )
    return token, secret


@transaction.atomic
def revoke(*, token: ApiToken, actor: str, now: datetime.datetime) -> None:
    """End a token at once. Again changes nothing."""
    if not ApiToken.objects.filter(id=token.id, revoked_at=None).update(revoked_at=now):
        return
    audit.record(
        AuditEntry.Action.TOKEN_REVOKED,
        business_id=token.business_id,
        actor=actor,
        now=now,
        subject=f"{token.name} {token.prefix}…",
    )


# One statement finds the token by its hash, refuses what is not in use, counts the call and notes when it was.
_USE = """
UPDATE payments_apitoken AS token SET used_at = %(now)s, minute_at = %(minute)s,
       calls = CASE WHEN minute_at = %(minute)s THEN calls + 1 ELSE 1 END
FROM core_profile AS maker JOIN core_user AS person ON person.id = maker.user_id
WHERE token.secret_hash = %(hash)s AND token.business_id = %(business)s AND token.revoked_at IS NULL
      AND (token.expires_at IS NULL OR token.expires_at > %(now)s)
      AND maker.id = token.created_by_id AND maker.role = 'staff' AND person.is_active
RETURNING token.id, token.calls
"""


def use(*, business: Business, secret: str, now: datetime.datetime) -> Caller:
    """Find who asks and count the call; raise TokenUnknown or TooManyCalls.

    A token acts for whoever made it: once they are no longer staff, it does not either.
    """
    if not secret.startswith(BEGINS) or len(secret) > LONGEST:
        raise TokenUnknown
    minute = now.replace(second=0, microsecond=0)
    facts: dict[str, str | int | datetime.datetime] = {
        "now": now,
        "minute": minute,
        "hash": hash_of(secret),
        "business": business.id,
    }
    with connection.cursor() as cursor:
        cursor.execute(_USE, facts)
        row = cursor.fetchone()
    if row is None:
        raise TokenUnknown
    token_id, calls = row
    left = settings.API_CALLS_PER_MINUTE - calls
    if left < 0:
        raise TooManyCalls(retry_after=max(60 - now.second, 1))
    return Caller(ApiToken.objects.select_related("created_by").get(id=token_id), left)
