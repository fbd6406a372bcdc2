"""Signing in and up: an address belongs to one business, and strangers learn nothing."""

import re
import threading
from collections.abc import Callable

import pytest
from django.core import mail
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from pytest_django import Settings

from tests.conftest import HOST, OTHER_HOST
from tests.factories import PASSWORD, ProfileFactory, StaffFactory
from web.core import accounts
from web.core.models import Business, Profile, User

SignIn = Callable[..., Client]
ADDRESS = "maria@example.com"
OTHER_PASSWORD = "another horse battery"


def log_in(browser: Client, email: str = ADDRESS, password: str = PASSWORD, **more: str) -> HttpResponse:
    return browser.post("/accounts/login/", {"login": email, "password": password, **more})  # type: ignore[return-value]


def sign_up(browser: Client, **changes: str) -> HttpResponse:
    data = {"name": "Maria Olsen", "email": ADDRESS, "password1": PASSWORD, **changes}
    return browser.post("/accounts/signup/", data)  # type: ignore[return-value]


def is_signed_in(browser: Client) -> bool:
    return "_auth_user_id" in browser.session


@pytest.fixture(autouse=True)
def _empty_cache(clean_cache: None) -> None:
    """Rate limits start anew."""


@pytest.mark.django_db
class TestSigningIn:
    def test_the_right_password_signs_in_whatever_the_case_of_the_address(
        self, business: Business, client: Client
    ) -> None:
        ProfileFactory.create(business=business, email=ADDRESS)
        answer = log_in(client, email="MARIA@Example.com")
        assert (answer.status_code, answer.headers["Location"]) == (302, "/")
        assert is_signed_in(client)

    def test_one_address_in_two_businesses_is_two_accounts(
        self, business: Business, other_business: Business, client: Client
    ) -> None:
        here = ProfileFactory.create(business=business, email=ADDRESS)
        there = ProfileFactory.create(business=other_business, email=ADDRESS)
        there.user.set_password(OTHER_PASSWORD)
        there.user.save()

        log_in(client, password=OTHER_PASSWORD)
        assert not is_signed_in(client)
        log_in(client, password=PASSWORD)
        assert client.session["_auth_user_id"] == str(here.user.pk)

        elsewhere = Client(SERVER_NAME=OTHER_HOST)
        log_in(elsewhere, password=PASSWORD)
        assert not is_signed_in(elsewhere)
        log_in(elsewhere, password=OTHER_PASSWORD)
        assert elsewhere.session["_auth_user_id"] == str(there.user.pk)

    def test_unknown_address_wrong_password_and_closed_account_look_the_same(
        self, business: Business, client: Client
    ) -> None:
        ProfileFactory.create(business=business, email=ADDRESS)
        closed = ProfileFactory.create(business=business, email="closed@example.com")
        closed.user.is_active = False
        closed.user.save()
        pages = [
            log_in(client, password="wrong wrong wrong"),
            log_in(client, email="nobody@example.com"),
            log_in(client, email="closed@example.com"),
        ]
        for page in pages:
            assert page.status_code == 200
            assert "The email address and/or password you specified are not correct." in page.content.decode()
        assert not is_signed_in(client)

    def test_an_unknown_address_costs_a_hash_as_well(
        self, business: Business, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hashed: list[str] = []
        monkeypatch.setattr(User, "set_password", lambda self, raw: hashed.append(raw))
        log_in(client, email="nobody@example.com", password="guess")
        assert hashed == ["guess"]

    def test_staff_come_to_the_till_and_next_is_followed(self, business: Business, client: Client) -> None:
        StaffFactory.create(business=business, email=ADDRESS, groups=["store"])
        assert log_in(client).headers["Location"] == "/checkout/"
        client.logout()
        assert log_in(client, next="/purchases/").headers["Location"] == "/purchases/"

    @pytest.mark.parametrize(
        "url", ["https://evil.example/", f"http://{OTHER_HOST}/", "//evil.example", "javascript:alert(1)"]
    )
    def test_next_never_leaves_the_host(self, business: Business, client: Client, url: str) -> None:
        ProfileFactory.create(business=business, email=ADDRESS)
        assert log_in(client, next=url).headers["Location"] == "/"

    def test_signing_out_is_a_post(self, business: Business, sign_in: SignIn) -> None:
        browser = sign_in(ProfileFactory.create(business=business))
        assert browser.get("/accounts/logout/").status_code == 200
        assert is_signed_in(browser)
        browser.post("/accounts/logout/")
        assert not is_signed_in(browser)

    def test_a_person_without_a_profile_cannot_sign_in(self, business: Business, client: Client) -> None:
        User.objects.create_superuser("root", ADDRESS, PASSWORD)
        log_in(client)
        assert not is_signed_in(client)


@pytest.mark.django_db
class TestRateLimits:
    def test_the_sixth_wrong_password_for_an_address_is_not_tried(
        self, business: Business, client: Client
    ) -> None:
        ProfileFactory.create(business=business, email=ADDRESS)
        for _ in range(5):
            log_in(client, password="wrong wrong wrong")
        answer = log_in(client)  # the right one: too late
        assert "Too many failed login attempts. Try again later." in answer.content.decode()
        assert not is_signed_in(client)

    def test_the_limit_of_one_business_does_not_lock_the_address_at_another(
        self, business: Business, other_business: Business, client: Client
    ) -> None:
        ProfileFactory.create(business=other_business, email=ADDRESS)
        for _ in range(5):
            log_in(client, password="wrong wrong wrong")
        elsewhere = Client(SERVER_NAME=OTHER_HOST)
        log_in(elsewhere)
        assert is_signed_in(elsewhere)

    def test_too_many_mails_are_429_with_a_page(self, business: Business, client: Client) -> None:
        for _ in range(5):
            assert client.post("/accounts/password/reset/", {"email": ADDRESS}).status_code == 302
        answer = client.post("/accounts/password/reset/", {"email": ADDRESS})
        assert answer.status_code == 429
        assert "That was too often in a short time." in answer.content.decode()
        assert len(mail.outbox) == 5

    def test_limits_need_no_redis(self, business: Business, client: Client, settings: Settings) -> None:
        settings.REDIS_URL = "redis://127.0.0.1:1/0"
        self.test_the_sixth_wrong_password_for_an_address_is_not_tried(business, client)


@pytest.mark.django_db
class TestSigningUp:
    def test_it_makes_an_account_and_a_customer_and_signs_in(
        self, business: Business, client: Client
    ) -> None:
        answer = sign_up(client, email="Maria@Example.com")
        assert (answer.status_code, answer.headers["Location"]) == (302, "/")
        profile = Profile.objects.get()
        assert profile.business == business
        assert (profile.role, profile.name, profile.email) == ("customer", "Maria Olsen", ADDRESS)
        assert profile.user.username == f"maria@example.com:{business.business_id}"
        assert profile.user.check_password(PASSWORD)
        assert not profile.user.is_superuser
        assert client.session["_auth_user_id"] == str(profile.user.pk)

    def test_the_same_address_at_another_business_is_no_obstacle(
        self, business: Business, other_business: Business, client: Client
    ) -> None:
        sign_up(Client(SERVER_NAME=OTHER_HOST), password1=OTHER_PASSWORD)
        sign_up(client)
        assert is_signed_in(client)
        assert sorted(Profile.objects.values_list("business__name", "email")) == [
            ("Sunrise Yoga", ADDRESS),
            ("달빛 요가", ADDRESS),
        ]

    def test_an_address_that_is_known_here_is_a_form_error(self, business: Business, client: Client) -> None:
        ProfileFactory.create(business=business, email=ADDRESS)
        answer = sign_up(client, email="MARIA@example.com")
        assert "There is already an account with this address." in answer.content.decode()
        assert Profile.objects.count() == 1
        assert not is_signed_in(client)

    def test_a_weak_password_is_refused(self, business: Business, client: Client) -> None:
        answer = sign_up(client, password1="short")
        assert "at least 10 characters" in answer.content.decode()
        assert User.objects.count() == 0

    def test_the_visitor_s_language_becomes_the_profile_s(self, business: Business, client: Client) -> None:
        client.post("/i18n/set-language/", {"language": "ko"})
        sign_up(client)
        assert Profile.objects.get().language == "ko"

    def test_a_guest_s_address_is_claimed_by_mail_not_by_signing_up(
        self, business: Business, client: Client
    ) -> None:
        accounts.create_person(business=business, email=ADDRESS, name="Guest")
        sign_up(client)
        assert not is_signed_in(client)
        assert Profile.objects.get().name == "Guest"


@pytest.mark.django_db(transaction=True)
def test_two_who_sign_up_at_once_are_one_account_and_one_form_error(business: Business) -> None:
    browsers = [Client(SERVER_NAME=HOST) for _ in range(2)]
    both_have_looked = threading.Barrier(2, timeout=20)
    answers: list[HttpResponse] = []
    create_person = accounts.create_person

    def wait_and_create(**person: object) -> Profile:
        both_have_looked.wait()  # neither has found the address; now both write
        return create_person(**person)  # type: ignore[arg-type]

    def run(browser: Client) -> None:
        try:
            answers.append(sign_up(browser))
        finally:
            connection.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accounts, "create_person", wait_and_create)
        threads = [threading.Thread(target=run, args=(browser,)) for browser in browsers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)

    assert sorted(answer.status_code for answer in answers) == [200, 302]
    (refused,) = [answer for answer in answers if answer.status_code == 200]
    assert "There is already an account with this address." in refused.content.decode()
    assert User.objects.count() == Profile.objects.count() == 1
    assert sorted(is_signed_in(browser) for browser in browsers) == [False, True]


