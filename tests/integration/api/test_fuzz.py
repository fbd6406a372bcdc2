"""schemathesis over the API's own document, against the real application and PostgreSQL.

What it generates is bounded here; `make fuzz` (PAYDESK_FUZZ=long) asks far more. Each request is undone. What is to be
found: a 500, a status or a body that the document does not name, and nonsense that is taken. What has the right shape
names a real object, or nothing would come further than to a 404.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from tests.integration.access.asking import undone
from tests.integration.access.world import World
from tests.integration.api.conftest import token_of
from tests.long import IS_LONG
from web.api import openapi
from web.api.urls import V1

pytestmark = pytest.mark.django_db
EXAMPLES = 500 if IS_LONG else 3  # of each operation and mode
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
NAMES = [name for _written, _address, name, _method, _route in openapi.operations(V1)]
SCHEMA = schemathesis.openapi.from_dict(openapi.document(V1))
SCHEMA.app = get_wsgi_application()


@pytest.fixture(autouse=True)
def _one_connection() -> Iterator[None]:
    """Keep the connection between requests, as Django's own test client does: the test's transaction is on it."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


def _things(world: World) -> dict[str, Any]:
    """Return what stands for the ids that no generator can guess."""
    mine = world.mine
    return {
        "cart": mine.cart().token, "payment": str(mine.payment().public_id), "order": mine.order().number,
        "refund": str(mine.refund().public_id), "terminal_payment": str(mine.action().public_id),
        "reader": str(mine.reader().public_id), "location": mine.place.id, "item": mine.item.id,
    }  # fmt: skip


def _real(given_: object, things: dict[str, Any]) -> None:
    """Put real ids into what was generated, wherever a field is called so."""
    if isinstance(given_, list):
        for one in given_:
            _real(one, things)
    if isinstance(given_, dict):
        for name, value in given_.items():
            if name in things:
                given_[name] = things[name]
            else:
                _real(value, things)


def _is_sent_as_made(query: dict[str, Any] | None, url: str) -> bool:
    """Say whether an address has every parameter that was made for it: an empty list, say, leaves none behind."""
    return set(query or {}) <= set(parse_qs(urlsplit(url).query, keep_blank_values=True))


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: str(mode.value))
@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_sent_is_answered_as_described(world: World, name: str, mode: GenerationMode) -> None:
    things = _things(world)
    headers = {"Authorization": f"Bearer {token_of(world.mine)}"}
    operation = SCHEMA.find_operation_by_id(name)
    is_right = mode == GenerationMode.POSITIVE

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=not IS_LONG,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case[Any]) -> None:
        if is_right:
            _real(case.path_parameters, things)
            _real(case.body, things)
            case.headers["Idempotency-Key"] = uuid.uuid4().hex
        with undone():
            response = case.call(base_url=f"http://{world.mine.host}", headers=headers)
            is_wrong = not is_right and _is_sent_as_made(case.query, str(response.request.url))
            case.validate_response(
                response, checks=[*CHECKS, negative_data_rejection] if is_wrong else CHECKS
            )

    ask()
