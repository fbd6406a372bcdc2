"""The restore drill: a real dump, restored, is held against Stripe; what is wrong with a copy is named."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from cryptography.fernet import Fernet
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from stack.servers import create_database, postgres_installation
from tasks import relay
from tests.contract.conftest import eventually
from tests.integration.conftest import AtStripe
from tests.integration.tasks.test_watch import Make, awaiting
from tests.shop import claim
from web.payments.models import Job, Payment, StripeAccount
from web.payments.operations import intents, pulses

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def at(at_stripe: Make) -> AtStripe:
    made = at_stripe()
    StripeAccount.objects.update(created_at=timezone.now() - datetime.timedelta(minutes=30))
    return made


def sold(at: AtStripe) -> Payment:
    """Sell something to its end, by a read, and let every job run."""
    payment = awaiting(at)
    at.pay(payment)
    Payment.objects.filter(id=payment.id).update(next_check_at=timezone.now())
    intents.check_again(limit=10, now=timezone.now())

    def is_settled() -> bool:  # sweeps give way where the account's budget is short: then a moment later
        Job.objects.filter(state="waiting").update(due_at=timezone.now())
        for lease in claim("intents"):
            relay.run(lease)
        payment.refresh_from_db()
        return payment.state == "succeeded"

    eventually(is_settled, "the read")
    assert payment.order_id is not None
    return payment


def check() -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("check_copy", stdout=out)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def test_a_dump_that_is_restored_agrees_with_stripe_but_for_what_came_after_it(
    at: AtStripe, tmp_path: Path
) -> None:
    before = sold(at)
    url = urlsplit(os.environ["DATABASE_URL"])
    ours = url._replace(path=f"/{quote(connection.settings_dict['NAME'])}").geturl()
    tools, dump = postgres_installation() / "bin", tmp_path / "dump.sql"
    subprocess.run([str(tools / "pg_dump"), "--no-owner", "--file", str(dump), ours], check=True, timeout=120)
    after = sold(at)
    name = f"{connection.settings_dict['NAME']}_copy"
    copy = create_database(os.environ["DATABASE_URL"], name)
    try:
        restore = [str(tools / "psql"), "-q", "-v", "ON_ERROR_STOP=1", "-f", str(dump), copy]
        subprocess.run(restore, check=True, timeout=120, stdout=subprocess.DEVNULL)
        env = {
            **os.environ,
            "DATABASE_URL": copy,
            "STRIPE_API_BASE": django_settings.STRIPE_API_BASE,
            "REDIS_URL": "redis://127.0.0.1:1/0",  # a copy needs none
        }
        ended = subprocess.run(
            [sys.executable, "manage.py", "check_copy"], env=env, capture_output=True, text=True, timeout=120
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert "0 problems in itself, 0 differences with Stripe, 1 that came after the backup" in ended.stdout
        assert f"unknown_charge {after.intent_id}" in ended.stdout
        assert str(before.intent_id) not in ended.stdout
    finally:
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def test_what_is_wrong_with_a_copy_is_named(at: AtStripe, settings: Settings) -> None:
    sold(at)
    code, said = check()
    assert (code, "The copy can be served." in said) == (0, True), said
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE payments_payment DISABLE TRIGGER USER")
        cursor.execute("UPDATE payments_payment SET intent_id = 'pi_never_there'")
        cursor.execute("ALTER TABLE payments_payment ENABLE TRIGGER USER")
    code, said = check()
    assert code == 1
    assert "not_paid pi_never_there" in said
    assert "1 differences with Stripe" in said
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    code, said = check()
    assert code == 1
    assert "opens 0 of 1 sealed keys" in said


def test_a_database_that_is_served_is_no_copy(at: AtStripe) -> None:
    pulses.beat(worker="stripe@here", queues=["intents"], threads=1, now=timezone.now())
    with pytest.raises(CommandError, match="Nothing was done"):
        call_command("check_copy")
