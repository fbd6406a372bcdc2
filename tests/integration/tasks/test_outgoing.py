"""Outgoing webhooks: written with the change, brought by a worker, signed, tried again, given up."""

from __future__ import annotations

import datetime
import http.server
import importlib.util
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from tasks import outgoing as sender
from tasks import relay
from tests.factories import StaffFactory
from tests.giving_back import ask, paid_by_card, tell
from tests.shop import Shop, claim
from web.core import metrics
from web.core.models import Business, Profile
from web.payments import jobs
from web.payments.jobs import Lease, Queue
from web.payments.models import AuditEntry, Job, OutgoingDelivery, OutgoingEndpoint, OutgoingEvent, Refund
from web.payments.operations import backlog, outgoing
from web.payments.operations.outgoing import Sending
from web.payments.queries import purchases
from web.payments.states import RefundState

pytestmark = pytest.mark.django_db
CLIENT = Path(__file__).resolve().parents[3] / "docs" / "examples" / "paydesk_client.py"
_spec = importlib.util.spec_from_file_location("paydesk_client", CLIENT)
assert _spec is not None
assert _spec.loader is not None
client = importlib.util.module_from_spec(_spec)
sys.modules["paydesk_client"] = client  # as an import does: its dataclasses look there
_spec.loader.exec_module(client)


class Receiver:
    """A program of a business: keeps what it is sent, and answers as it is told."""

    def __init__(self) -> None:
        self.got: list[tuple[bytes, dict[str, str]]] = []
        self.answer = 200
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # http.server's name
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((body, dict(self.headers)))
                self.send_response(receiver.answer)
                if receiver.answer == 302:
                    self.send_header("Location", receiver.url)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks?of=paydesk"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def _endpoint(shop: Shop, url: str, *kinds: str) -> tuple[OutgoingEndpoint, str]:
    return outgoing.add_endpoint(
        business=shop.business, url=url, events=kinds or outgoing.KINDS, actor="tests", now=timezone.now()
    )


def _deliver() -> None:
    """Do what is due in the queue, as a worker does."""
    for lease in claim(Queue.OUTGOING, limit=20):
        relay.run(lease)


def test_what_happens_is_told_once_and_signed(receiver: Receiver) -> None:
    shop = Shop.make()
    _told, secret = _endpoint(shop, receiver.url)
    payment = paid_by_card(shop)
    _deliver()
    ask(payment)
    refund = Refund.objects.get()
    tell(payment, RefundState.SUCCEEDED, refund=str(refund.public_id), stripe_id="re_1", amount=3600)
    _deliver()
    events = []
    for body, headers in receiver.got:
        event = client.read_webhook(body, headers["Paydesk-Signature"], secret)
        assert headers["Paydesk-Event"] == event["id"]
        events.append(event)
        with pytest.raises(client.BadSignature):
            client.read_webhook(body + b" ", headers["Paydesk-Signature"], secret)
        with pytest.raises(client.BadSignature):
            client.read_webhook(body, headers["Paydesk-Signature"], secret, now=time.time() + 301)
    assert [event["type"] for event in events] == ["order.paid", "order.refunded"]
    assert payment.order is not None
    order = events[0]["data"]["order"]
    assert (order["number"], order["total"], order["returned"]) == (payment.order.number, 3600, 0)
    assert events[1]["data"]["order"]["returned"] == 3600
    assert events[1]["data"]["refund"]["refund"] == str(refund.public_id)
    assert b"ada@example.com" not in receiver.got[0][0]  # people are read with a token, not sent around
    delivery = OutgoingDelivery.objects.earliest("id")
    assert (delivery.state, delivery.answer_code, delivery.tries) == ("delivered", 200, 1)
    _deliver()
    assert len(receiver.got) == 2


def test_a_change_that_is_undone_is_never_told(receiver: Receiver) -> None:
    shop = Shop.make()
    _endpoint(shop, receiver.url, "order.paid")
    with transaction.atomic():
        paid_by_card(shop)
        transaction.set_rollback(True)
    assert not OutgoingEvent.objects.exists()
    _endpoint(shop, receiver.url + "&refunds", "order.refunded")
    paid_by_card(shop)
    assert [one.endpoint.url for one in OutgoingDelivery.objects.all()] == [receiver.url]
    paid_by_card(Shop.make())  # another business, which has no address
    assert OutgoingEvent.objects.count() == 1


def _due(delivery: OutgoingDelivery) -> Job:
    job = Job.objects.get(name="deliver_event", state="waiting", arguments={"delivery_id": delivery.id})
    Job.objects.filter(id=job.id).update(due_at=timezone.now() - datetime.timedelta(seconds=1))
    return job


