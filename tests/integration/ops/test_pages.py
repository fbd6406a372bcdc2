"""The pages of operations: who sees them, what each action would change and changes, one sale's whole story."""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import URLPattern, reverse
from django.utils import timezone
from pytest_django import Settings

from tasks import relay
from tests.factories import PASSWORD, ProfileFactory, StaffFactory
from tests.shop import Shop, claim
from web.core.crypto import seal
from web.core.groups import GROUP_NAMES, PlatformGroup
from web.core.logs import SECRET_VALUES, cards
from web.core.models import Business
from web.ops import urls
from web.payments.jobs import CATALOGUE, CREATE_INTENT, SEND_RECEIPT, SUBMIT_REFUND, Queue
from web.payments.models import (
    Attempt,
    Drift,
    InboxEvent,
    Job,
    OperatorAction,
    Payment,
    WorkerDrain,
)
from web.payments.money import Money
from web.payments.operations import backlog, figures, inbox, operators, pulses
from web.payments.operations.operators import AlreadySo, CountChanged, NoReason
from web.payments.queries import jobs_list, pickups, story
from web.payments.queries.jobs_list import JobFilter
from web.payments.snapshots import IntentSnapshot, Source
from web.payments.states import PaymentState

pytestmark = pytest.mark.django_db
SignIn = Callable[..., Client]
LOOKING = (
    "/ops/",
    "/ops/live/",
    "/ops/charts/",
    "/ops/jobs/",
    "/ops/events/",
    "/ops/money/",
    "/ops/actions/",
)
WHY = "Stripe's incident of this morning"


@pytest.fixture
def shop(business: Business) -> Shop:
    return Shop.make(business=business)


@pytest.fixture
def on_call(business: Business, sign_in: SignIn) -> Client:
    return sign_in(StaffFactory.create(business=business, groups=[PlatformGroup.OPS]))


@pytest.fixture
def watcher(business: Business, sign_in: SignIn) -> Client:
    return sign_in(StaffFactory.create(business=business, groups=[PlatformGroup.OPS_READ]))


def dead(shop: Shop, **facts: Any) -> Job:
    now = timezone.now()
    return Job.objects.create(
        **{
            "name": CREATE_INTENT.name,
            "queue": Queue.INTENTS,
            "business": shop.business,
            "arguments": {"payment_id": 0},
            "state": Job.State.DEAD,
            "attempts": 12,
            "last_error": "StripeUnreachable",
            "due_at": now,
            "created_at": now,
            "started_at": now,
            "finished_at": now,
            **facts,
        }
    )


def event(shop: Shop, **facts: Any) -> InboxEvent:
    now = timezone.now()
    return InboxEvent.objects.create(
        **{
            "account": shop.account,
            "event_id": f"evt_{uuid.uuid4().hex[:12]}",
            "event_type": "charge.refunded",
            "object_id": "ch_1",
            "occurred_at": now,
            "received_at": now,
            "payload": {"id": "evt", "data": {}},
            "due_at": now,
            "state": "dead",
            **facts,
        }
    )


# --- who -----------------------------------------------------------------------------------------------


ACTING = {"retry", "discard", "pause", "resume", "drain", "take_back", "rehearse", "replay", "read_payment"}


def every_address(shop: Shop) -> dict[str, str]:
    """Return every address of operations with things that exist in it, from the URL configuration."""
    payment = shop.request(shop.cart())
    pulses.beat(worker="stripe@here", queues=[Queue.INTENTS], threads=4, now=timezone.now())
    things: dict[str, object] = {
        "job_id": dead(shop).id,
        "event_id": event(shop).id,
        "queue": Queue.INTENTS,
        "worker": "stripe@here",
        "payment_id": payment.public_id,
        "reference": payment.cart_reference,
    }
    return {
        str(pattern.name): reverse(
            f"ops:{pattern.name}", kwargs={name: things[name] for name in pattern.pattern.converters}
        )
        for pattern in urls.urlpatterns
        if isinstance(pattern, URLPattern)
    }


