"""Shop and checkout in a frame: only where the business allows it, never for staff, with cookies of the frame's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import URLResolver, get_resolver
from pytest_django import Settings

from tests.factories import ProfileFactory
from tests.shop import Shop
from web.core.embedding import origin_of
from web.core.models import Business, Profile
from web.core.tenancy import forget_hosts
from web.payments.models import Cart
from web.payments.operations import carts

pytestmark = pytest.mark.django_db
SITE = "https://www.sunrise.example"
IN_A_FRAME = {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "cross-site"}


@pytest.fixture
def allowed(business: Business) -> Business:
    """The business, with one site that may frame it."""
    Business.objects.filter(id=business.id).update(embed_origins=[SITE])
    forget_hosts()
    return business


def may_frame(answer: object) -> str:
    """Return who may frame the page, as both headers say it."""
    headers = answer.headers  # type: ignore[attr-defined]
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    return f"{policy['frame-ancestors']} {headers.get('X-Frame-Options', '')}".strip()


@pytest.mark.parametrize("address", ["/", "/checkout/customer"])
def test_nobody_may_unless_the_business_says_so(client: Client, address: str) -> None:
    answer = client.get(address, headers=IN_A_FRAME)
    assert may_frame(answer) == "'none' DENY"
    assert "framed" not in answer.cookies


@pytest.mark.parametrize("address", ["/", "/checkout/customer"])
def test_a_site_that_the_business_names_may(allowed: Business, client: Client, address: str) -> None:
    assert may_frame(client.get(address)) == f"'self' {SITE}"


@pytest.mark.parametrize(
    "address", ["/accounts/login/", "/settings/", "/list-payment-cards/", "/no/such/page"]
)
def test_no_other_page_may(allowed: Business, client: Client, address: str) -> None:
    assert may_frame(client.get(address, follow=True)) == "'none' DENY"


def test_no_page_of_staff_may(allowed: Business, sign_in: Callable[[Profile], Client]) -> None:
    clerk = ProfileFactory.create(business=allowed, role="staff")
    assert may_frame(sign_in(clerk).get("/")) == "'none' DENY"
    customer = ProfileFactory.create(business=allowed)
    assert may_frame(sign_in(customer).get("/")) == f"'self' {SITE}"


def test_what_a_frame_remembers_is_the_frames_alone(allowed: Business, client: Client) -> None:
    """The cart, the form's token, whose payment it is; and nobody is asked to sign in where they cannot."""
    item = Shop.make(business=allowed).item
    page = client.get("/", headers=IN_A_FRAME)
    assert "/accounts/login/" not in page.content.decode()
    answer = client.post("/shop/add/", {"item": item.id})  # within the frame nothing is cross-site any more
    assert answer.status_code == 302
    token = Cart.objects.get().token
    carts.set_buyer(business=allowed, token=token, name="Ada Guest", email="ada@example.com")
    paid = client.post(
        "/stripe-intent/",
        {"cart": token, "form_token": "f" * 32, "expected_total": 3600},
        content_type="application/json",
        headers={"Accept": "application/json"},
    )
    written = {name: str(cookie) for name, cookie in client.cookies.items()}
    assert {"framed", "cart", "payer"} <= set(written), paid.content
    for name in ("framed", "cart", "payer"):
        assert "SameSite=None" in written[name], written[name]
        assert "Secure" in written[name], written[name]
        assert "Partitioned" in written[name], written[name]
        assert "HttpOnly" in written[name], written[name]
    assert client.cookies["cart"].value


def test_outside_of_frames_cookies_are_as_ever(allowed: Business, client: Client) -> None:
    item = Shop.make(business=allowed).item
    client.get("/")
    client.post("/shop/add/", {"item": item.id})
    assert "SameSite=Lax" in str(client.cookies["cart"])
    assert "Partitioned" not in str(client.cookies["cart"])


def test_a_page_of_its_own_is_no_frame_whatever_cookie_it_brings(allowed: Business, client: Client) -> None:
    """As of a browser that keeps no cookies apart."""
    client.cookies["framed"] = "1"
    page = client.get("/", headers={"Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none"})
    assert "/accounts/login/" in page.content.decode()
    assert "Partitioned" not in str(page.cookies)


def test_these_views_may_be_framed_and_no_others() -> None:
    def views(resolver: URLResolver) -> Iterator[tuple[str, bool]]:
        for pattern in resolver.url_patterns:
            if isinstance(pattern, URLResolver):
                yield from views(pattern)
            else:
                yield str(pattern.name), getattr(pattern.callback, "is_embeddable", False)

    assert {name for name, is_embeddable in views(get_resolver()) if is_embeddable} == {
        "shop", "add_to_cart", "checkout", "cart", "set_line", "set_tip", "set_buyer", "use_stored", "pay_on_arrival",
        "complete_free", "change_order", "receipt",
    }  # fmt: skip


def test_a_session_is_never_a_frames(allowed: Business, sign_in: Callable[[Profile], Client]) -> None:
    customer = sign_in(ProfileFactory.create(business=allowed))
    customer.cookies["framed"] = "1"
    answer = customer.post("/accounts/logout/")
    assert "SameSite=Lax" in str(answer.cookies["sessionid"])


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("https://www.sunrise.example", SITE),
        (" www.Sunrise.Example/book?a=1#b ", SITE),
        ("https://sunrise.example:8443/", "https://sunrise.example:8443"),
        ("https://해돋이.example", "https://xn--oq1bw68afhk.example"),
        ("http://localhost:8123", "http://localhost:8123"),
    ],
)
def test_an_address_is_kept_as_its_origin(typed: str, kept: str) -> None:
    assert origin_of(typed) == kept


@pytest.mark.parametrize(
    "typed",
    [
        "http://www.sunrise.example",
        "https://*.sunrise.example",
        "https://me:secret@sunrise.example",
        "javascript:alert(1)",
        "https://",
        "https://a b.example",
        "https://sunrise.example; script-src *",
        "https://sunrise.example:99999",
        "'self'",
        "data:text/html,x",
        "https://[::1]",
    ],
)
def test_what_is_no_web_site_is_refused(typed: str) -> None:
    with pytest.raises(ValidationError):
        origin_of(typed)


def test_http_is_for_trying_it_out_only(settings: Settings) -> None:
    settings.PAYDESK_LOCAL = False
    with pytest.raises(ValidationError):
        origin_of("http://localhost:8123")
