"""A second factor at sign-in, who needs one, sessions that end, and proving again who one is."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.core.management import CommandError, call_command
from django.http import HttpResponse
from django.test import Client
from pytest_django import Settings

from tests.factories import PASSWORD, ProfileFactory, StaffFactory
from web.core.groups import Group, PlatformGroup
from web.core.models import Business, Profile
from web.payments.models import AuditEntry, PaymentSettings, StripeAccount
from web.payments.operations import erasure

pytestmark = pytest.mark.django_db
LATER = 700  # seconds: what was proved is not recent any more
KEYS = {"publishable_key": "pk_test_another", "secret_key": "sk_test_another"}


@pytest.fixture(autouse=True)
def _empty_cache(clean_cache: None) -> None:
    """Rate limits start anew."""


@pytest.fixture
def cashier(business: Business) -> Profile:
    return StaffFactory.create(business=business, groups=[Group.STORE])


@pytest.fixture
def manager(business: Business) -> Profile:
    return StaffFactory.create(business=business, groups=[Group.REFUNDS, Group.PURCHASES, Group.SETTINGS])


def log_in(browser: Client, person: Profile) -> HttpResponse:
    return browser.post("/accounts/login/", {"login": person.email, "password": PASSWORD})  # type: ignore[return-value]


def code_of(secret: str) -> str:
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30)))


def set_up_an_app(browser: Client) -> tuple[str, list[str]]:
    """Set up an app as a person does; return its secret and the recovery codes that are shown once."""
    page = browser.get("/accounts/second-factor/app/").content.decode()
    found = re.search(r'id="secret" readonly value="(\w+)"', page)
    assert found is not None, page[-1500:]
    answer = browser.post("/accounts/second-factor/app/", {"code": code_of(found[1])})
    assert (answer.status_code, answer.headers.get("Location")) == (302, "/accounts/second-factor/codes/")
    shown = browser.get("/accounts/second-factor/codes/").content.decode()
    listed = re.search(r'id="codes">(.*?)</pre>', shown, re.DOTALL)
    assert listed is not None
    return found[1], listed[1].split()


def insist(business: Business, on: str) -> None:
    business.second_factor = on
    business.save()


def where(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.headers.get("Location", "")


class TestSigningInWithTwoFactors:
    def test_the_app_is_asked_for_and_each_code_opens_once(self, client: Client, cashier: Profile) -> None:
        with time_machine.travel("2026-11-28T10:00:00Z", tick=False) as clock:
            log_in(client, cashier)
            secret, _codes = set_up_an_app(client)
            client.post("/accounts/logout/")
            clock.shift(60)

            assert where(log_in(client, cashier)) == (302, "/accounts/second-factor/sign-in/")
            assert "_auth_user_id" not in client.session
            assert client.get("/checkout/").status_code == 302, "the password alone opens nothing"
            wrong = client.post("/accounts/second-factor/sign-in/", {"code": "000000"})
            assert (wrong.status_code, "_auth_user_id" in client.session) == (200, False)
            assert where(client.post("/accounts/second-factor/sign-in/", {"code": code_of(secret)}))[0] == 302
            assert client.session["_auth_user_id"] == str(cashier.user.pk)

            other = Client(SERVER_NAME=client.defaults["SERVER_NAME"])
            log_in(other, cashier)
            again = other.post("/accounts/second-factor/sign-in/", {"code": code_of(secret)})
            assert (again.status_code, "_auth_user_id" in other.session) == (200, False), (
                "looked over a shoulder"
            )

    def test_a_recovery_code_opens_once_and_is_shown_once(self, client: Client, cashier: Profile) -> None:
        log_in(client, cashier)
        _secret, codes = set_up_an_app(client)
        assert len(codes) == 10
        assert codes[0] not in client.get("/accounts/second-factor/codes/").content.decode()
        kept = str(list(Authenticator.objects.values_list("data", flat=True)))
        assert _secret not in kept
        assert codes[0] not in kept
        for expected in (True, False):
            client.post("/accounts/logout/")
            log_in(client, cashier)
            client.post("/accounts/second-factor/sign-in/", {"code": codes[3]})
            assert ("_auth_user_id" in client.session) is expected

    def test_guessing_is_slowed_down(self, client: Client, cashier: Profile) -> None:
        log_in(client, cashier)
        secret, _codes = set_up_an_app(client)
        client.post("/accounts/logout/")
        with time_machine.travel(time.time() + 60, tick=False):
            log_in(client, cashier)
            for guess in range(5):
                client.post("/accounts/second-factor/sign-in/", {"code": f"00000{guess}"})
            client.post("/accounts/second-factor/sign-in/", {"code": code_of(secret)})
            assert "_auth_user_id" not in client.session, "the sixth attempt is not looked at, right or wrong"


class TestWhoNeedsOne:
    def test_staff_with_money_rights_set_one_up_before_they_go_on(
        self, business: Business, client: Client, manager: Profile, cashier: Profile
    ) -> None:
        insist(business, "money")
        log_in(client, manager)
        assert where(client.get("/purchases/")) == (302, "/accounts/second-factor/")
        assert (
            "Your business wants a second factor" in client.get("/accounts/second-factor/").content.decode()
        )
        asked = client.get("/stripe-terminal/", headers={"Accept": "application/json"})
        assert asked.status_code == 403
        set_up_an_app(client)
        assert client.get("/purchases/").status_code == 200

        till = Client(SERVER_NAME=client.defaults["SERVER_NAME"])
        log_in(till, cashier)
        assert till.get("/checkout/").status_code == 200, "who only takes money in is not asked"
        insist(business, "staff")
        assert where(till.get("/checkout/till/items/")) == (302, "/accounts/second-factor/")
        customer = ProfileFactory.create(business=business)
        log_in(buyer := Client(SERVER_NAME=client.defaults["SERVER_NAME"]), customer)
        assert buyer.get("/checkout/mine").status_code == 200, "customers are never asked"

    def test_a_session_from_before_has_to_show_it_and_removing_it_closes_the_pages(
        self, business: Business, client: Client, manager: Profile
    ) -> None:
        log_in(old := Client(SERVER_NAME=client.defaults["SERVER_NAME"]), manager)
        log_in(client, manager)
        set_up_an_app(client)
        insist(business, "money")
        assert where(old.get("/purchases/")) == (302, "/accounts/confirm/code/?next=%2Fpurchases%2F")
        assert client.get("/purchases/").status_code == 200
        client.post("/accounts/second-factor/app/remove/")
        assert not Authenticator.objects.exists(), "with the last factor its recovery codes are gone"
        assert where(client.get("/purchases/")) == (302, "/accounts/second-factor/")

    def test_operators_need_one_where_the_installation_says_so(
        self, client: Client, business: Business, settings: Settings
    ) -> None:
        operator = StaffFactory.create(business=business, groups=[PlatformGroup.OPS])
        log_in(client, operator)
        assert client.get("/ops/").status_code == 200
        settings.OPERATORS_NEED_SECOND_FACTOR = True
        assert where(client.get("/ops/")) == (302, "/accounts/second-factor/")
        set_up_an_app(client)
        assert client.get("/ops/").status_code == 200

    def test_a_lost_phone_is_dealt_with_on_the_server_and_written_down(
        self, client: Client, business: Business, manager: Profile
    ) -> None:
        log_in(client, manager)
        set_up_an_app(client)
        call_command("second_factor", business=business.business_id, remove=manager.email)
        assert not Authenticator.objects.exists()
        assert AuditEntry.objects.get().action == "second_factor.removed"
        with pytest.raises(CommandError, match="has no second factor"):
            call_command("second_factor", business=business.business_id, remove=manager.email)

    def test_erasing_a_person_erases_it(self, client: Client, business: Business, cashier: Profile) -> None:
        log_in(client, cashier)
        set_up_an_app(client)
        erasure.erase(business=business, email=cashier.email, actor="staff 1", now=cashier.created_at)
        assert not Authenticator.objects.exists()


class TestSessions:
    def test_staff_are_signed_out_when_nobody_is_there_and_at_the_end_of_the_day(
        self, client: Client, cashier: Profile
    ) -> None:
        with time_machine.travel("2026-11-28T08:00:00Z", tick=False) as clock:
            log_in(client, cashier)
            assert client.get("/checkout/").status_code == 200
            for _hour in range(3):
                clock.shift(3600)
                assert client.get("/checkout/").status_code == 200, "somebody is there"
            for _hour in range(2):  # the page asks by itself how things stand: that is nobody
                clock.shift(3599)
                client.get("/checkout/till/items/", headers={"HX-Request": "true"})
            clock.shift(3)
            assert where(client.get("/checkout/till/items/"))[1].startswith("/accounts/login/")
            assert "_auth_user_id" not in client.session

            log_in(client, cashier)
            for _hour in range(13):
                clock.shift(3600)
                assert client.get("/checkout/till/items/").status_code == 200
            clock.shift(3600)
            assert where(client.get("/checkout/till/items/"))[1].startswith("/accounts/login/")

    def test_a_customer_stays(self, client: Client, business: Business) -> None:
        with time_machine.travel("2026-11-28T08:00:00Z", tick=False) as clock:
            log_in(client, ProfileFactory.create(business=business))
            clock.shift(86_400)
            assert client.get("/checkout/mine").status_code == 200

    def test_signing_out_everywhere_else(self, client: Client, cashier: Profile) -> None:
        log_in(
            other := Client(SERVER_NAME=client.defaults["SERVER_NAME"], HTTP_USER_AGENT="The other one"),
            cashier,
        )
        log_in(client, cashier)
        assert "The other one" in client.get("/accounts/sessions/").content.decode()
        client.post("/accounts/sessions/")
        assert "_auth_user_id" in client.session
        assert "_auth_user_id" not in other.session


class TestProvingAgain:
    def test_keys_and_secrets_need_it_and_nothing_typed_is_kept(
        self, client: Client, business: Business, manager: Profile
    ) -> None:
        with time_machine.travel("2026-11-28T08:00:00Z", tick=False) as clock:
            log_in(client, manager)
            clock.shift(LATER)
            page = client.get("/settings/").content.decode()
            assert "secret_key" not in page
            for address, fields in (
                ("/settings/stripe/", KEYS),
                ("/settings/webhook/", {"secret": "whsec_12345678"}),
                ("/settings/safety/", {"second_factor": "nobody", "refund_limit": ""}),
            ):
                answer = client.post(address, fields)
                assert where(answer)[1].startswith("/accounts/confirm/?next=%2Fsettings%2F"), address
            assert not StripeAccount.objects.exists()
            assert "sk_test_another" not in str(dict(client.session))

            assert client.post("/accounts/confirm/", {"password": "wrong"}).status_code == 200
            assert client.post("/settings/stripe/", KEYS).headers["Location"].startswith("/accounts/")
            answer = client.post("/accounts/confirm/", {"password": PASSWORD, "next": "/settings/"})
            assert where(answer) == (302, "/settings/")
            assert "secret_key" in client.get("/settings/").content.decode()
            client.post("/settings/stripe/", KEYS)
            assert StripeAccount.objects.count() == 1

    def test_the_settings_of_it_are_changed_and_written_down(
        self, client: Client, business: Business, manager: Profile
    ) -> None:
        log_in(client, manager)
        client.post(
            "/settings/safety/",
            {
                "second_factor": "money",
                "refund_limit": "250.00",
                "embed_origins": "studio.example/a\n\nhttps://studio.example",
            },
        )
        business.refresh_from_db()
        assert business.second_factor == "money"
        assert business.embed_origins == ["https://studio.example"]
        assert PaymentSettings.objects.get(business=business).refund_limit_minor == 25_000
        assert AuditEntry.objects.get().changes == {
            "second_factor": ["nobody", "money"],
            "refund_limit_minor": [None, 25_000],
            "embed_origins": [[], ["https://studio.example"]],
        }

    def test_it_leads_nowhere_else(self, client: Client, manager: Profile) -> None:
        log_in(client, manager)
        answer = client.post("/accounts/confirm/", {"password": PASSWORD, "next": "https://evil.example/"})
        assert where(answer) == (302, "/")