def test_it_is_tried_for_three_days_and_then_switched_off(receiver: Receiver) -> None:
    shop = Shop.make()
    endpoint, _secret = _endpoint(shop, receiver.url)
    receiver.answer = 302  # is not followed
    delivery = outgoing.ping(endpoint=endpoint, now=timezone.now())
    _deliver()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.answer_code, delivery.problem) == ("waiting", 302, "refused")
    wait = _due(delivery).due_at - timezone.now()
    assert 5 < wait.total_seconds() <= 10
    endpoint.refresh_from_db()
    assert endpoint.failing_since is not None
    receiver.answer = 500
    OutgoingDelivery.objects.update(tries=12)
    _deliver()
    wait = _due(delivery).due_at - timezone.now()
    assert 7.9 < wait.total_seconds() / 3600 <= 8
    long_ago = timezone.now() - datetime.timedelta(days=3)
    OutgoingDelivery.objects.update(asked_at=long_ago)
    OutgoingEndpoint.objects.update(failing_since=long_ago)
    _deliver()
    delivery.refresh_from_db()
    endpoint.refresh_from_db()
    assert (delivery.state, delivery.tries) == ("failed", 14)
    assert (endpoint.is_on, endpoint.is_disabled_by_failing) == (False, True)
    assert AuditEntry.objects.filter(action="endpoint.changed", actor="worker").count() == 1
    paid_by_card(shop)  # it is told nothing more
    assert OutgoingEvent.objects.count() == 1
    with pytest.raises(outgoing.EndpointOff):
        outgoing.resend(delivery=delivery, now=timezone.now())
    outgoing.change_endpoint(
        endpoint=endpoint, events=outgoing.KINDS, is_on=True, actor="tests", now=timezone.now()
    )
    receiver.answer = 204
    delivery = OutgoingDelivery.objects.select_related("endpoint").get()
    outgoing.resend(delivery=delivery, now=timezone.now())
    _deliver()
    delivery.refresh_from_db()
    endpoint.refresh_from_db()
    assert (delivery.state, delivery.answer_code) == ("delivered", 204)
    assert OutgoingEndpoint.objects.get(id=endpoint.id).failing_since is None


def test_staff_who_set_up_the_business_see_that_its_program_takes_nothing(
    receiver: Receiver, business: Business, sign_in: Callable[[Profile], Client]
) -> None:
    """After an hour; who switched it off knows; and each try is counted by what came of it."""
    shop = Shop.make(business=business)
    endpoint, _secret = _endpoint(shop, receiver.url)
    counted = {word: _tries(word) for word in ("delivered", "refused", "no_answer")}
    receiver.answer = 503
    outgoing.ping(endpoint=endpoint, now=timezone.now())
    _deliver()
    now = timezone.now()
    assert not purchases.attention(shop.business, sets_up=True, now=now)
    later = now + datetime.timedelta(hours=1)
    assert list(purchases.attention(shop.business, sets_up=True, now=later).deaf) == [endpoint]
    assert not purchases.attention(shop.business, now=later)
    assert not purchases.attention(Shop.make().business, sets_up=True, now=later)

    owner = StaffFactory.create(business=business, groups=["settings", "purchases"])
    OutgoingEndpoint.objects.update(failing_since=now - datetime.timedelta(hours=1))
    assert (
        f"/settings/api/#endpoint-{endpoint.public_id}" in sign_in(owner).get("/purchases/").content.decode()
    )

    receiver.server.shutdown()
    receiver.server.server_close()
    _due(OutgoingDelivery.objects.get())
    _deliver()  # what was refused once is not counted again
    outgoing.ping(endpoint=endpoint, now=timezone.now())
    _deliver()
    assert {word: _tries(word) - before for word, before in counted.items()} == {
        "delivered": 0,
        "refused": 1,
        "no_answer": 1,
    }
    outgoing.change_endpoint(endpoint=endpoint, events=[], is_on=False, actor="tests", now=later)
    assert not purchases.attention(shop.business, sets_up=True, now=later)


def _tries(outcome: str) -> float:
    return metrics.OUTGOING.labels(outcome)._value.get()  # type: ignore[no-any-return]  # as its own tests read it


