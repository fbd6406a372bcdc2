"""The API's manners: keys, errors, idempotency, lists, expansion, accounts that cannot see each other."""

import base64
import threading
import time

import pytest
import stripe

from tests.contract.conftest import RETURN_URL, Account, Running

NEW = {"amount": "1500", "currency": "usd"}


def test_a_key_is_asked_for_and_checked(account: Account) -> None:
    with pytest.raises(stripe.AuthenticationError):
        account.sandbox.client("sk_live_something").v1.customers.list()
    answer = account.post("/v1/customers", key="nonsense")
    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "invalid_request_error")
    assert answer.headers["Request-Id"].startswith("req_")
    basic = base64.b64encode(f"{account.key}:".encode()).decode()
    assert account.post("/v1/customers", Authorization=f"Basic {basic}").status_code == 200


def test_a_key_ends_by_the_clock(own_sandbox: Running) -> None:
    account = Account(own_sandbox, "studio")
    told = own_sandbox.control("POST", "keys/expire", key=account.key, after=3600)
    assert told["expires_at"] > own_sandbox.control("GET", "clock")["now"] + 3500
    assert account.get("/v1/balance").status_code == 200
    own_sandbox.control("POST", "clock", advance=3601)
    error = account.get("/v1/balance").json()["error"]
    assert (account.get("/v1/balance").status_code, error["code"]) == (401, "api_key_expired")
    assert account.get("/v1/balance", key="sk_test_studio_two").status_code == 200
    own_sandbox.stop()
    own_sandbox.start()
    again = Account(own_sandbox, "studio")
    assert again.get("/v1/balance").status_code == 401
    own_sandbox.control("POST", "keys/expire", key=account.key)
    assert again.get("/v1/balance").status_code == 200


def test_a_revoked_key_expires_and_its_sister_works(account: Account) -> None:
    account.sandbox.control("POST", "keys/revoke", key=account.key)
    with pytest.raises(stripe.AuthenticationError) as caught:
        account.v1.accounts.retrieve_current()
    assert caught.value.error is not None
    assert caught.value.error.code == "api_key_expired"
    sister = account.sandbox.client(f"sk_test_{account.slug}_two")
    assert sister.v1.accounts.retrieve_current().id == f"acct_{account.slug}"
    account.sandbox.control("POST", "keys/revoke", account=account.slug)
    with pytest.raises(stripe.AuthenticationError):
        sister.v1.accounts.retrieve_current()
    account.sandbox.control("POST", "keys/restore", account=account.slug)
    assert sister.v1.accounts.retrieve_current().charges_enabled


def test_accounts_do_not_see_each_other(account: Account) -> None:
    intent = account.v1.payment_intents.create({"amount": 500, "currency": "usd"})
    other = Account(account.sandbox, f"{account.slug}other")
    with pytest.raises(stripe.InvalidRequestError) as caught:
        other.v1.payment_intents.retrieve(intent.id)
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")
    assert list(other.v1.payment_intents.list().auto_paging_iter()) == []
    with pytest.raises(stripe.PermissionError):
        other.v1.accounts.retrieve(f"acct_{account.slug}")


def test_a_page_may_do_only_what_a_page_does(account: Account) -> None:
    intent = account.v1.payment_intents.create(
        {"amount": 500, "currency": "usd", "metadata": {"secret": "1"}}
    )
    url, page = f"/v1/payment_intents/{intent.id}", account.public_key
    assert account.get(url, key=page).status_code == 400
    assert account.get(url, {"client_secret": "wrong"}, key=page).status_code == 404
    shown = account.get(url, {"client_secret": intent.client_secret}, key=page).json()
    assert shown["status"] == "requires_payment_method"
    assert not {"metadata", "customer", "latest_charge"} & set(shown)
    assert account.get("/v1/charges", key=page).json()["error"]["code"] == "secret_key_required"
    card = {"type": "card", "card[number]": "4242 4242 4242 4242", "card[exp_month]": 12, "card[exp_year]": 2040,
            "card[cvc]": "123"}  # fmt: skip
    assert account.post("/v1/payment_methods", card).status_code == 402
    method = account.post("/v1/payment_methods", card, key=page).json()
    assert method["card"]["last4"] == "4242"
    done = account.post(
        f"{url}/confirm", {"client_secret": intent.client_secret, "payment_method": method["id"]}, key=page
    ).json()
    assert done["status"] == "succeeded"


