"""The settings' page of card readers: what it shows of each, and what it asks a worker for."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from tests.factories import LocationFactory, StaffFactory
from tests.shop import Shop, waiting
from web.core.models import Business, Profile
from web.payments.models import Job, Reader

SignIn = Callable[[Profile], Client]
ADDRESS = {"line1": "41 Mercer Street", "city": "New York", "region": "NY", "postal_code": "10013"}


@pytest.fixture
def shop(business: Business) -> Shop:
    return Shop.make(business=business)


@pytest.fixture
def owner(business: Business, shop: Shop, sign_in: SignIn) -> Client:
    return sign_in(StaffFactory.create(business=business, groups=["settings"]))


@pytest.fixture
def reader(shop: Shop) -> Reader:
    return reader_of(shop)


def reader_of(shop: Shop) -> Reader:
    return Reader.objects.create(
        business=shop.business,
        account=shop.account,
        location=shop.location,
        state=Reader.State.READY,
        label="Front desk",
        stripe_reader_id=f"tmr_{uuid.uuid4().hex}",
        is_online=True,
        created_at=timezone.now(),
    )


def page(response: Any, status: int = 200) -> str:
    assert response.status_code == status, response.content[:500]
    return re.sub(r"\s+", " ", response.content.decode())


def test_registering_asks_a_worker_and_the_page_follows(owner: Client, shop: Shop) -> None:
    assert "No card reader yet" in page(owner.get("/settings/readers/"))
    body = {"location": shop.location.id, "label": "Front desk", "code": "simulated-wpe"}
    html = page(owner.post("/settings/readers/register/", body), 422)
    assert "Stripe wants the address" in html
    assert 'value="simulated-wpe"' in html, "what was typed is kept"
    assert owner.post("/settings/readers/register/", body | ADDRESS).status_code == 302
    assert waiting("register_reader") == 1
    html = page(owner.get("/settings/readers/"))
    assert "Being registered" in html
    assert "<progress" in html
    assert "data-follow" in html


def test_nothing_new_costs_no_body(owner: Client, reader: Reader) -> None:
    first = owner.get("/settings/readers/state/")
    assert "Online" in page(first)
    again = owner.get("/settings/readers/state/", headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    Reader.objects.update(is_online=False)
    assert "Offline" in page(owner.get("/settings/readers/state/", headers={"If-None-Match": first["ETag"]}))


def test_rename_move_refresh_and_remove(owner: Client, shop: Shop, reader: Reader) -> None:
    elsewhere = LocationFactory.create(business=shop.business, name="Upstairs")
    address = f"/settings/readers/{reader.public_id}/"
    owner.post(address, {"label": "Back desk", "location": elsewhere.id})
    reader.refresh_from_db()
    assert (reader.label, reader.location) == ("Back desk", elsewhere)
    assert waiting("update_reader") == 1
    owner.post(f"{address}refresh/")
    assert waiting("read_reader") == 1
    assert "Asking Stripe" in page(owner.get("/settings/readers/"))
    page(owner.post(address, {"label": " ", "location": elsewhere.id}), 422)
    owner.post(f"{address}remove/")
    assert waiting("remove_reader") == 1
    assert "Back desk" not in page(owner.get("/settings/readers/"), 200).split("</form>")[-1]


def test_a_refused_reader_says_why_and_takes_another_code(owner: Client, reader: Reader) -> None:
    Reader.objects.update(state="refused", stripe_reader_id=None, problem="The code has expired.")
    html = page(owner.get("/settings/readers/"))
    assert "The code has expired." in html
    owner.post(f"/settings/readers/{reader.public_id}/again/", {"code": "quick-brown-fox"})
    reader.refresh_from_db()
    assert reader.state == "registering"


def test_another_businesss_reader_and_place_do_not_exist(
    owner: Client, other_business: Business, reader: Reader
) -> None:
    theirs = Shop.make(business=other_business)
    stranger = reader_of(theirs)
    assert "Front desk" in page(owner.get("/settings/readers/"))
    address = f"/settings/readers/{stranger.public_id}/"
    page(owner.post(address, {"label": "Mine", "location": reader.location_id}), 404)
    page(owner.post(f"{address}remove/"), 404)
    page(owner.post(f"{address}refresh/"), 404)
    body = {"location": theirs.location.id, "label": "x", "code": "simulated-wpe"} | ADDRESS
    page(owner.post("/settings/readers/register/", body), 404)
    assert not Job.objects.exists()


def test_it_is_closed_to_who_may_only_sell(business: Business, shop: Shop, sign_in: SignIn) -> None:
    desk = sign_in(StaffFactory.create(business=business, groups=["store"]))
    assert desk.get("/settings/readers/").status_code == 403
    assert desk.post("/settings/readers/register/", {}).status_code == 403
