"""The webhook address: what is well signed is stored once and answered 200, everything else is a 400 and gone."""

from __future__ import annotations

import datetime
import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from stripe import WebhookSignature

from tests.door import knock
from tests.shop import Shop
from web.payments.models import InboxEvent, WebhookSecret
from web.payments.operations import accounts, arrivals, inbox
from web.payments.snapshots import IntentSnapshot
from web.webhooks import receiving

pytestmark = pytest.mark.django_db
SECRET = "whsec_of_the_tests_1"


@pytest.fixture(autouse=True)
def _no_cached_secrets() -> None:
    receiving._secrets.cache_clear()


WAYS: list[str] = []


@pytest.fixture(autouse=True, params=["door", "view"])
def _way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Both ways in: what granian calls, and Django's view, for whom no door stands before."""
    WAYS.append(request.param)
    yield
    WAYS.pop()


@pytest.fixture
def shop() -> Shop:
    shop = Shop.make()
    accounts.add_webhook_secret(business=shop.business, secret=SECRET, now=timezone.now())
    return shop


def event(**changes: Any) -> dict[str, Any]:
    thing = {
        "id": "pi_1",
        "object": "payment_intent",
        "client_secret": "pi_1_secret_abc",
        "status": "succeeded",
    }
    return {
        "id": f"evt_{uuid.uuid4().hex}",
        "object": "event",
        "type": "payment_intent.succeeded",
        "created": int(time.time()),
        "api_version": "2026-10-28.endive",
        "data": {"object": thing},
        **changes,
    }


def post(
    shop: Shop,
    body: bytes | str | dict[str, Any],
    *,
    secret: str = SECRET,
    at: int | None = None,
    **headers: Any,
) -> tuple[int, bytes]:
    """Post a body as Stripe does, signed unless a signature is given; at any host."""
    raw = (
        json.dumps(body).encode()
        if isinstance(body, dict)
        else body.encode()
        if isinstance(body, str)
        else body
    )
    if "HTTP_STRIPE_SIGNATURE" not in headers:
        signed = raw.decode("utf-8", "replace")
        headers["HTTP_STRIPE_SIGNATURE"] = WebhookSignature.generate_signature_header(signed, secret, at)
    address = f"/webhooks/stripe/{shop.business.payment_settings.webhook_token}/"
    response: Any
    if WAYS[-1] == "door":
        response = knock(address, raw, signature=headers.pop("HTTP_STRIPE_SIGNATURE"), **headers)
    else:
        response = Client(SERVER_NAME="localhost", enforce_csrf_checks=True).post(
            address, raw, content_type="application/json", **headers
        )
    # Without a length the server would send chunks: more bytes and calls, for "ok".
    assert response.headers["Content-Length"] == str(len(response.content))
    return response.status_code, response.content


def refused(shop: Shop, *args: Any, **options: Any) -> str:
    """Post what must be refused: 400, nothing stored; return the code."""
    status, content = post(shop, *args, **options)
    assert status == 400
    assert not InboxEvent.objects.exists()
    error = json.loads(content)["error"]
    assert error["message"]
    return str(error["code"])


def test_an_event_is_stored_once_without_its_client_secret(shop: Shop) -> None:
    sent = event()
    assert post(shop, sent)[0] == 200
    assert post(shop, sent)[0] == 200
    stored = InboxEvent.objects.get()
    assert (stored.account, stored.event_id, stored.event_type) == (shop.account, sent["id"], sent["type"])
    assert (stored.object_id, stored.state) == ("pi_1", "received")
    assert stored.payload["data"]["object"]["status"] == "succeeded"
    assert "secret" not in json.dumps(stored.payload)


def test_both_secrets_work_while_one_rolls_over(shop: Shop) -> None:
    accounts.add_webhook_secret(business=shop.business, secret="whsec_of_the_tests_2", now=timezone.now())
    receiving._secrets.cache_clear()
    assert post(shop, event())[0] == 200
    assert post(shop, event(), secret="whsec_of_the_tests_2")[0] == 200
    WebhookSecret.objects.exclude(expires_at=None).update(expires_at=timezone.now())
    receiving._secrets.cache_clear()
    InboxEvent.objects.all().delete()
    assert refused(shop, event()) == "bad_signature"
    assert post(shop, event(), secret="whsec_of_the_tests_2")[0] == 200


@pytest.mark.parametrize("skew", [-360, 360, 10**9])
def test_clock_skew_is_bounded_both_ways(shop: Shop, skew: int) -> None:
    assert refused(shop, event(), at=int(time.time()) + skew) == "bad_signature"


@pytest.mark.parametrize("skew", [-290, 290])
def test_a_little_skew_is_fine(shop: Shop, skew: int) -> None:
    assert post(shop, event(), at=int(time.time()) + skew)[0] == 200


