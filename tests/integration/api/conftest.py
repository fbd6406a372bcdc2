"""A program of a business: a token, and what it asks."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.plugin import DjangoDbBlocker

from tests.integration.access.asking import undone
from tests.integration.access.world import Studio, World
from web.core import tenancy
from web.payments.models import ApiToken
from web.payments.operations import api_tokens

EVERY = ("read", "refund", "sell")


def token_of(studio: Studio, *scopes: str) -> str:
    """Return a new token of a business, with these scopes; with all of them where none is named."""
    _token, secret = api_tokens.make(
        business=studio.business,
        name="Web shop",
        scopes=scopes or EVERY,
        expires_at=None,
        form_token=uuid.uuid4().hex,
        maker=studio.staff("store", "refunds"),
        actor="tests",
        now=timezone.now(),
    )
    return secret


class Program:
    """What asks the API with one token, on its business's host unless another is named."""

    def __init__(self, studio: Studio, *scopes: str, host: str = "", secret: str = "") -> None:
        self.studio = studio
        self.secret = secret or token_of(studio, *scopes)
        self.browser = Client(SERVER_NAME=host or studio.host, raise_request_exception=False)

    def ask(self, method: str, path: str, body: object = None, *, key: str = "", **headers: str) -> Any:
        """Ask, and return the response with its JSON as `said`."""
        given = {"Authorization": f"Bearer {self.secret}", **headers}
        if method == "POST" and key != "none":
            given["Idempotency-Key"] = key or uuid.uuid4().hex
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body, default=str)
        response: Any = self.browser.generic(
            method, path if path.startswith("/") else f"/api/v1/{path}", data, content_type="application/json",
            headers=given,
        )  # fmt: skip
        response.said = json.loads(response.content) if response.content else None
        return response

    def get(self, path: str) -> Any:
        return self.ask("GET", path)

    def post(self, path: str, body: object = None, *, key: str = "") -> Any:
        return self.ask("POST", path, body, key=key)

    @property
    def token(self) -> ApiToken:
        return ApiToken.objects.get(secret_hash=api_tokens.hash_of(self.secret))


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[World]:
    """Two businesses, made once for a module and undone after it."""
    with django_db_blocker.unblock(), undone():
        tenancy.forget_hosts()
        world = World()
        for studio in (
            world.mine,
            world.theirs,
        ):  # whom a test makes is undone with it: these are there before
            for groups in (("store", "refunds"), ("store",), ("refunds",)):
                studio.staff(*groups)
            studio.meet(studio.owner)
        yield world


@pytest.fixture
def program(world: World, db: None) -> Program:
    return Program(world.mine)
