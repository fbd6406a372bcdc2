"""Queries that are drawn up once find what the same query finds when it is drawn up each time."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.transaction import TransactionManagementError

from tests.factories import ItemFactory, LocationFactory
from web.core.compiled import compiled
from web.core.models import Item

pytestmark = pytest.mark.django_db


def _plain(code: str) -> QuerySet[Item]:
    items = Item.objects.filter(code=code).select_related("business", "location")
    return items.annotate(place=F("location__name")).order_by("id")


def _told(item: Item) -> dict[str, Any]:
    values = {field.attname: getattr(item, field.attname) for field in Item._meta.concrete_fields}
    return values | {"place": item.place, "business": item.business, "location": item.location}  # type: ignore[attr-defined]


def test_a_row_is_the_same_with_what_is_selected_beside_it(django_assert_num_queries: Any) -> None:
    query = compiled(_plain)
    place = LocationFactory.create(name="North")
    # The first draws the query up, the second asks the same for something else, with nothing beside it.
    for code, location in (("A1", place), ("B2", None)):
        item = ItemFactory.create(code=code, business=place.business, location=location)
        with django_assert_num_queries(1):
            (found,) = query.all(code=code)
            told = _told(found)
        assert told == _told(_plain(code).get())
        assert (found, told["place"]) == (item, "North" if location else None)
        assert not found._state.adding
    assert query.first(code="none of ours") is None


def test_parameters_must_be_those_of_the_query() -> None:
    query = compiled(_plain)
    for given in ({}, {"codes": "x"}, {"code": "x", "more": 1}, {"code": 5}, {"code": None}):
        with pytest.raises(TypeError, match="code"):
            query.all(**given)


@pytest.mark.django_db(transaction=True)
def test_a_query_that_locks_is_asked_within_a_transaction() -> None:
    query = compiled(lambda code: Item.objects.select_for_update(no_key=True).filter(code=code))
    item = ItemFactory.create(code="A1")
    for _ in range(2):  # when it is drawn up, and when it is known
        with pytest.raises(TransactionManagementError):
            query.first(code="A1")
        with transaction.atomic():
            assert query.first(code="A1") == item


def _by_id(number: int) -> QuerySet[Item]:
    return Item.objects.filter(id=number)


def test_a_number_that_no_column_holds_finds_nothing() -> None:
    item = ItemFactory.create()
    query = compiled(_by_id)
    for nothing in (2**63, -(2**63) - 1, 10**400):
        assert query.first(number=nothing) is None
    assert query.first(number=item.id) == item  # the transaction lives


def test_the_one_row_or_what_the_model_raises() -> None:
    item = ItemFactory.create()
    query = compiled(_by_id)
    with pytest.raises(Item.DoesNotExist):  # when it is drawn up, and when it is known
        query.get(number=item.id + 1)
    assert query.get(number=item.id) == item
    with pytest.raises(Item.DoesNotExist):
        query.get(number=2**63)
