"""Tenancy: the host names the business, and nothing of another business is ever seen."""

from collections.abc import Callable

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from tests.conftest import HOST, OTHER_HOST
from tests.factories import ItemFactory, ProfileFactory, StaffFactory
from web.core import tenancy
from web.core.models import Business, BusinessHost, Profile

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.integration.core.urls")]
SignIn = Callable[..., Client]
JSON = {"accept": "application/json"}


@pytest.mark.parametrize("host", [HOST, "SUNRISE.localhost", f"{HOST}:8000", f"{HOST}."])
def test_the_host_names_the_business_however_it_is_written(business: Business, host: str) -> None:
    answer = Client().get("/whose/", headers={"host": host}).json()
    assert answer["business"] == "Sunrise Yoga"
    assert answer["time_zone"] == "America/New_York"


def test_each_host_has_its_own_business_and_time_zone(business: Business, other_business: Business) -> None:
    answer = Client(SERVER_NAME=OTHER_HOST).get("/whose/").json()
    assert (answer["business"], answer["time_zone"]) == ("달빛 요가", "Asia/Seoul")
    assert Client(SERVER_NAME=HOST).get("/whose/").json()["time_zone"] == "America/New_York"


def test_pages_do_not_exist_on_a_host_that_serves_nobody(business: Business) -> None:
    browser = Client(SERVER_NAME="nobody.localhost")
    page = browser.get("/whose/")
    assert page.status_code == 404
    assert "No business is served under this address." in page.content.decode()
    assert browser.get("/whose/", headers=JSON).json() == {
        "error": {
            "code": "unknown_host",
            "message": "No business is served under this address.",
            "money_moved": False,
            "next": "Check the address for typing mistakes.",
        }
    }
    assert browser.get("/accounts/login/").status_code == 404
    assert browser.get("/no-such-page/").status_code == 404


def test_what_machines_call_answers_on_any_host(business: Business) -> None:
    browser = Client(SERVER_NAME="nobody.localhost")
    assert browser.get("/hook/").content == b"heard"
    assert browser.get("/healthz").status_code == 200


