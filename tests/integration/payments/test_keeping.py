"""What is past its time goes, a batch at a time, and never what belongs to something open."""

from __future__ import annotations

import datetime
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

from tests.factories import BusinessFactory
from tests.shop import Shop, claim, claim_one
from web.core.crypto import seal
from web.payments.models import Attempt, AuditEntry, InboxEvent, Job, Operation, Payment, WebhookSecret
from web.payments.operations import attempts, keeping
from web.payments.operations.accounts import add_webhook_secret

pytestmark = pytest.mark.django_db
DAY = datetime.timedelta(days=1)


def gone(**expected: int) -> None:
    """Assert how many rows of each kind go now; of the others none."""
    assert keeping.forget_all(now=timezone.now()) == {kept.name: 0 for kept in keeping.ALL} | expected


def test_jobs_that_are_done_go_after_a_week_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "BATCH", 2)
    shop = Shop.make()
    for _ in range(9):
        shop.request(shop.cart())
    now = timezone.now()
    claim("intents")
    ids = list(Job.objects.filter(state="waiting").values_list("id", flat=True))
    Job.objects.filter(id__in=ids[:5]).update(state="done", finished_at=now - 8 * DAY)
    Job.objects.filter(id=ids[5]).update(state="done", finished_at=now - 6 * DAY)
    Job.objects.filter(id=ids[6]).update(state="dead", finished_at=now - 400 * DAY)
    kept = next(one for one in keeping.ALL if one.name == "jobs")
    assert keeping.waiting(kept, now=now) == 5
    assert keeping.forget(kept, now=now, most_batches=2) == 4, "two batches of two"
    gone(jobs=1)
    assert sorted(Job.objects.values_list("state", flat=True)) == ["dead", "done", "running", "waiting"]


def test_an_event_of_a_payment_that_is_open_stays() -> None:
    shop = Shop.make()
    payment = shop.request(shop.cart())
    now = timezone.now()
    for number, (state, about, days) in enumerate(
        [
            ("applied", None, 36),
            ("ignored", None, 36),
            ("applied", payment, 36),
            ("applied", None, 34),
            ("dead", None, 400),
            ("received", None, 400),
        ]
    ):
        InboxEvent.objects.create(
            account=shop.account,
            event_id=f"evt_{number}",
            event_type="x",
            object_id="pi_1",
            occurred_at=now,
            received_at=now - days * DAY,
            due_at=now,
            payload={},
            state=state,
            payment=about,
        )
    gone(events=2)
    Payment.objects.filter(id=payment.id).update(state="cancelled", next_check_at=None)
    gone(events=1)
    assert set(InboxEvent.objects.values_list("event_id", flat=True)) == {"evt_3", "evt_4", "evt_5"}


def test_what_was_sent_long_ago_is_emptied_and_its_key_and_answer_stay() -> None:
    shop = Shop.make()
    payment = shop.request(shop.cart())
    attempt = attempts.begin(
        payment,
        Operation.CREATE_INTENT,
        found=None,
        parameters={"amount": 3600},
        lease=claim_one("create_intent"),
        now=timezone.now() - 91 * DAY,
    )
    gone()
    Attempt.objects.filter(id=attempt.id).update(
        state="succeeded", state_changed_at=timezone.now() - 91 * DAY
    )
    gone()  # its payment is open
    Payment.objects.filter(id=payment.id).update(state="cancelled", next_check_at=None)
    gone(parameters=1)
    attempt.refresh_from_db()
    assert (attempt.parameters, attempt.key) == ({}, f"paydesk-create_intent-{payment.public_id}-1")
    gone()


def test_the_command_says_what_is_kept_and_lets_go() -> None:
    shop = Shop.make()
    WebhookSecret.objects.create(
        account=shop.account,
        secret_sealed=seal("whsec_old_one"),
        secret_hint="_one",
        created_at=timezone.now(),
        expires_at=timezone.now() - 31 * DAY,
    )
    for options, said in (({}, "1 past their time"), ({"now": True}, "1 gone"), ({}, "0 past their time")):
        out = StringIO()
        call_command("retention", stdout=out, **options)
        (line,) = [one for one in out.getvalue().splitlines() if one.startswith("secrets")]
        assert said in line
    assert not WebhookSecret.objects.exists()


def test_a_leaked_webhook_secret_is_ended_at_once() -> None:
    shop = Shop.make(business=BusinessFactory.create())
    now = timezone.now()
    add_webhook_secret(business=shop.business, secret="whsec_leaked_one", now=now)
    add_webhook_secret(business=shop.business, secret="whsec_its_successor", now=now)
    out = StringIO()
    call_command("account", shop.business.business_id, "--end-old-webhook-secrets", stdout=out)
    assert "1 old webhook secrets are not accepted any more" in out.getvalue()
    assert WebhookSecret.objects.filter(expires_at__lte=timezone.now()).count() == 1
    assert WebhookSecret.objects.get(expires_at=None).secret_hint == "ssor"
    assert AuditEntry.objects.get(subject="webhook secrets").changes == {"ended": 1}
