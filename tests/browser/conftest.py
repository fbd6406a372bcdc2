"""A real browser on the whole of Paydesk: web, workers, servers and the sandbox, with the demo studio in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, BrowserContext, Error, FrameLocator, Page, ViewportSize

from stack import demo
from stack.processes import Stack
from stack.reader import Reader
from tests import leaks, produced
from tests.own_servers import own_servers

PHONE = ViewportSize(width=360, height=740)
DESK = ViewportSize(width=1280, height=800)
GOING_ELSEWHERE = ("ERR_ABORTED", "interrupted by another navigation")


@dataclass
class Studio:
    """The running studio: where it answers, who may sign in, and a look into its tables."""

    origin: str
    sandbox: str
    database: str
    seed: dict[str, Any]
    stack: Stack

    def reader(self, label: str = "Front desk") -> Reader:
        """Return the person at a card reader."""
        (known,) = (one for one in self.seed["readers"] if one["label"] == label)
        return Reader(sandbox=self.sandbox, id=known["id"])

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Read the database past Django: the browser's event loop runs in this thread."""
        with psycopg.connect(self.database) as connection:
            return connection.execute(query, parameters).fetchall()

    def payments(self, token: str) -> list[tuple[str, str]]:
        """Return method and state of every payment of a cart or of the order that it became."""
        return self.rows(
            "SELECT method, state FROM payments_payment WHERE cart_reference IN ("
            " SELECT reference FROM payments_cart WHERE token = %s"
            " UNION SELECT cart_reference FROM payments_order WHERE token = %s) ORDER BY id",
            token,
            token,
        )

    def orders(self, token: str) -> int:
        """Return how many orders a cart became: 0 or 1, or something is badly wrong."""
        return len(self.rows("SELECT 1 FROM payments_order WHERE token = %s", token))


@pytest.fixture(scope="session")
def studio(browser_type_launch_args: dict[str, Any]) -> Iterator[Studio]:
    with ExitStack() as held:
        with own_servers():
            stack = held.enter_context(Stack())
        opened = demo.open_studio(stack)
        yield Studio(opened.site, stack.urls.sandbox, stack.urls.database, opened.seeded, stack)
        produced.judge(stack.urls.sandbox)
        leaks.judge_stores(stack.urls.redis, stack.urls.database)


@dataclass
class Person:
    """Somebody in front of a page: what they do, in their words."""

    page: Page
    studio: Studio
    problems: list[str]

    @property
    def token(self) -> str:
        """The token of the cart or receipt that the page shows."""
        url = self.page.url
        if "cart=" in url:
            return url.split("cart=")[1].split("&")[0].split("#")[0]
        return url.split("/receipt/")[1].split("/")[0]

    def open(self, path: str) -> None:
        for is_last in (False, False, True):
            try:
                self.page.goto(self.studio.origin + path)
                return
            except Error as error:  # the page was going somewhere by itself at that moment
                if is_last or not any(words in str(error) for words in GOING_ELSEWHERE):
                    raise

    def fill_cart(self, item: str = "Cork yoga mat") -> str:
        """Put one thing into a new cart and wait until it can be paid; return the cart's token."""
        self.open("/")
        self.page.get_by_role("button", name=f"Add {item} to the cart").click()
        self.page.wait_for_url("**/checkout/?cart=*")
        self.forms_are_ready()
        return self.token

    def forms_are_ready(self) -> None:
        self.page.wait_for_selector("#pay-form[data-ready=yes]")

    def say_who(self, name: str = "Ada Guest", email: str = "ada@example.com") -> None:
        self.page.fill("#buyer-email", email)
        self.page.fill("#buyer-name", name)

    def type_card(self, number: str = "4242424242424242") -> None:
        type_card(self.page, number)

    def press_pay(self) -> None:
        self.page.locator("#pay-button").click()

    def is_told(self, words: str) -> None:
        self.page.locator("#pay-state", has_text=words).wait_for()

    def gets_the_receipt(self) -> str:
        """Wait for the receipt; return its order's number."""
        self.page.wait_for_url("**/receipt/**")
        self.page.get_by_role("heading", name="Receipt").wait_for()
        return self.page.locator("h2 + .mono").inner_text()

    def sign_in(self, local: str) -> None:
        self.open("/accounts/login/")
        self.page.fill("[name=login]", f"{local}@hanriver.example")
        self.page.fill("[name=password]", demo.PASSWORD)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(lambda url: "/accounts/login/" not in url)


def type_card(place: Page | FrameLocator, number: str = "4242424242424242") -> None:
    """Fill in Stripe's card form on a page, or within a frame."""
    frame = place.frame_locator("#card iframe")
    for field, value in (("number", number), ("expiry", "1234"), ("cvc", "123"), ("postal", "10013")):
        frame.locator(f"#{field}").fill("")
        frame.locator(f"#{field}").press_sequentially(value)


def person(context: BrowserContext, studio: Studio) -> Person:
    """Open a page that writes down every problem that its console tells."""
    page = context.new_page()
    page.set_default_timeout(20_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        lambda message: (
            problems.append(f"{message.text} {message.location}")
            if "Content Security Policy" in message.text
            else None
        ),
    )
    return Person(page, studio, problems)


@pytest.fixture
def guest(browser: Browser, studio: Studio) -> Iterator[Person]:
    """A stranger with a phone."""
    context = browser.new_context(viewport=PHONE, has_touch=True)
    somebody = person(context, studio)
    yield somebody
    context.close()
    assert somebody.problems == []


@pytest.fixture
def desk(browser: Browser, studio: Studio) -> Iterator[Person]:
    """A colleague at the till beside, signed in."""
    context = browser.new_context(viewport=DESK)
    somebody = person(context, studio)
    somebody.sign_in("desk")
    yield somebody
    context.close()
    assert somebody.problems == []


@pytest.fixture
def staff(browser: Browser, studio: Studio) -> Iterator[Person]:
    """The owner at the front desk, signed in."""
    context = browser.new_context(viewport=DESK)
    somebody = person(context, studio)
    somebody.sign_in("owner")
    yield somebody
    context.close()
    assert somebody.problems == []