def test_a_host_is_looked_up_once_for_a_few_seconds(
    business: Business, client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client.get("/whose/")
    with django_assert_num_queries(0):
        client.get("/whose/")


def test_a_new_host_works_at_once_and_an_old_one_goes(business: Business) -> None:
    browser = Client(SERVER_NAME="new.localhost")
    assert browser.get("/whose/").status_code == 404
    host = BusinessHost.objects.create(business=business, host="new.localhost")
    assert browser.get("/whose/").json()["business"] == "Sunrise Yoga"
    host.delete()
    assert browser.get("/whose/").status_code == 404


def test_what_is_remembered_of_hosts_does_not_grow_with_strangers(
    business: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenancy, "HOSTS_KEPT", 3)
    for number in range(10):
        tenancy.business_of_host(f"stranger{number}.example")
    assert len(tenancy._hosts) <= 3


def test_nobody_can_change_the_business_that_others_get(business: Business) -> None:
    first = tenancy.business_of_host(HOST)
    assert first is not None
    first.name = "changed"
    again = tenancy.business_of_host(HOST)
    assert again is not None
    assert again.name == "Sunrise Yoga"


def test_a_signed_in_person_is_known(business: Business, sign_in: SignIn) -> None:
    person = ProfileFactory.create(business=business, email="maria@example.com")
    answer = sign_in(person).get("/whose/").json()
    assert (answer["profile"], answer["signed_in"]) == ("maria@example.com", True)


def test_a_session_of_another_business_is_signed_out(
    business: Business, other_business: Business, sign_in: SignIn
) -> None:
    stranger = StaffFactory.create(business=other_business, groups=["purchases"])
    browser = sign_in(stranger, host=HOST)
    answer = browser.get("/whose/").json()
    assert (answer["profile"], answer["signed_in"]) == (None, False)
    assert browser.get("/books/").status_code == 302


def test_even_a_superuser_stays_in_their_own_business(
    business: Business, other_business: Business, sign_in: SignIn
) -> None:
    owner = StaffFactory.create(business=other_business)
    owner.user.is_superuser = True
    owner.user.save()
    assert sign_in(owner).get("/books/").status_code == 200
    assert sign_in(owner, host=HOST).get("/books/").status_code == 302


def test_without_a_session_nothing_is_read(
    business: Business, client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client.get("/whose/")
    with django_assert_num_queries(0):
        assert client.get("/whose/").json()["profile"] is None


def test_a_signed_in_page_costs_two_queries(
    business: Business, sign_in: SignIn, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    browser = sign_in(ProfileFactory.create(business=business))
    browser.get("/whose/")
    with django_assert_num_queries(2):  # the session; the user with the profile
        browser.get("/whose/")


@pytest.mark.parametrize(
    ("profile_language", "browser_language", "spoken"),
    [("ko", "en", "ko"), ("en", "ko", "en"), (None, "ko", "ko"), (None, "fr", "en")],
)
def test_the_profile_decides_the_language_and_then_the_browser(
    business: Business, sign_in: SignIn, profile_language: str | None, browser_language: str, spoken: str
) -> None:
    browser = (
        sign_in(ProfileFactory.create(business=business, language=profile_language))
        if profile_language
        else Client(SERVER_NAME=HOST)
    )
    answer = browser.get("/whose/", headers={"accept-language": browser_language})
    assert answer.json()["language"] == spoken
    assert answer.headers["Content-Language"] == spoken


def test_the_language_switch_works_for_guests_and_is_kept_on_the_profile(
    business: Business, client: Client, sign_in: SignIn
) -> None:
    answer = client.post("/i18n/set-language/", {"language": "ko", "next": "/whose/"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/whose/")
    assert client.get("/whose/").json()["language"] == "ko"

    person = ProfileFactory.create(business=business, language="en")
    browser = sign_in(person)
    browser.post("/i18n/set-language/", {"language": "ko"})
    assert browser.get("/whose/").json()["language"] == "ko"
    browser.post("/i18n/set-language/", {"language": "xx"})
    assert Profile.objects.get(pk=person.pk).language == "ko"


def test_the_switch_names_each_language_in_its_own_words(business: Business, client: Client) -> None:
    english = client.get("/accounts/login/", headers={"accept-language": "en"}).content.decode()
    korean = client.get("/accounts/login/", headers={"accept-language": "ko"}).content.decode()
    assert 'value="ko" lang="ko">한국어</button>' in english
    assert 'value="en" lang="en">English</button>' in korean


def test_the_language_switch_leads_to_no_other_site(business: Business, client: Client) -> None:
    answer = client.post("/i18n/set-language/", {"language": "ko", "next": "https://evil.example/"})
    assert answer.headers["Location"] == "/"


def test_a_signed_out_person_signs_in_and_comes_back(business: Business, client: Client) -> None:
    answer = client.get("/mine/?page=2")
    assert (answer.status_code, answer.headers["Location"]) == (
        302,
        "/accounts/login/?next=/mine/%3Fpage%3D2",
    )


def test_a_signed_out_program_gets_401(business: Business, client: Client) -> None:
    answer = client.get("/mine/", headers=JSON)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "sign_in_needed"
    assert answer.json()["error"]["money_moved"] is False


def test_a_signed_out_fragment_leads_the_whole_page_to_sign_in(business: Business, client: Client) -> None:
    answer = client.get(
        "/mine/", headers={"hx-request": "true", "hx-current-url": f"http://{HOST}/books/?day=1"}
    )
    assert answer.headers["HX-Redirect"] == "/accounts/login/?next=/books/%3Fday%3D1"


@pytest.mark.parametrize(
    ("groups", "status"), [(["purchases"], 200), (["settings"], 200), (["store", "checkin"], 403), ([], 403)]
)
def test_staff_pass_with_one_of_the_groups(
    business: Business, sign_in: SignIn, groups: list[str], status: int
) -> None:
    browser = sign_in(StaffFactory.create(business=business, groups=groups))
    assert browser.get("/books/").status_code == status


def test_a_customer_in_a_group_by_mistake_is_still_no_staff(business: Business, sign_in: SignIn) -> None:
    browser = sign_in(ProfileFactory.create(business=business, groups=["purchases"]))
    answer = browser.get("/books/")
    assert answer.status_code == 403
    assert "Your account may not use this page." in answer.content.decode()
    assert browser.get("/books/", headers=JSON).json()["error"]["code"] == "not_allowed"
    assert browser.get("/backroom/").status_code == 403


def test_any_staff_passes_where_no_group_is_named(business: Business, sign_in: SignIn) -> None:
    assert sign_in(StaffFactory.create(business=business)).get("/backroom/").status_code == 200


def test_a_group_that_does_not_exist_fails_at_import() -> None:
    with pytest.raises(ValueError, match="No such group: purchase"):
        tenancy.staff_required("purchase")


def test_the_other_business_s_rows_are_404(
    business: Business, other_business: Business, client: Client
) -> None:
    ours, theirs = ItemFactory.create(business=business), ItemFactory.create(business=other_business)
    assert client.get(f"/items/{ours.pk}/").content == b"Yoga mat"
    for key in (str(theirs.pk), "999999", "not-a-number"):
        answer = client.get(f"/items/{key}/")
        assert answer.status_code == 404
        assert "There is nothing at this address." in answer.content.decode()


def test_a_failure_says_what_to_do_and_shows_nothing_of_the_inside(business: Business) -> None:
    browser = Client(SERVER_NAME=HOST, raise_request_exception=False)
    page = browser.get("/broken/")
    assert page.status_code == 500
    assert "Something went wrong on our side." in page.content.decode()
    assert "RuntimeError" not in page.content.decode()
    answer = browser.get("/broken/", headers=JSON)
    assert answer.json()["error"]["money_moved"] is None


def test_a_refused_host_name_is_400_with_a_page(db: None) -> None:
    answer = Client().get("/whose/", headers={"host": "evil.example"})
    assert answer.status_code == 400
    assert "The request could not be understood." in answer.content.decode()


def test_a_form_from_another_site_is_refused_in_clear_words(business: Business) -> None:
    browser = Client(SERVER_NAME=HOST, enforce_csrf_checks=True)
    answer = browser.post("/i18n/set-language/", {"language": "ko"})
    assert answer.status_code == 403
    assert "This form was open for too long" in answer.content.decode()


def test_every_response_names_its_request(business: Business, client: Client) -> None:
    assert (
        client.get("/whose/", headers={"x-request-id": "proxy-1234"}).headers["X-Request-Id"] == "proxy-1234"
    )
    assert len(client.get("/whose/").headers["X-Request-Id"]) == 32


def test_the_logo_s_place_may_show_images_and_no_other(business: Business, client: Client) -> None:
    business.logo = "https://cdn.example:8443/logo.png"
    business.save()
    policy = client.get("/accounts/login/").headers["Content-Security-Policy"]
    assert "img-src 'self' data: https://cdn.example:8443;" in f"{policy};"
    business.logo = "https://cdn.example;script-src */logo.png"
    business.save()
    policy = client.get("/accounts/login/").headers["Content-Security-Policy"]
    assert "cdn.example" not in policy


def test_the_branding_sheet_is_cached_by_its_address(business: Business, client: Client) -> None:
    from web.core.branding import stylesheet_url

    answer = client.get(stylesheet_url(business))
    assert answer.headers["Content-Type"] == "text/css; charset=utf-8"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert client.get("/branding.css?v=old").headers["Cache-Control"] == "no-cache"
