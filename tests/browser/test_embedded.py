"""The shop within a page of another site: a guest buys there, and a site that was not named shows nothing."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Person, Studio, type_card
from web.core.tenancy import HOST_SECONDS


@contextmanager
def web_site(framed: str) -> Iterator[str]:
    """Serve a page of somebody's that frames an address; give its own, which is of another site."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = f'<!doctype html><title>A studio</title><iframe src="{framed}" title="Shop" width="360">'
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@contextmanager
def allowing(studio: Studio, origin: str) -> Iterator[None]:
    """Have the business name a site, as its settings do, and wait until every process of web knows."""
    change = b"UPDATE core_business SET embed_origins = %s::jsonb"
    with psycopg.connect(studio.database, autocommit=True) as connection:
        connection.execute(change, [f'["{origin}"]'])
        time.sleep(HOST_SECONDS + 0.5)
        try:
            yield
        finally:
            connection.execute(change, ["[]"])


@pytest.fixture
def site(studio: Studio) -> Iterator[str]:
    with web_site(f"{studio.origin}/") as origin:
        yield origin


def test_a_guest_buys_within_the_studios_own_site(guest: Person, studio: Studio, site: str) -> None:
    with allowing(studio, site):
        guest.page.goto(site)
        shop = guest.page.frame_locator("iframe").first
        shop.get_by_role("button", name="Add Cork yoga mat to the cart").wait_for()
        expect(shop.get_by_role("link", name="Sign in")).to_have_count(0)
        shop.get_by_role("button", name="Add Cork yoga mat to the cart").click()
        shop.locator("#pay-form[data-ready=yes]").wait_for()
        shop.locator("#buyer-email").fill("ada@example.com")
        shop.locator("#buyer-name").fill("Ada Guest")
        type_card(shop)
        shop.locator("#pay-button").click()
        shop.get_by_role("heading", name="Receipt").wait_for()
        cookies = guest.page.context.cookies()
        assert {cookie["name"] for cookie in cookies} >= {"framed", "payer", "receipts", "csrftoken"}
        assert {cookie.get("partitionKey") for cookie in cookies} == {"http://127.0.0.1"}


def test_a_site_that_was_not_named_shows_nothing(guest: Person, site: str) -> None:
    guest.page.goto(site)
    guest.page.wait_for_timeout(500)
    shop = guest.page.frame_locator("iframe").first
    expect(shop.get_by_role("button", name="Add Cork yoga mat to the cart")).to_have_count(0)
    assert any("frame-ancestors" in problem for problem in guest.problems), guest.problems
    guest.problems.clear()
