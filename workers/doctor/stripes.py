"""Every business's Stripe account: its keys, its mode, its webhook, and Stripe's clock."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from django.conf import settings
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from tasks.backfill import A_WEBHOOK_TAKES
from tasks.gateway.accounts import read_account
from tasks.gateway.endpoints import Endpoint, list_endpoints
from tasks.gateway.events import list_events
from tasks.gateway.stripe_api import StripeRefused
from web.core.crypto import CannotOpenSecret
from web.payments.followed_events import FOLLOWED
from web.payments.jobs import TryAgain
from web.payments.models import InboxEvent, PaymentSettings, StripeAccount, WebhookSecret
from workers.doctor.findings import Finding, State, broken, unknown, warning, well
from workers.doctor.servers import clock

LOOKED_BACK = datetime.timedelta(days=1)


def accounts() -> Iterator[Finding]:
    """Look at the account in use of every business that takes online payments."""
    used = StripeAccount.objects.select_related("business")
    without = PaymentSettings.objects.filter(gateway=PaymentSettings.Gateway.STRIPE).exclude(
        business__stripe_accounts__state=StripeAccount.State.ACTIVE
    )
    for row in without.select_related("business"):
        yield _without_keys(row)
    for account in used.filter(state=StripeAccount.State.ACTIVE).order_by("business__business_id"):
        yield from _account(account)


def _without_keys(row: PaymentSettings) -> Finding:
    check = f"stripe.keys[{row.business.business_id}]"
    newest = StripeAccount.objects.filter(business=row.business).order_by("-id").first()
    if newest is not None and newest.state == StripeAccount.State.UNVERIFIED:
        return warning(
            check, f"{row.business.name}: keys were entered, and are still being checked",
            means="Nobody can pay by card.",
            mend="See that workers run; the page of settings says what came of it.",
        )  # fmt: skip
    refused = f", the last were refused: {newest.problem}" if newest is not None and newest.problem else ""
    return warning(
        check, f"{row.business.name}: no Stripe keys{refused}", means="Nobody can pay by card.",
        mend="Enter them in Settings, or say there that the business takes no online payments.",
    )  # fmt: skip


def _account(account: StripeAccount) -> Iterator[Finding]:
    number, name = account.business.business_id, account.business.name
    check = f"stripe.keys[{number}]"
    mode = "live" if account.is_live else "test"
    try:
        found = read_account(account)
    except StripeRefused as refusal:
        yield broken(
            check, f"{name}: Stripe refuses the {mode} key …{account.secret_key_hint} ({refusal.code})",
            means="Nobody can pay by card, and no refund reaches Stripe.",
            mend="Make a new secret key in Stripe's dashboard and enter it in Settings.",
        )  # fmt: skip
        return
    except TryAgain as reason:
        yield broken(
            check, f"{name}: Stripe does not answer ({reason})", means="Payments wait (docs/runbooks/stripe-down.md).",
            mend="See that this machine may reach https://api.stripe.com"
            + (f", and that {settings.STRIPE_API_BASE}, the sandbox, runs" if settings.STRIPE_API_BASE else ""),
        )  # fmt: skip
        return
    except CannotOpenSecret:
        return  # keys.open says so
    if found.account_id != account.account_id:
        yield broken(
            check, f"{name}: the key belongs to {found.account_id}, not to {account.account_id}",
            means="Money would go to another account.", mend="Enter the keys again in Settings.",
        )  # fmt: skip
        return
    if account.is_live and not found.charges_enabled:
        yield broken(
            check, f"{name}: Stripe lets {account.account_id} take no charges yet", means="Every card is refused.",
            mend="Complete the account in Stripe's dashboard.",
        )  # fmt: skip
    else:
        where = f", at {settings.STRIPE_API_BASE}" if settings.STRIPE_API_BASE else ""
        yield well(check, f"{name}: {account.account_id}, {mode} mode{where}")
    if settings.STRIPE_API_BASE and account.is_live:
        yield broken(
            f"stripe.mode[{number}]", f"{name}: live keys are sent to {settings.STRIPE_API_BASE}",
            means="No money moves, and the keys are shown to a server that is not Stripe's.",
            mend="Empty STRIPE_API_BASE and STRIPE_JS_URL.",
        )  # fmt: skip
    if found.ahead_seconds is not None:
        yield clock(f"clock.stripe[{number}]", "Stripe", found.ahead_seconds, precision_seconds=1.0)
    yield from _webhook(account)


def _webhook(account: StripeAccount) -> Iterator[Finding]:
    number, name = account.business.business_id, account.business.name
    path = reverse("payment:stripe-webhook", args=[account.business.payment_settings.webhook_token])
    now = timezone.now()
    secrets = WebhookSecret.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now), account=account)
    if not secrets.exists():
        yield broken(
            f"stripe.webhook_secret[{number}]", f"{name}: no signing secret",
            means="Stripe's reports are refused. Payments end all the same, when a sweep reads them, minutes later.",
            mend="Copy it (whsec_…) from the endpoint's page in Stripe's dashboard into Settings.",
        )  # fmt: skip
    try:
        yield _endpoint(account, path, list_endpoints(account))
    except StripeRefused:
        yield unknown(
            f"stripe.endpoint[{number}]", f"{name}: this key may not list webhook endpoints",
            mend="Give a restricted key the right to read them, or look in Stripe's dashboard.",
        )  # fmt: skip
    except TryAgain as reason:
        yield unknown(f"stripe.endpoint[{number}]", f"{name}: {reason}")
    yield from _arriving(account, now)


def _endpoint(account: StripeAccount, path: str, endpoints: list[Endpoint]) -> Finding:
    check, name = f"stripe.endpoint[{account.business.business_id}]", account.business.name
    ours = [one for one in endpoints if one.url.endswith(path)]
    if not ours:
        return warning(
            check, f"{name}: Stripe knows no endpoint that ends with {path[:12]}…",
            means="Stripe reports nothing here, unless `stripe listen` forwards it.",
            mend="Developers → Webhooks in Stripe's dashboard: add the address that Settings shows.",
        )  # fmt: skip
    if all(one.status != "enabled" for one in ours):
        return broken(
            check, f"{name}: the endpoint is {ours[0].status}", means="Stripe reports nothing here.",
            mend="Enable it in Stripe's dashboard. Stripe disables what has failed for days: see why first.",
        )  # fmt: skip
    wanted = {event for one in ours if one.status == "enabled" for event in one.events}
    missing = [] if "*" in wanted else sorted(set(FOLLOWED) - wanted)
    if missing:
        return warning(
            check, f"{name}: the endpoint is not told of {', '.join(missing[:4])}{' …' if len(missing) > 4 else ''}",
            means="These are found minutes later, when a sweep reads Stripe's list.",
            mend="Add the events that Settings lists to the endpoint in Stripe's dashboard.",
        )  # fmt: skip
    return well(check, f"{name}: the endpoint is enabled, with every event that is needed")


def _arriving(account: StripeAccount, now: datetime.datetime) -> Iterator[Finding]:
    """Compare what Stripe has to tell with what has come here in time: a secret that does not fit shows so."""
    check, name = f"stripe.events[{account.business.business_id}]", account.business.name
    try:
        events, _more = list_events(account, since=now - LOOKED_BACK, until=now - A_WEBHOOK_TAKES, after="")
    except (StripeRefused, TryAgain) as reason:
        yield unknown(check, f"{name}: {reason}")
        return
    wanted = {str(event["id"]): event for event in events if event.get("type") in FOLLOWED}
    if not wanted:
        yield Finding(check, State.OK, f"{name}: Stripe had nothing to tell within a day")
        return
    rows = InboxEvent.objects.filter(account=account, event_id__in=wanted)
    in_time = sum(row.received_at - row.occurred_at <= A_WEBHOOK_TAKES for row in rows)
    if not in_time:
        yield broken(
            check, f"{name}: of {len(wanted)} events of a day none came within {A_WEBHOOK_TAKES.seconds // 60} minutes",
            means="The signing secret does not fit, or Stripe cannot reach this address. Sales end minutes late.",
            mend="Stripe's dashboard shows each delivery: 400 means the secret (copy it again into Settings), "
            "anything else that the address is not reached.",
        )  # fmt: skip
    elif in_time < len(wanted):
        yield warning(
            check, f"{name}: {len(wanted) - in_time} of {len(wanted)} events came late or by a sweep",
            means="This address was away for a while.", mend="Look at Stripe's dashboard for the failed deliveries.",
        )  # fmt: skip
    else:
        yield well(check, f"{name}: all {len(wanted)} events of a day came in time")
