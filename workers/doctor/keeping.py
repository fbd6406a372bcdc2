"""What was configured: hosts, https, mail, and the keys that seal secrets."""

from __future__ import annotations

import io
import smtplib
from collections.abc import Iterator

from allauth.mfa.models import Authenticator
from django.apps import apps
from django.conf import settings
from django.core.mail import get_connection
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from web.core.crypto import CannotOpenSecret, is_sealed_with_newest, unseal
from web.core.models import Business, BusinessHost
from web.payments.management.commands.rotate_keys import sealed_columns
from workers.doctor.findings import Finding, broken, warning, well

MOST_OPENED = 2_000  # rows of a column: newest first, enough to find a key that is gone


def sealed() -> Iterator[Finding]:
    """See that every sealed secret opens, and that none needs an old key."""
    lost, old, seen = 0, 0, 0
    for text in _sealed_values():
        seen += 1
        try:
            unseal(text)
        except CannotOpenSecret:
            lost += 1
            continue
        old += not is_sealed_with_newest(text)
    if lost:
        yield broken(
            "keys.open", f"{lost} of {seen} secrets cannot be opened",
            means="Accounts whose keys they are cannot call Stripe; second factors among them sign nobody in.",
            mend="Put the key that sealed them back into FIELD_ENCRYPTION_KEYS, behind the newest. "
            "Where it is lost, enter the Stripe keys again.",
        )  # fmt: skip
        return
    yield well("keys.open", f"all {seen} secrets open")
    if old:
        yield warning(
            "keys.rotated", f"{old} secrets need a key that is not the newest",
            means="The old key cannot be taken away yet.", mend="python manage.py rotate_keys",
        )  # fmt: skip


def _sealed_values() -> Iterator[str]:
    for model in apps.get_models():
        for column in sealed_columns(model):
            rows = model._default_manager.exclude(**{column: ""}).order_by("-pk")
            yield from rows.values_list(column, flat=True)[:MOST_OPENED]
    for data in Authenticator.objects.exclude(type=Authenticator.Type.WEBAUTHN).values_list(
        "data", flat=True
    ):
        yield from (data[name] for name in ("secret", "seed") if name in data)


def hosts() -> Iterator[Finding]:
    """See that every business is reached: a host of its own, that Django answers to."""
    from django.http.request import validate_host

    names = list(BusinessHost.objects.order_by("host").values_list("host", flat=True))
    refused = [name for name in names if not validate_host(name, settings.ALLOWED_HOSTS)]
    hostless = Business.objects.filter(hosts=None).count()
    if not Business.objects.exists():
        yield warning(
            "hosts.businesses", "there is no business yet", means="There is nothing to sell, and nobody to sign in.",
            mend="python manage.py seed_studio --host your.host.name",
        )  # fmt: skip
        return
    if refused:
        yield broken(
            "hosts.allowed", f"ALLOWED_HOSTS does not have {', '.join(refused[:3])}",
            means="Whoever opens that address is told that the request is not understood (400).",
            mend="Add the names to ALLOWED_HOSTS and restart web.",
        )  # fmt: skip
    elif hostless:
        yield warning(
            "hosts.businesses", f"{hostless} businesses have no host", means="Their pages cannot be opened.",
            mend="Give each a host name (BusinessHost).",
        )  # fmt: skip
    else:
        yield well("hosts.allowed", f"{len(names)} hosts are answered")


def https() -> Iterator[Finding]:
    """See what `manage.py check --deploy` says, and that links and cookies fit a site behind https."""
    if settings.PAYDESK_LOCAL or settings.DEBUG:
        yield warning(
            "https.local", "PAYDESK_LOCAL or DEBUG is on",
            means="Cookies travel over plain http. That is for a machine of your own.",
            mend="Set both to false wherever somebody else can reach it.",
        )  # fmt: skip
        return
    said = io.StringIO()
    try:
        call_command("check", deploy=True, fail_level="WARNING", stdout=said, stderr=said)
    except SystemCheckError as error:
        yield broken(
            "https.deploy", "Django's check for deployments complains", means=" ".join(str(error).split())[:400],
            mend="See .env.example, the part on where it is reached.",
        )  # fmt: skip
    else:
        yield well("https.deploy", "Django's check for deployments finds nothing")
    if not settings.SECURE_PROXY_SSL_HEADER and not settings.SECURE_SSL_REDIRECT:
        yield warning(
            "https.proxy", "neither BEHIND_PROXY nor SECURE_SSL_REDIRECT is on",
            means="Behind a proxy that ends TLS, every request looks like plain http, and everybody has one address.",
            mend="BEHIND_PROXY=true, where the proxy sets X-Forwarded-Proto and X-Forwarded-For itself.",
        )  # fmt: skip
    if not settings.PUBLIC_ORIGIN.startswith("https://"):
        yield warning(
            "https.links", f"links in mails begin with {settings.PUBLIC_ORIGIN.split(':')[0]}://",
            means="Receipts lead to a page without https.", mend="PUBLIC_ORIGIN=https://{host}",
        )  # fmt: skip


def mail() -> Iterator[Finding]:
    """See that the mail server lets us in; nothing is sent."""
    backend = settings.EMAIL_BACKEND
    if not backend.endswith("smtp.EmailBackend"):
        yield warning(
            "mail", f"mail goes to {backend.split('.')[-2]}, to nobody",
            means="No receipt, and no link for a new password, reaches anybody.",
            mend="EMAIL_URL=smtp+tls://user:password@host:587",
        )  # fmt: skip
        return
    sender = get_connection(fail_silently=False, timeout=5)
    try:
        sender.open()
    except (OSError, smtplib.SMTPException) as error:
        yield broken(
            "mail", f"the mail server does not let us in: {type(error).__name__}",
            means="Receipts wait; they are tried again.", mend="See EMAIL_URL: host, port, user, password, tls or ssl.",
        )  # fmt: skip
        return
    finally:
        sender.close()
    yield well("mail", "the mail server lets us in")
    if settings.DEFAULT_FROM_EMAIL.endswith("@localhost"):
        yield warning(
            "mail.sender", f"mail comes from {settings.DEFAULT_FROM_EMAIL}", means="Most servers refuse it.",
            mend="DEFAULT_FROM_EMAIL=receipts@your.domain",
        )  # fmt: skip