def test_only_operators_see_operations_and_only_some_of_them_act(
    business: Business, shop: Shop, client: Client, sign_in: SignIn
) -> None:
    root = StaffFactory.create(business=business)
    root.user.is_superuser = True
    root.user.save()
    people = {
        "owner": (sign_in(StaffFactory.create(business=business, groups=GROUP_NAMES)), 404, 404),
        "superuser": (sign_in(root), 404, 404),
        "customer": (sign_in(ProfileFactory.create(business=business, groups=[PlatformGroup.OPS])), 404, 404),
        "signed out": (client, 302, 302),
        "watcher": (
            sign_in(StaffFactory.create(business=business, groups=[PlatformGroup.OPS_READ])),
            200,
            403,
        ),
        "on call": (sign_in(StaffFactory.create(business=business, groups=[PlatformGroup.OPS])), 200, 200),
    }
    addresses = every_address(shop)
    assert set(addresses) >= ACTING
    for who, (browser, looks, acts) in people.items():
        for name, address in addresses.items():
            expected = {acts if name in ACTING else looks}
            if name in ("find", "sale") and looks == 200:
                expected = {
                    302 if name == "find" else 404
                }  # a sale with a payment is told on the payment's page
            if name == "rehearse":
                expected = {405}  # it is no page
            assert {browser.get(address).status_code} == expected, (who, address)
            if name in ACTING:
                sent = browser.post(address, {"reason": WHY, "number": "7"}).status_code
                assert sent == acts if acts != 200 else sent in (302, 409), (who, address)
                assert browser.put(address).status_code == 405, (who, address)
            else:
                assert browser.post(address).status_code == 405, (who, address)
        assert OperatorAction.objects.exists() is (who == "on call"), who


def test_an_operator_is_a_stranger_at_another_businesss_host(
    business: Business, other_business: Business
) -> None:
    person = StaffFactory.create(business=business, groups=[PlatformGroup.OPS])
    elsewhere = Client(SERVER_NAME=other_business.hosts.values_list("host", flat=True)[0])
    elsewhere.force_login(person.user)
    answer = elsewhere.get("/ops/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/accounts/login/?next=/ops/")


def test_an_operator_sees_the_way_in_and_others_do_not(
    business: Business, on_call: Client, sign_in: SignIn
) -> None:
    owner = sign_in(StaffFactory.create(business=business, groups=GROUP_NAMES))
    assert b'href="/ops/"' in on_call.get("/ops/").content
    assert b'href="/ops/"' not in owner.get("/purchases/").content


def test_rights_are_given_by_a_command_and_written_down(business: Business) -> None:
    person = StaffFactory.create(business=business)
    out = StringIO()
    call_command(
        "operators", "grant", person.email, business=business.business_id, read_only=True, stdout=out
    )
    call_command("operators", "list", stdout=out)
    call_command("operators", "grant", person.email, business=business.business_id, stdout=out)
    assert set(person.user.groups.values_list("name", flat=True)) == {"ops"}
    call_command("operators", "revoke", person.email, business=business.business_id, stdout=out)
    assert f"{person.email}  business {business.business_id}  ops_read" in out.getvalue()
    assert not person.user.groups.exists()
    assert OperatorAction.objects.filter(action="rights.changed").count() == 3
    customer = ProfileFactory.create(business=business)
    with pytest.raises(CommandError, match="customer"):
        call_command("operators", "grant", customer.email, business=business.business_id)
    call_command(
        "operators", "grant", "new@example.com", business=business.business_id, create="New", stdout=out
    )
    assert person.business.profiles.get(email="new@example.com").user.groups.get().name == "ops"
    assert PASSWORD  # nobody's password is set by it


# --- what they see ---------------------------------------------------------------------------------------