@pytest.mark.django_db
class TestNewPassword:
    def link(self) -> str:
        found = re.search(r"http://[^/\s]+(/accounts/password/reset/key/\S+)", str(mail.outbox[-1].body))
        assert found is not None
        return found.group(1)

    def test_the_link_of_the_mail_sets_a_new_password(self, business: Business, client: Client) -> None:
        ProfileFactory.create(business=business, email=ADDRESS)
        client.post("/accounts/password/reset/", {"email": "MARIA@example.com"})
        (message,) = mail.outbox
        assert message.to == [ADDRESS]
        assert message.subject == "Sunrise Yoga: choose a new password"
        assert message.from_email == "Sunrise Yoga <receipts@localhost>"
        form = client.get(self.link(), follow=True)
        address = form.redirect_chain[-1][0]
        answer = client.post(address, {"password1": OTHER_PASSWORD, "password2": OTHER_PASSWORD})
        assert answer.status_code == 302
        log_in(client, password=OTHER_PASSWORD)
        assert is_signed_in(client)

    def test_only_the_account_of_this_business_gets_a_link(
        self, business: Business, other_business: Business, client: Client
    ) -> None:
        ProfileFactory.create(business=other_business, email=ADDRESS)
        answer = client.post("/accounts/password/reset/", {"email": ADDRESS})
        assert answer.status_code == 302
        (message,) = mail.outbox
        assert message.subject == "Sunrise Yoga: there is no account with this address"
        assert "/reset/key/" not in message.body

    def test_a_link_opens_nothing_at_another_business(
        self, business: Business, other_business: Business, client: Client
    ) -> None:
        ProfileFactory.create(business=business, email=ADDRESS)
        client.post("/accounts/password/reset/", {"email": ADDRESS})
        answer = Client(SERVER_NAME=OTHER_HOST).get(self.link(), follow=True)
        assert "This link does not work any more" in answer.content.decode()

    def test_a_link_works_once(self, business: Business, client: Client) -> None:
        profile = ProfileFactory.create(business=business, email=ADDRESS)
        client.post("/accounts/password/reset/", {"email": ADDRESS})
        profile.user.set_password(OTHER_PASSWORD)
        profile.user.save()
        assert "This link does not work any more" in client.get(self.link(), follow=True).content.decode()

    def test_a_signed_in_person_changes_it(self, business: Business, sign_in: SignIn, client: Client) -> None:
        person = ProfileFactory.create(business=business, email=ADDRESS)
        browser = sign_in(person)
        assert browser.get("/accounts/password/change/").status_code == 200
        data = {"oldpassword": PASSWORD, "password1": OTHER_PASSWORD, "password2": OTHER_PASSWORD}
        assert browser.post("/accounts/password/change/", data).headers["Location"] == "/"
        log_in(client, password=OTHER_PASSWORD)
        assert is_signed_in(client)


@pytest.mark.django_db
@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize(
    "path",
    [
        "login/",
        "signup/",
        "password/reset/",
        "password/reset/done/",
        "password/reset/key/done/",
        "password/reset/key/1-x/",
        "inactive/",
    ],
)
def test_every_page_is_drawn(business: Business, client: Client, path: str, language: str) -> None:
    answer = client.get(f"/accounts/{path}", headers={"accept-language": language})
    assert answer.status_code == 200
    assert f'<html lang="{language}">' in answer.content.decode()
    assert "Sunrise Yoga" in answer.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["email/", "confirm-email/", "reauthenticate/", "password/set/", "login/code/confirm/"]
)
def test_pages_of_allauth_that_are_not_used_do_not_exist(
    business: Business, client: Client, path: str
) -> None:
    assert client.get(f"/accounts/{path}").status_code == 404