def test_both_secrets_sign_while_one_rolls_over(receiver: Receiver) -> None:
    endpoint, old = _endpoint(Shop.make(), receiver.url)
    new = outgoing.roll_secret(endpoint=endpoint, hint=old[-4:], actor="tests", now=timezone.now())
    assert outgoing.roll_secret(endpoint=endpoint, hint=old[-4:], actor="tests", now=timezone.now()) == ""
    endpoint.refresh_from_db()
    outgoing.ping(endpoint=endpoint, now=timezone.now())
    _deliver()
    body, headers = receiver.got[0]
    for secret in (old, new):
        assert client.read_webhook(body, headers["Paydesk-Signature"], secret)["type"] == "ping"
    OutgoingEndpoint.objects.update(previous_until=timezone.now())
    outgoing.ping(endpoint=endpoint, now=timezone.now())
    _deliver()
    body, headers = receiver.got[1]
    with pytest.raises(client.BadSignature):
        client.read_webhook(body, headers["Paydesk-Signature"], old)


def _sending(url: str) -> Sending:
    return Sending(1, url, b"{}", "t=1,v1=x", "evt_1")


def test_who_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "WHOLE_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def drip() -> None:
            taken, _address = server.accept()
            for _ in range(100):
                try:
                    taken.send(b"H")
                except OSError:
                    break
                time.sleep(0.02)
            taken.close()

        threading.Thread(target=drip, daemon=True).start()
        started = time.monotonic()
        assert sender.send(_sending(f"http://127.0.0.1:{port}/")) == sender.Answer(None, "timed_out")
        assert time.monotonic() - started < 2
        server.close()
    assert sender.send(_sending(f"http://127.0.0.1:{port}/")).problem == "not_reached"


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
     "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1",
     "2002:a00:1::", "::127.0.0.1", "ff02::1"],
)  # fmt: skip
def test_nothing_is_sent_into_our_own_network(
    address: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PAYDESK_LOCAL = False
    assert outgoing.is_forbidden(address)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # A name with one public address and one that leads inside leads nowhere.
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("1.1.1.1", 443)),
             (family, socket.SOCK_STREAM, 6, "", (address, 443))]  # fmt: skip
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_rest: found)
    assert sender.send(_sending("https://shop.example/")).problem == "address_forbidden"
    shown = f"[{address}]" if ":" in address else address
    with pytest.raises(outgoing.AddressRefused):
        outgoing.checked_url(f"https://{shown}/")


def test_addresses_that_are_refused_and_one_that_is_not(settings: Settings) -> None:
    settings.PAYDESK_LOCAL = False
    for url in ("http://shop.example/", "https://user:word@shop.example/", "ftp://shop.example/", "https://", "x",
                "https://localhost/", "https://db/", "https://redis.internal/", "https://shop.example:0/",
                "https://shop.example/\r\nHost: x", "https://[::1/", "https://shop.example:99999/"):  # fmt: skip
        with pytest.raises(outgoing.AddressRefused):
            outgoing.checked_url(url)
    assert outgoing.checked_url(" https://shop.example:8443/a?b=c ") == "https://shop.example:8443/a?b=c"
    assert not outgoing.is_forbidden("1.1.1.1")
    assert not outgoing.is_forbidden("2606:4700::1111")
    assert sender.send(_sending("http://shop.example/")).problem == "address_forbidden"


def test_hanging_servers_never_hold_more_than_half_of_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mail shares its threads with them: however many hang, half are left, and a business has half of the rest."""
    monkeypatch.setattr(relay.room, "threads", 4)
    with relay.room.beside(Queue.OUTGOING) as first, relay.room.beside(Queue.OUTGOING) as second:
        with relay.room.beside(Queue.OUTGOING) as third, relay.room.beside(Queue.RECEIPTS) as mail:
            assert (first, second, third, mail) == (True, True, False, True)
        caps: list[int | None] = []

        def note(*, cap: int | None, **_: object) -> list[Lease]:
            caps.append(cap)
            return []

        monkeypatch.setattr(backlog, "claim", note)
        relay.drain(queue=Queue.OUTGOING)
        assert caps == []  # it does not even look
    relay.drain(queue=Queue.OUTGOING)
    assert caps == [1]
    assert Queue.OUTGOING in jobs.MAIL_QUEUES


def test_a_worker_that_was_overtaken_writes_nothing(receiver: Receiver) -> None:
    endpoint, _secret = _endpoint(Shop.make(), receiver.url)
    delivery = outgoing.ping(endpoint=endpoint, now=timezone.now())
    (lease,) = claim(Queue.OUTGOING)
    Job.objects.update(fence=lease.fence + 1)
    facts: dict[str, Any] = {"answer_code": 200, "problem": "", "took_ms": 1, "now": timezone.now()}
    with pytest.raises(jobs.LeaseLost):
        outgoing.conclude(delivery_id=delivery.id, lease=lease, **facts)
    delivery.refresh_from_db()
    assert delivery.state == "waiting"
