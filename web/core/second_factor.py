"""A second factor at sign-in: who needs one, whether it was shown, and whether somebody has just proved who they are.

Built on django-allauth's `mfa`: codes of an authenticator app, passkeys, recovery codes. Who has set one up is asked
for it at every sign-in. A business, or the installation for its operators, may insist that there is one.
"""

from __future__ import annotations

import time
from typing import Any, cast
from urllib.parse import urlencode

from allauth.account.authentication import (
    AUTHENTICATION_METHODS_SESSION_KEY,
    get_authentication_records,
)
from allauth.account.internal.flows.login import record_authentication
from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from web.core.crypto import seal, unseal
from web.core.groups import MONEY_GROUP_NAMES
from web.core.models import Business

FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


def is_needed(business: Business, groups: frozenset[str]) -> bool:
    """Say whether this business insists on a second factor for staff with these rights."""
    if business.second_factor == Business.SecondFactor.STAFF:
        return True
    return business.second_factor == Business.SecondFactor.MONEY and not groups.isdisjoint(MONEY_GROUP_NAMES)


def is_proved(request: HttpRequest) -> bool:
    """Say whether a second factor was shown, or set up, in this session."""
    records = get_authentication_records(request, cast(Any, request.user))
    return any(record.get("method") == "mfa" for record in records)


def is_recent(request: HttpRequest) -> bool:
    """Say whether this person has shown their password or second factor within the last minutes."""
    since = time.time() - settings.ACCOUNT_REAUTHENTICATION_TIMEOUT
    records = get_authentication_records(request, cast(Any, request.user))
    return any(record.get("at", 0) > since for record in records)


def confirm_first(back: str) -> HttpResponseBase:
    """Send somebody to prove who they are, and from there to `back`, an address of ours."""
    return redirect(f"{reverse('account_reauthenticate')}?{urlencode({'next': back})}")


def way_to_prove(request: HttpRequest, back: str) -> str:
    """Return where a second factor is shown, or set up by who has none."""
    types = set(
        Authenticator.objects.filter(user_id=request.user.pk, type__in=FACTORS).values_list("type", flat=True)
    )
    if not types:
        return reverse("mfa_index")
    name = "mfa_reauthenticate" if Authenticator.Type.TOTP in types else "mfa_reauthenticate_webauthn"
    return f"{reverse(name)}?{urlencode({'next': back})}"


def note_set_up(request: HttpRequest, kind: Authenticator.Type) -> None:
    """Count setting a factor up as showing it."""
    record_authentication(request, cast(Any, request.user), "mfa", type=kind)


def note_removed(request: HttpRequest, user: Any, **_more: object) -> None:
    """Forget that a factor was shown once there is none: a signal receiver (see apps.py)."""
    if Authenticator.objects.filter(user_id=user.pk, type__in=FACTORS).exists():
        return
    records = request.session.get(AUTHENTICATION_METHODS_SESSION_KEY, [])
    request.session[AUTHENTICATION_METHODS_SESSION_KEY] = [
        record for record in records if record.get("method") != "mfa"
    ]


class Adapter(DefaultMFAAdapter):
    """What allauth asks us: how secrets are kept, and what apps and browsers show of an account."""

    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": gettext_lazy("This is not right, or it was used already. Try the next code."),
        "cannot_generate_recovery_codes": gettext_lazy("Set up an app or a passkey first."),
    }

    def encrypt(self, text: str) -> str:
        """Seal it as Stripe's keys are sealed."""
        return seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        """Open what `encrypt` sealed."""
        return unseal(encrypted_text)

    def generate_authenticator_name(self, user: Any, type: Authenticator.Type) -> str:  # noqa: A002  # allauth's name
        """Propose a name for a passkey."""
        count = Authenticator.objects.filter(user_id=user.pk, type=type).count()
        return _("Passkey %(number)d") % {"number": count + 1}

    def get_public_key_credential_user_entity(self, user: Any) -> dict[str, Any]:
        """Show the person's name, not the user name with the business's number in it."""
        profile = getattr(user, "profile", None)
        entity: dict[str, Any] = super().get_public_key_credential_user_entity(user)
        return {**entity, "display_name": profile.name if profile else user.email}

    def _get_site_name(self) -> str:
        business: Business | None = getattr(context.request, "business", None)
        return business.name if business else "Paydesk"