def test_the_overview_tells_what_needs_somebody(shop: Shop, on_call: Client) -> None:
    dead(shop)
    event(shop)
    stuck = shop.request(shop.cart())
    Payment.objects.filter(id=stuck.id).update(
        state_changed_at=timezone.now() - datetime.timedelta(minutes=9)
    )
    Drift.objects.create(
        account=shop.account,
        business=shop.business,
        kind="unknown_charge",
        object_id="pi_unknown",
        ours="none",
        theirs="succeeded",
        at_risk_minor=3600,
        currency="usd",
        found_at=timezone.now(),
        checked_at=timezone.now(),
    )
    operators.pause(queue=Queue.REFUNDS, reason=WHY, actor="operator 1", now=timezone.now())
    pulses.beat(worker="stripe@here", queues=[Queue.INTENTS], threads=4, now=timezone.now())
    figures.note(now=timezone.now())
    page = on_call.get("/ops/").content.decode()
    for words in (
        "1 job of intents was given up.",
        "1 event of Stripe was given up.",
        "1 payment or refund has not moved for minutes",
        "Books differ: 1 × $36.00.",  # noqa: RUF001 - a times sign
        "refunds is paused: Stripe&#x27;s incident of this morning",
        "Beat is silent: last seen not within a day.",
        "stripe@here",
        "<svg",
    ):
        assert words in page, words
    assert "style=" not in page
    assert 'href="/ops/queues/intents/pause/"' in page
    money = on_call.get("/ops/money/").content.decode()
    assert str(stuck.public_id) in money
    assert "pi_unknown" in money


def test_without_redis_it_tells_the_truth_and_what_it_does_not_know(
    shop: Shop, on_call: Client, settings: Settings
) -> None:
    settings.REDIS_URL = settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    dead(shop)
    page = on_call.get("/ops/live/").content.decode()
    assert "Redis is away." in page
    assert "unknown" in page
    assert "1 job of intents was given up." in page


def test_a_watcher_sees_no_buttons(shop: Shop, watcher: Client) -> None:
    job = dead(shop)
    for path in ("/ops/", "/ops/jobs/?state=dead", f"/ops/jobs/{job.id}/", f"/ops/events/{event(shop).id}/"):
        page = watcher.get(path).content.decode()
        assert not re.search(r"/(pause|retry|discard|drain|replay|rehearse)/", page), path


# --- what they do ----------------------------------------------------------------------------------------


def test_dead_jobs_run_again_after_a_look_at_what_that_changes(shop: Shop, on_call: Client) -> None:
    payment = shop.request(shop.cart())
    waiting = Job.objects.get(name=CREATE_INTENT.name)
    twin = dead(shop, arguments={"payment_id": payment.id}, dedup_key=waiting.dedup_key)
    other = dead(shop, last_error="ValueError")
    address = "/ops/jobs/retry/?queue=intents"
    page = on_call.get(address).content.decode()
    assert f"joins job {waiting.id}" in page
    assert "its 12 tries are counted anew" in page
    assert not OperatorAction.objects.exists()
    sent = {"queue": "intents", "reason": WHY}
    assert on_call.post("/ops/jobs/retry/", {**sent, "number": "3"}).status_code == 409
    assert on_call.post("/ops/jobs/retry/", {**sent, "number": "2", "reason": " "}).status_code == 422
    assert Job.objects.filter(state="dead").count() == 2
    assert on_call.post("/ops/jobs/retry/", {**sent, "number": "2"}).status_code == 302
    assert on_call.post("/ops/jobs/retry/", {**sent, "number": "2"}).status_code == 409  # a second click
    twin.refresh_from_db()
    other.refresh_from_db()
    assert (twin.state, other.state, other.attempts) == ("done", "waiting", 0)
    action = OperatorAction.objects.get()
    assert (action.action, action.reason, action.number) == ("jobs.retried", WHY, 2)
    assert action.subject == "dead jobs of intents"
    assert action.changes == {"jobs": [twin.id, other.id]}
    assert action.actor.startswith("operator ")


