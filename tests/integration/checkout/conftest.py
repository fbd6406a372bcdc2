"""A shop at the test host, and carts in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from tests.shop import Shop
from web.core.models import Business
from web.payments.models import Cart

FORM_TOKEN = "form-token-of-the-tests"


@pytest.fixture
def shop(business: Business) -> Shop:
    return Shop.make(business=business)


@pytest.fixture
def cart(shop: Shop) -> Cart:
    """A guest's cart with one thing for 36.00."""
    return shop.cart()


@pytest.fixture
def ask(client: Client) -> Callable[..., HttpResponse]:
    """POST JSON to an address as the page's script does."""

    def ask(path: str, body: Any = None, **options: Any) -> Any:
        raw = options.pop("raw", None)
        data = raw if raw is not None else ("" if body is None else json.dumps(body))
        content_type = options.pop("content_type", "application/json")
        browser = options.pop("browser", client)
        return browser.post(
            path, data=data, content_type=content_type, headers={"Accept": "application/json"}, **options
        )

    return ask


def wanted(cart: Cart, total: int = 3600, form_token: str = FORM_TOKEN) -> dict[str, object]:
    """Return the body of a request for a payment."""
    return {"cart": cart.token, "form_token": form_token, "expected_total": total}
