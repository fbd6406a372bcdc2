"""The catalogue and its handlers fit together, or start-up fails."""

from __future__ import annotations

import inspect

import pytest

from tasks import handlers
from web.payments import jobs


def test_every_job_has_a_handler_that_takes_its_arguments() -> None:
    handlers.check()
    for kind in jobs.CATALOGUE.values():
        parameters = inspect.signature(handlers.HANDLERS[kind.name]).parameters
        assert set(parameters) == {*kind.arguments, "lease"}
        assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters.values())


def test_a_gap_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(handlers.HANDLERS, jobs.SEND_RECEIPT.name)
    with pytest.raises(handlers.CatalogueGap, match="send_receipt"):
        handlers.check()
