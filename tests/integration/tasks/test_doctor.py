"""`manage.py doctor` on an installation that was broken in one way after the other, and on one that is well."""

from __future__ import annotations

import datetime
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
import redis
from django.conf import settings
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from tests.factories import BusinessFactory
from tests.integration.conftest import AtStripe
from web.core import checks
from web.core.crypto import seal
from web.payments.jobs import QUEUES
from web.payments.models import InboxEvent, PaymentSettings, StripeAccount, WorkerPulse
from web.payments.operations import accounts
from workers.doctor import servers
from workers.doctor.findings import State, broken
from workers.management.commands import doctor

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., AtStripe]


def examined() -> tuple[dict[str, tuple[str, str]], int]:
    """Return state and words by check, and the exit code."""
    said, code = io.StringIO(), 0
    try:
        call_command("doctor", "--json", stdout=said)
    except SystemExit as end:
        code = int(end.code or 0)
    found: list[dict[str, Any]] = json.loads(said.getvalue())
    for one in found:
        assert (one["state"] == "ok") is (one["means"] == ""), one
        assert one["state"] in ("ok", "unknown") or one["mend"], f"how is it mended? {one}"
    return {one["check"].partition("[")[0]: (one["state"], one["found"]) for one in found}, code


def bring_to_life() -> None:
    now = timezone.now()
    for queue in (*QUEUES, "beat"):
        WorkerPulse.objects.create(
            worker="w@1", queue=queue, threads=1, started_at=now, seen_at=now, drained_at=now
        )


def test_an_installation_that_lacks_everything(at_stripe: Make) -> None:
    at_stripe()
    found, code = examined()
    assert code == 2
    for check, state in {
        "servers.database": "ok",
        "servers.migrations": "ok",
        "servers.redis": "ok",
        "clock.postgresql": "ok",
        "clock.redis": "ok",
        "clock.stripe": "ok",
        "keys.open": "ok",
        "stripe.keys": "ok",
        "https.local": "warning",
        "mail": "warning",
        "workers.queues": "broken",
        "beat": "broken",
        "stripe.webhook_secret": "broken",
        "stripe.endpoint": "warning",
    }.items():
        assert found[check][0] == state, (check, found.get(check))


def test_what_is_mended_is_not_told_any_more_and_each_thing_that_breaks_is(
    at_stripe: Make, settings: Settings
) -> None:
    at = at_stripe(business=BusinessFactory.create(host="doctor.localhost"))
    account, business = at.shop.account, at.shop.business
    bring_to_life()
    accounts.add_webhook_secret(business=business, secret="whsec_of_this_endpoint", now=timezone.now())
    token = PaymentSettings.objects.get(business=business).webhook_token
    path = reverse("payment:stripe-webhook", args=[token])
    endpoint = at.v1.webhook_endpoints.create(
        {"url": f"http://127.0.0.1:9{path}", "enabled_events": ["payment_intent.succeeded"]}
    )
    found, _code = examined()
    assert found["workers.queues"][0] == found["beat"][0] == "ok"
    assert "stripe.webhook_secret" not in found, "nothing is missing"
    assert (found["stripe.endpoint"][0], "charge.dispute" in found["stripe.endpoint"][1]) == ("warning", True)
    at.v1.webhook_endpoints.update(endpoint.id, {"enabled_events": ["*"]})
    assert examined()[0]["stripe.endpoint"][0] == "ok"
    at.v1.webhook_endpoints.update(endpoint.id, {"disabled": True})
    assert examined()[0]["stripe.endpoint"][0] == "broken"

    settings.ALLOWED_HOSTS = ["elsewhere.example"]
    WorkerPulse.objects.filter(queue="refunds").delete()
    StripeAccount.objects.filter(id=account.id).update(account_id="acct_other")
    found, code = examined()
    assert (found["hosts.allowed"][0], code) == ("broken", 2)
    assert "refunds" in found["workers.queues"][1]
    assert found["stripe.keys"][0] == "broken"

    StripeAccount.objects.filter(id=account.id).update(secret_key_sealed=seal("sk_live_not_a_key"))
    assert examined()[0]["stripe.keys"][0] == "broken", "Stripe refuses the key"
    StripeAccount.objects.filter(id=account.id).update(secret_key_sealed="sealed with another key")
    found, _code = examined()
    assert found["keys.open"][0] == "broken"
    assert "stripe.keys" not in found


def test_events_that_do_not_come_show_a_secret_that_does_not_fit(at_stripe: Make) -> None:
    at = at_stripe()
    at.v1.payment_intents.cancel(at.v1.payment_intents.create({"amount": 100, "currency": "usd"}).id)
    (event,) = at.v1.events.list({"limit": 1}).data  # of the two the one that is followed
    later = datetime.datetime.fromtimestamp(event.created, tz=datetime.UTC) + datetime.timedelta(minutes=10)
    check = "stripe.events"
    assert _told(at.shop.account, later)[0].state is State.BROKEN
    row = InboxEvent(
        account=at.shop.account, event_id=event.id, event_type=event.type, object_id="pi_1", payload={},
        occurred_at=later - datetime.timedelta(minutes=10), received_at=later, due_at=later,
    )  # fmt: skip
    row.save()
    assert _told(at.shop.account, later)[0].state is State.BROKEN, "a sweep brought it, not Stripe"
    row.received_at = row.occurred_at
    row.save()
    (told,) = _told(at.shop.account, later)
    assert (told.check.partition("[")[0], told.state) == (check, State.OK)


def _told(account: StripeAccount, now: datetime.datetime) -> list[Any]:
    from workers.doctor import stripes

    return list(stripes._arriving(account, now))


def test_a_database_in_another_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "encoding_of", lambda _alias: "SQL_ASCII")
    found = {one.check: one for one in servers.database()}
    assert found["servers.encoding"].state is State.BROKEN
    assert "--encoding=UTF8" in found["servers.encoding"].mend
    monkeypatch.undo()
    assert "servers.encoding" not in {one.check for one in servers.database()}


def test_redis_that_throws_things_away_and_a_clock_that_is_wrong() -> None:
    client = redis.Redis.from_url(settings.REDIS_URL)
    before = client.config_get("maxmemory-policy")["maxmemory-policy"]
    try:
        client.config_set("maxmemory-policy", "allkeys-lru")
        states = {one.check: one.state for one in servers.redis_server()}
        assert states["servers.redis_eviction"] is State.BROKEN
    finally:
        client.config_set("maxmemory-policy", before or "noeviction")
        client.close()
    assert [servers.clock("clock.x", "X", off).state for off in (-4, 6, -130)] == [
        State.OK,
        State.WARNING,
        State.BROKEN,
    ]


def test_without_a_database_it_says_so_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> Any:
        yield broken("servers.database", "PostgreSQL does not answer", means="Nothing.", mend="Start it.")

    monkeypatch.setattr(doctor, "FIRST", (away,))
    assert examined() == ({"servers.database": ("broken", "PostgreSQL does not answer")}, 2)