@pytest.mark.parametrize(
    ("change", "code"),
    [({"card[number]": "4242424242424241"}, "incorrect_number"), ({"card[exp_year]": "2020"}, "invalid_expiry_year"),
     ({"card[exp_month]": "13"}, "invalid_expiry_month"), ({"card[cvc]": "1"}, "invalid_cvc"),
     ({"card[number]": "4111111111111111"}, "card_declined")],
)  # fmt: skip
def test_a_mistyped_card_is_a_card_error(account: Account, change: dict[str, str], code: str) -> None:
    card = {"type": "card", "card[number]": "4242424242424242", "card[exp_month]": "12", "card[exp_year]": "40",
            "card[cvc]": "123", **change}  # fmt: skip
    answer = account.post("/v1/payment_methods", card, key=account.public_key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (402, code)


def test_an_unknown_url_and_object(account: Account) -> None:
    answer = account.get("/v1/nothing")
    assert answer.status_code == 404
    assert answer.json()["error"]["message"].startswith("Unrecognized request URL (GET: /v1/nothing).")
    with pytest.raises(stripe.InvalidRequestError, match="No such paymentintent: 'pi_none'"):
        account.v1.payment_intents.retrieve("pi_none")


def test_a_repeated_key_replays_the_first_answer(account: Account) -> None:
    first = account.post("/v1/payment_intents", NEW, Idempotency_Key="k1")
    second = account.post("/v1/payment_intents", NEW, Idempotency_Key="k1")
    assert first.content == second.content
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.headers["Original-Request"] == first.headers["Request-Id"] != second.headers["Request-Id"]
    assert len(account.books()["payment_intents"]) == 1
    assert account.types() == ["payment_intent.created"]


def test_a_key_belongs_to_its_parameters_and_path(account: Account) -> None:
    account.post("/v1/payment_intents", NEW, Idempotency_Key="k1")
    other = account.post("/v1/payment_intents", {**NEW, "amount": "1501"}, Idempotency_Key="k1")
    assert (other.status_code, other.json()["error"]["type"]) == (400, "idempotency_error")
    elsewhere = account.post("/v1/customers", {}, Idempotency_Key="k1")
    assert (elsewhere.status_code, elsewhere.json()["error"]["type"]) == (400, "idempotency_error")
    assert len(account.books()["payment_intents"]) == 1
    neighbour = Account(account.sandbox, f"{account.slug}n")
    assert neighbour.post("/v1/customers", {}, Idempotency_Key="k1").status_code == 200


def test_what_was_not_executed_is_not_saved_and_a_decline_is(account: Account) -> None:
    assert account.post("/v1/payment_intents", {"currency": "usd"}, Idempotency_Key="k1").status_code == 400
    assert account.post("/v1/payment_intents", NEW, Idempotency_Key="k1").status_code == 200
    account.fault("rate_limit_429")
    assert account.post("/v1/customers", Idempotency_Key="k2").status_code == 429
    assert account.post("/v1/customers", Idempotency_Key="k2").headers.get("Idempotent-Replayed") is None
    bad = {**NEW, "confirm": "true", "payment_method": "pm_card_chargeDeclined", "return_url": RETURN_URL}
    first = account.post("/v1/payment_intents", bad, Idempotency_Key="k3")
    second = account.post("/v1/payment_intents", bad, Idempotency_Key="k3")
    assert (first.status_code, second.headers["Idempotent-Replayed"]) == (402, "true")
    assert first.content == second.content
    assert len(account.books()["charges"]) == 1


def test_a_key_in_use_conflicts(account: Account) -> None:
    account.fault("latency", ms=700)
    results: list[int] = []

    def slow() -> None:
        results.append(account.post("/v1/payment_intents", NEW, Idempotency_Key="k1").status_code)

    first = threading.Thread(target=slow)
    first.start()
    deadline = time.monotonic() + 5
    while not account.sandbox.control("GET", "faults")["data"][-1]["struck"]:
        assert time.monotonic() < deadline
    answer = account.post("/v1/payment_intents", NEW, Idempotency_Key="k1")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "idempotency_key_in_use")
    first.join()
    assert results == [200]
    again = account.post("/v1/payment_intents", NEW, Idempotency_Key="k1")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(account.books()["payment_intents"]) == 1


def test_a_key_is_forgotten_after_a_day(own_sandbox: Running) -> None:
    account = Account(own_sandbox, "studio")
    first = account.post("/v1/payment_intents", NEW, Idempotency_Key="k1").json()["id"]
    own_sandbox.control("POST", "clock", advance=24 * 3600 - 60)
    assert account.post("/v1/payment_intents", NEW, Idempotency_Key="k1").json()["id"] == first
    own_sandbox.control("POST", "clock", advance=61)
    again = account.post("/v1/payment_intents", NEW, Idempotency_Key="k1")
    assert "Idempotent-Replayed" not in again.headers
    assert again.json()["id"] != first
    assert again.json()["created"] >= int(time.time()) + 24 * 3600 - 5