@pytest.mark.parametrize(
    "header",
    [
        "",
        "t=1",
        "v1=ab",
        "nonsense",
        "t=x,v1=y",
        "t=,v1=",
        "t=1,v1=" + "0" * 64,
        "\x00",
        "t=1" + ",v1=a" * 999,
    ],
)
def test_bad_signature_headers(shop: Shop, header: str) -> None:
    assert refused(shop, event(), HTTP_STRIPE_SIGNATURE=header) == "bad_signature"


def test_another_businesss_secret_is_not_ours(shop: Shop) -> None:
    other = Shop.make()
    accounts.add_webhook_secret(business=other.business, secret="whsec_of_another", now=timezone.now())
    assert refused(shop, event(), secret="whsec_of_another") == "bad_signature"


def test_an_unknown_address(shop: Shop) -> None:
    shop.business.payment_settings.webhook_token = uuid.uuid4()
    assert refused(shop, event()) == "bad_signature"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "null",
        "5",
        '"text"',
        "{}",
        '{"object": "event"}',
        '{"object": "event", "data": 5}',
        '{"object": "event", "data": {"object": []}}',
        "[" * 5000,
        b"\xff\xfe",
    ],
)
def test_bodies_that_are_no_events(shop: Shop, body: str | bytes) -> None:
    assert refused(shop, body) in ("bad_event", "bad_signature")


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"id": ""},
        {"id": "e" * 65},
        {"id": 5},
        {"type": "t" * 81},
        {"type": None},
        {"created": "now"},
        {"created": None},
        {"created": 10**18},
        {"created": -1},
        {"object": "charge"},
        {"data": {"object": {"id": 7}}},
        {"data": {"object": {"id": "pi_\x00"}}},
        {"note": "\x00"},
    ],
)
def test_events_of_the_wrong_shape(shop: Shop, changes: dict[str, Any]) -> None:
    assert refused(shop, event(**changes)) == "bad_event"


def test_a_body_that_is_too_large(shop: Shop) -> None:
    assert refused(shop, event(note="x" * receiving.LARGEST_BODY)) == "bad_event"


def test_only_post(shop: Shop) -> None:
    address = f"/webhooks/stripe/{shop.business.payment_settings.webhook_token}/"
    assert Client(SERVER_NAME="localhost").get(address).status_code == 405
    assert knock(address, method="GET").status_code == 405


@pytest.mark.parametrize("length", ["99999", "-1", "many", str(receiving.LARGEST_BODY + 1)])
def test_a_length_that_is_not_the_bodys(shop: Shop, length: str) -> None:
    address = f"/webhooks/stripe/{shop.business.payment_settings.webhook_token}/"
    raw = json.dumps(event()).encode()
    signature = WebhookSignature.generate_signature_header(raw.decode(), SECRET)
    assert knock(address, raw, signature=signature, CONTENT_LENGTH=length).status_code == 400
    assert knock(address, raw, signature=signature, CONTENT_LENGTH="").status_code == 400
    assert not InboxEvent.objects.exists()


def test_what_the_database_refuses_is_an_error_and_stripe_sends_it_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> bool:
        raise OperationalError("the database is away, with a secret: sk_test_4eC39HqLyjWDarjtT1zdp7dc")

    with monkeypatch.context() as patched:
        patched.setattr(arrivals, "store_all", fail)
        address = f"/webhooks/stripe/{shop.business.payment_settings.webhook_token}/"
        raw = json.dumps(event()).encode()
        signature = WebhookSignature.generate_signature_header(raw.decode(), SECRET)
        told = knock(address, raw, signature=signature)
    assert (told.status_code, told.content) == (500, b"not stored: send it again")
    assert knock(address, raw, signature=signature).status_code == 200


def test_kinds_that_we_do_not_follow_are_kept_and_marked(shop: Shop) -> None:
    assert (
        post(shop, event(type="invoice.created", data={"object": {"id": "in_1", "object": "invoice"}}))[0]
        == 200
    )

    def interpret(_event: InboxEvent) -> IntentSnapshot | None:
        return None

    assert inbox.apply_batch(interpret=interpret, now=timezone.now()).done == 1
    assert InboxEvent.objects.get().state == InboxEvent.State.IGNORED


def test_an_event_that_can_never_be_applied_ends_visible(shop: Shop) -> None:
    assert post(shop, event())[0] == 200

    def interpret(_event: InboxEvent) -> IntentSnapshot | None:
        raise ValueError("odd")

    now = timezone.now()
    for _ in range(inbox.MAX_TRIES):
        inbox.apply_batch(interpret=interpret, now=now)
        now += datetime.timedelta(hours=1)
    stored = InboxEvent.objects.get()
    assert (stored.state, stored.tries, stored.error) == (
        InboxEvent.State.DEAD,
        inbox.MAX_TRIES,
        "ValueError",
    )