def test_discarding_never_loses_money(shop: Shop, on_call: Client) -> None:
    swept = shop.request(shop.cart())
    lost = shop.request(shop.cart())
    Payment.objects.filter(id=lost.id).update(next_check_at=None)
    Job.objects.all().delete()
    picked_up = dead(shop, arguments={"payment_id": swept.id})
    kept = dead(shop, arguments={"payment_id": lost.id})
    receipt = dead(shop, name=SEND_RECEIPT.name, queue=Queue.RECEIPTS, arguments={"order_id": 1})
    page = on_call.get("/ops/jobs/discard/").content.decode()
    assert "the sweep of silent payments takes it further" in page
    assert "no sweep would take it further: let it run again" in page
    assert "type 2" in page
    answer = on_call.post("/ops/jobs/discard/", {"reason": WHY, "number": "2"})
    assert answer.status_code == 302
    states = dict(Job.objects.values_list("id", "state"))
    assert states == {picked_up.id: "dropped", kept.id: "dead", receipt.id: "dropped"}
    # What was promised: the sweep asks for the payment again.
    later = timezone.now() + datetime.timedelta(hours=1)
    from web.payments.operations import intents

    assert intents.check_again(limit=10, now=later) == 1
    assert Job.objects.filter(state="waiting", arguments={"payment_id": swept.id}).exists()


def test_every_kind_of_job_has_a_rule_for_what_becomes_of_its_subject(shop: Shop) -> None:
    assert pickups.kinds_with_a_rule() == set(CATALOGUE)
    for name, kind in CATALOGUE.items():
        job = dead(shop, name=name, queue=kind.queue, arguments=dict.fromkeys(kind.arguments, 0))
        assert pickups.after_discarding(job).why, name
    assert pickups.after_discarding(dead(shop, name=SUBMIT_REFUND.name)).may_discard


def test_a_paused_queue_stands_still_until_it_is_resumed(shop: Shop, on_call: Client) -> None:
    shop.request(shop.cart())
    now = timezone.now()
    assert "1 are due and would wait" in on_call.get("/ops/queues/intents/pause/").content.decode()
    assert on_call.post("/ops/queues/intents/pause/", {"reason": WHY}).status_code == 302
    assert on_call.post("/ops/queues/intents/pause/", {"reason": WHY}).status_code == 409
    assert backlog.due_queues(now=timezone.now()) == []
    assert claim(Queue.INTENTS) == []
    shop.request(shop.cart())  # sales are asked for as ever, and wait
    assert on_call.post("/ops/queues/nowhere/pause/", {"reason": WHY}).status_code == 404
    assert on_call.post("/ops/queues/intents/resume/", {"reason": "over"}).status_code == 302
    assert len(claim(Queue.INTENTS, limit=4)) == 2
    actions = OperatorAction.objects.filter(at__gte=now).order_by("id")
    assert [one.action for one in actions] == ["queue.paused", "queue.resumed"]