def test_lists_page_in_both_directions(account: Account) -> None:
    ids = [account.v1.customers.create({"name": str(number)}).id for number in range(7)]
    newest = ids[::-1]
    page = account.v1.customers.list({"limit": 3})
    assert ([customer.id for customer in page.data], page.has_more) == (newest[:3], True)
    after = account.v1.customers.list({"limit": 3, "starting_after": newest[2]})
    assert [customer.id for customer in after.data] == newest[3:6]
    before = account.v1.customers.list({"limit": 2, "ending_before": newest[4]})
    assert ([customer.id for customer in before.data], before.has_more) == (newest[2:4], True)
    assert [c.id for c in account.v1.customers.list({"limit": 2}).auto_paging_iter()] == newest
    account.v1.customers.delete(newest[1])
    assert [c.id for c in account.v1.customers.list().auto_paging_iter()] == [newest[0], *newest[2:]]
    rest = account.v1.customers.list({"starting_after": newest[1]})
    assert [customer.id for customer in rest.data] == newest[2:]
    with pytest.raises(stripe.InvalidRequestError):
        account.v1.customers.list({"limit": 101})
    with pytest.raises(stripe.InvalidRequestError):
        account.v1.customers.list({"starting_after": "cus_none"})


def test_expansion_reaches_into_lists_and_refuses_nonsense(account: Account) -> None:
    paid = account.pay()
    listed = account.v1.payment_intents.list(
        {"expand": ["data.latest_charge.payment_intent", "data.payment_method"]}
    )
    charge = listed.data[0].latest_charge
    assert isinstance(charge, stripe.Charge)
    assert isinstance(charge.payment_intent, stripe.PaymentIntent)
    assert isinstance(listed.data[0].payment_method, stripe.PaymentMethod)
    with pytest.raises(stripe.InvalidRequestError, match=r"cannot be expanded \(colour\)"):
        account.v1.payment_intents.retrieve(paid.id, {"expand": ["colour"]})
    with pytest.raises(stripe.InvalidRequestError, match="more than 4 levels"):
        account.v1.payment_intents.retrieve(paid.id, {"expand": ["a.b.c.d.e"]})
    with pytest.raises(stripe.InvalidRequestError):
        account.v1.customers.create({"expand": ["colour"]})
    assert account.v1.customers.list().data == []


def test_a_deleted_customer_is_a_tombstone(account: Account) -> None:
    customer = account.v1.customers.create({})
    account.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    assert account.v1.customers.delete(customer.id).deleted is True
    assert account.v1.customers.retrieve(customer.id).deleted is True
    assert account.types()[-2:] == ["payment_method.detached", "customer.deleted"]
    with pytest.raises(stripe.InvalidRequestError):
        account.v1.payment_intents.create({"amount": 500, "currency": "usd", "customer": customer.id})


def test_events_are_found_by_type_and_time(account: Account) -> None:
    account.pay()
    found = account.v1.events.list({"types": ["payment_intent.succeeded", "charge.succeeded"]}).data
    assert [event.type for event in found] == ["payment_intent.succeeded", "charge.succeeded"]
    assert found[0].api_version == "2026-10-28.endive"
    assert found[0].request is not None
    assert found[0].request.idempotency_key is not None
    assert account.v1.events.list({"created": {"gt": found[0].created + 60}}).data == []
    assert account.v1.events.retrieve(found[0].id).type == "payment_intent.succeeded"


def test_nothing_secret_is_logged(own_sandbox: Running) -> None:
    account = Account(own_sandbox, "studio")
    intent = account.v1.payment_intents.create({"amount": 500, "currency": "usd"})
    account.get(
        f"/v1/payment_intents/{intent.id}", {"client_secret": intent.client_secret}, key=account.public_key
    )
    account.post(
        "/v1/payment_methods", {"type": "card", "card[number]": "4242424242424242"}, key=account.public_key
    )
    account.post("/v1/customers", key="sk_test_UPPER_secretpart")
    own_sandbox.stop()
    log = "".join(own_sandbox.log)
    assert len(own_sandbox.log) == 4
    assert log.startswith("POST /v1/payment_intents 200 ")
    for secret in ("_secret_", "4242", "sk_test", "pk_test", "secretpart"):
        assert secret not in log


@pytest.mark.parametrize(
    "data",
    [
        {"automatic_payment_methods": ""}, {"payment_method_data": ""}, {"payment_method_options[card]": "x"},
        {"shipping": "x"}, {"metadata": "x"}, {"expand": "x"}, {"metadata[a][b]": "x"},
        {"allowed_payment_method_types": "x"},
        {"payment_method_data[type]": "card", "payment_method_data[card]": ""}, {"amount[]": "5"},
    ],
)  # fmt: skip
def test_an_odd_shape_is_refused_not_a_crash(account: Account, data: dict[str, str]) -> None:
    answer = account.post("/v1/payment_intents", {**NEW, **data})
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