def test_events_and_looks_at_readers_stand_still_too(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def look(what: str) -> int:
        looked.append(what)
        return 0

    monkeypatch.setattr(relay, "_drain_inbox", lambda: look("inbox"))
    monkeypatch.setattr(relay, "_look_at_readers", lambda: look("readers"))
    monkeypatch.setattr(relay, "close_old_connections", lambda: None)
    for queue in (Queue.WEBHOOKS, Queue.TERMINAL):
        operators.pause(queue=queue, reason=WHY, actor="operator 1", now=timezone.now())
        relay.drain(queue=queue)
    assert looked == []
    for queue in (Queue.WEBHOOKS, Queue.TERMINAL):
        operators.resume(queue=queue, reason=WHY, actor="operator 1", now=timezone.now())
        relay.drain(queue=queue)
    assert looked == ["inbox", "readers"]


def test_a_drained_worker_gets_no_work_and_others_do(shop: Shop, on_call: Client) -> None:
    shop.request(shop.cart())
    name = relay.served_by()
    assert on_call.post(f"/ops/workers/{name}/drain/", {"reason": WHY}).status_code == 404  # nobody's name
    pulses.beat(worker=name, queues=[Queue.INTENTS], threads=4, now=timezone.now())
    assert "No other worker serves intents" in on_call.get(f"/ops/workers/{name}/drain/").content.decode()
    assert on_call.post(f"/ops/workers/{name}/drain/", {"reason": WHY}).status_code == 302
    now = timezone.now()
    assert pulses.beat(worker=name, queues=[Queue.INTENTS], threads=4, now=now)  # it is told
    assert not backlog.claim(queue=Queue.INTENTS, limit=1, worker="w", now=now, served_by=name)
    assert "Drained" in on_call.get("/ops/live/").content.decode()
    assert on_call.post(f"/ops/workers/{name}/return/", {"reason": "well"}).status_code == 302
    assert backlog.claim(queue=Queue.INTENTS, limit=1, worker="w", now=timezone.now(), served_by=name)
    operators.drain(worker=name, reason=WHY, actor="operator 1", now=now)
    later = now + pulses.FORGOTTEN_AFTER + datetime.timedelta(hours=1)
    pulses.beat(worker="other@here", queues=[Queue.INTENTS], threads=4, now=later)
    assert not WorkerDrain.objects.exists()  # of a worker that has been gone for a day


def test_an_event_is_replayed_by_the_road_that_all_go(shop: Shop, on_call: Client) -> None:
    row = event(shop, tries=10, error="ValueError")
    assert on_call.post(f"/ops/events/{row.id}/replay/", {"reason": WHY}).status_code == 302
    assert (
        on_call.post(f"/ops/events/{row.id}/replay/", {"reason": WHY}).status_code == 409
    )  # it waits already
    row.refresh_from_db()
    assert (row.state, row.tries, row.error) == ("received", 0, "")
    assert OperatorAction.objects.get().subject == row.event_id


def test_a_rehearsal_says_what_a_replay_would_change_and_changes_nothing(shop: Shop, on_call: Client) -> None:
    payment = shop.request(shop.cart())
    Payment.objects.filter(id=payment.id).update(intent_id="pi_told", state="awaiting")
    row = event(shop, event_type="payment_intent.succeeded", object_id="pi_told")
    paid = Money(payment.amount_minor, payment.currency)
    snapshot = IntentSnapshot(
        "pi_told", PaymentState.SUCCEEDED, paid, paid, Source.EVENT, timezone.now(), str(payment.public_id)
    )
    found = inbox.rehearse(inbox_event_id=row.id, interpret=lambda _event: snapshot, now=timezone.now())
    assert found.outcome == "applied"
    told = {what.split()[0]: (before, after) for what, before, after in found.changes}
    assert told["payment"] == (
        "awaiting, received 0 usd, given back 0",
        "succeeded, received 3600 usd, given back 0",
    )
    assert told["order"] == ("none", "3600 usd")
    payment.refresh_from_db()
    row.refresh_from_db()
    assert (payment.state, payment.order, row.state) == ("awaiting", None, "dead")

    def broken(_event: InboxEvent) -> object:
        raise ValueError

    failed = inbox.rehearse(inbox_event_id=row.id, interpret=broken, now=timezone.now())
    assert (failed.outcome, failed.changes) == ("failed: ValueError", [])
    answer = on_call.post(f"/ops/events/{row.id}/rehearse/")
    assert Job.objects.filter(name="rehearse_event", state="waiting").count() == 1
    page = on_call.get(answer.headers["Location"]).content.decode()
    assert "A worker tries it out and takes it back." in page
    assert 'hx-trigger="every 1s"' in page


def test_what_a_person_types_is_kept_without_secrets() -> None:
    operators.pause(
        queue=Queue.RECEIPTS, reason="key sk_live_abc123def leaked", actor="operator 1", now=timezone.now()
    )
    assert OperatorAction.objects.get().reason == "key [redacted] leaked"
    with pytest.raises(AlreadySo):
        operators.pause(queue=Queue.RECEIPTS, reason="again", actor="operator 1", now=timezone.now())
    with pytest.raises(NoReason):
        operators.pause(queue=Queue.REFUNDS, reason="\n", actor="operator 1", now=timezone.now())
    dead(Shop.make())
    with pytest.raises(CountChanged):
        operators.retry(wanted=JobFilter(), expected=2, reason="all", actor="operator 1", now=timezone.now())


def test_jobs_are_listed_by_what_they_ended_with(shop: Shop, on_call: Client) -> None:
    for _ in range(3):
        dead(shop)
    dead(shop, last_error="ValueError", queue=Queue.REFUNDS, name=SUBMIT_REFUND.name)
    groups = jobs_list.dead_groups(jobs_list.first(JobFilter()))
    assert [(group.error, group.number) for group in groups] == [("StripeUnreachable", 3), ("ValueError", 1)]
    page = on_call.get("/ops/jobs/?state=dead&error=ValueError").content.decode()
    assert "submit_refund" in page
    assert "StripeUnreachable" not in page
    for odd in ("?business=abc", "?queue=nowhere", "?state=odd", "?job=99999999999"):
        assert b"No job fits" in on_call.get(f"/ops/jobs/{odd}").content, odd


# --- one sale --------------------------------------------------------------------------------------------

CLIENT_SECRET = "pi_story_secret_Zx81TopSecret"


@pytest.fixture
def sold(shop: Shop) -> Payment:
    """A payment that waits for its customer, with an attempt, an event and a job that tell of it."""
    payment = shop.request(shop.cart())
    now = timezone.now()
    Payment.objects.filter(id=payment.id).update(
        intent_id="pi_story", charge_id="ch_story", client_secret_sealed=seal(CLIENT_SECRET)
    )
    Attempt.objects.create(
        account=shop.account,
        operation="create_intent",
        payment=payment,
        key=f"paydesk-create_intent-{payment.public_id}-1",
        parameters={"amount": 3600},
        fence=1,
        state="succeeded",
        state_changed_at=now,
        first_sent_at=now,
        sent_at=now,
        request_id="req_story",
        http_status=200,
    )
    event(shop, event_id="evt_story", payment=payment, state="applied", settled_at=now, object_id="pi_story")
    payment.refresh_from_db()
    return payment


def test_a_sale_is_found_by_any_id(sold: Payment, on_call: Client) -> None:
    job = Job.objects.get(name=CREATE_INTENT.name)
    page = f"/ops/payments/{sold.public_id}/"
    for text in (
        "pi_story",
        " ch_story ",
        "req_story",
        "evt_story",
        str(sold.public_id),
        str(sold.cart_reference),
        f"paydesk-create_intent-{sold.public_id}-1",
        str(job.id),
        str(job.public_id),
    ):
        answer = on_call.get("/ops/find/", {"q": text})
        assert answer.headers["Location"] == page, text
    for text in ("", "pi_nothing", "evt_nothing", "nonsense", "0" * 40, "' OR 1=1", "9" * 18):
        assert on_call.get("/ops/find/", {"q": text}).headers["Location"] == "/ops/", text


def test_the_story_is_whole_and_holds_nothing_secret(sold: Payment, shop: Shop, on_call: Client) -> None:
    operators.read_payment(payment=sold, reason=WHY, actor="operator 7", now=timezone.now())
    page = on_call.get(f"/ops/payments/{sold.public_id}/").content.decode()
    answer = on_call.get(f"/ops/payments/{sold.public_id}/text/")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    text = answer.content.decode()
    for fact in (
        "payment.requested",
        "create_intent → waiting",
        "stripe_request=req_story",
        "event=evt_story",
        "applied=",
        "payment.read by=operator 7",
        "read.asked",
        f"business {shop.business.business_id}",
        "acct_",
    ):
        assert fact in text, fact
    for secret in (CLIENT_SECRET, "sk_test", "whsec", "Ada Guest", "ada@example.com", "3600\n"):
        assert secret not in text, secret
        assert secret == "3600\n" or secret not in page, secret
    assert not SECRET_VALUES.search(text)
    assert not list(cards(text))
    assert not re.search(r"[\w.]+@[\w.]+\.\w+", text)


def test_a_payment_is_read_at_stripe_by_a_worker(sold: Payment, on_call: Client) -> None:
    address = f"/ops/payments/{sold.public_id}/read/"
    assert "Its intent is read" in on_call.get(address).content.decode()
    assert on_call.post(address, {"reason": WHY}).status_code == 302
    assert Job.objects.filter(name="read_intent", state="waiting").count() == 1
    assert OperatorAction.objects.get().payment == sold
    Payment.objects.filter(id=sold.id).update(intent_id=None)
    assert on_call.post(address, {"reason": WHY}).status_code == 409


def test_story_of_a_sale_that_nobody_has() -> None:
    assert story.find("0b7c9c2e-8a0e-4f0e-9d5c-3d6a1f1f0000") is None
    assert inbox.stuck(now=timezone.now()) == inbox.Stuck(0, 0)
