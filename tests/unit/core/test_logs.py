"""Logs: what must never be written is not written, whatever it is wrapped in, and the rest stays."""

import io
import json
import logging
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from web.core import logs

SECRETS = [
    "sk_test_4eC39HqLyjWDarjtT1zdp7dc",
    "sk_live_51H8xJK2eZvKYlo2C",
    "rk_live_51H8xJK2eZvKYlo2C",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "pi_3MtwBwLkdIwHu7ix28a3tqPa_secret_YrKJUKribcBjcG8HVhfZluoGH",
    "seti_1Mm8s8LkdIwHu7ix0OXBfTRG_secret_NXDICkPqPeiBTAFqWmkbff09lRmSVXe",
    "4242424242424242",
    "4242 4242 4242 4242",
    "4242-4242-4242-4242",
    "378282246310005",
    "Bearer c2VjcmV0LXRva2Vu",
]
HARMLESS = [
    "pi_3MtwBwLkdIwHu7ix28a3tqPa",
    "re_3MtwBwLkdIwHu7ix28a3tqPa",
    "acct_1032D82eZvKYlo2C",
    "4242424242424241",  # Luhn's sum is wrong: a number, but of no card
    "2026-11-22T22:40:00.123456Z",
    "36060000-0000-4004-8abc-0123456789ab",  # a job's id that begins like a card, and one that ends like one
    "0a1b2c3d-4e5f-4a6b-8242-424242424201",
    "card ending in 4242",
    "task_id 42",
    "Paid 252.00 usd",
]


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What a production process would write, with the session's own set-up put back afterwards."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    logs.configure({"json": True, "level": "INFO"})
    stream = io.StringIO()
    for handler in root.handlers:
        assert isinstance(handler, logging.StreamHandler)
        handler.setStream(stream)
    yield stream
    logs.configure({"json": False, "level": "INFO"})
    root.handlers, root.level = before, level


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_replaced_wherever_it_stands(secret: str) -> None:
    assert logs.redact_text(secret) == "[redacted]"
    assert logs.redact_text(f"before {secret}, after") == "before [redacted], after"
    assert logs.redact({"a": [{"b": (secret,)}]}) == {"a": [{"b": ["[redacted]"]}]}


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays_as_it_is(text: str) -> None:
    assert logs.redact_text(text) == text


@pytest.mark.parametrize(
    "name",
    [
        "client_secret",
        "Authorization",
        "HTTP_COOKIE",
        "password1",
        "card",
        "card_number",
        "stripe_api_key",
        "csrfmiddlewaretoken",
        "Stripe-Signature",
        "cvc",
    ],
)
def test_a_field_with_a_secret_name_says_nothing(name: str) -> None:
    assert logs.redact_event(None, "info", {"event": "x", name: "harmless"}) == {
        "event": "x",
        name: "[redacted]",
    }


@pytest.mark.parametrize("name", ["idempotency_key", "card_brand", "card_last4", "key_version", "dedup_key"])
def test_names_that_on_call_needs_are_kept(name: str) -> None:
    assert logs.redact_event(None, "info", {name: "visa"}) == {name: "visa"}


def test_passwords_in_addresses_of_servers_are_replaced() -> None:
    assert (
        logs.redact_text("could not reach postgres://paydesk:hunter2@db:5432/paydesk")
        == "could not reach postgres://[redacted]@db:5432/paydesk"
    )


@given(st.text(), st.sampled_from(SECRETS[:6]), st.text())
def test_no_text_around_a_secret_hides_it(before: str, secret: str, after: str) -> None:
    assert secret not in logs.redact_text(f"{before} {secret} {after}")


def with_check_digit(digits: str) -> str:
    return next(f"{digits}{check}" for check in range(10) if logs.passes_luhn(f"{digits}{check}"))


@given(st.from_regex(r"[1-9][0-9]{11,17}", fullmatch=True), st.sampled_from(["", " ", "-"]))
def test_every_card_number_is_found(digits: str, gap: str) -> None:
    number = with_check_digit(digits)
    grouped = gap.join(number[at : at + 4] for at in range(0, len(number), 4))
    assert logs.redact_text(f"number {grouped}.") == "number [redacted]."
    assert logs.redact(int(number)) == "[redacted]"


@given(st.integers(min_value=-(10**11), max_value=10**11))
def test_amounts_and_ids_are_kept(number: int) -> None:
    assert logs.redact(number) == number


nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(nested)
def test_any_shape_can_be_redacted_and_written(value: Any) -> None:
    json.dumps(logs.redact(value))


def test_what_a_library_logs_is_redacted_too(written: io.StringIO) -> None:
    logging.getLogger("some.library").warning("calling with %s", "sk_test_4eC39HqLyjWDarjtT1zdp7dc")
    (line,) = lines(written)
    assert line["event"] == "calling with [redacted]"
    assert line["level"] == "warning"
    assert line["logger"] == "some.library"


def test_the_text_of_an_exception_is_redacted(written: io.StringIO) -> None:
    try:
        raise ValueError("bad key sk_live_51H8xJK2eZvKYlo2C")
    except ValueError:
        logging.getLogger("some.library").exception("it failed")
        structlog.get_logger("ours").exception("gateway.failed")
    foreign, ours = lines(written)
    for line in (foreign, ours):
        assert "ValueError: bad key [redacted]" in line["exception"]
    assert "51H8xJK2eZvKYlo2C" not in written.getvalue()


def test_our_records_carry_their_fields_and_the_context(written: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(request_id="abc-123-def"):
        structlog.get_logger("web.payments").info("intent.created", payment=7, client_secret="x")
    (line,) = lines(written)
    assert line["event"] == "intent.created"
    assert line["request_id"] == "abc-123-def"
    assert line["payment"] == 7
    assert line["client_secret"] == "[redacted]"
    assert line["timestamp"].endswith("Z")


def test_extra_fields_of_the_standard_library_are_written_and_redacted(written: io.StringIO) -> None:
    logging.getLogger("x").error("failed", extra={"password": "hunter2", "order": 4, "request": object()})
    (line,) = lines(written)
    assert line["password"] == "[redacted]"
    assert line["order"] == 4
    assert "request" not in line


def test_the_level_is_respected(written: io.StringIO) -> None:
    structlog.get_logger("quiet").debug("not.written")
    logging.getLogger("quiet").debug("not written")
    assert written.getvalue() == ""


@pytest.mark.parametrize("given_id", ["abcd1234", "0d9f-4c1e.a_b", "a" * 64])
def test_a_sane_request_id_is_taken_over(given_id: str) -> None:
    assert logs.request_id_of(given_id) == given_id


@pytest.mark.parametrize(
    "given_id", [None, "", "short", "a" * 65, "with space1", "line\nbreak", "<script>alert"]
)
def test_any_other_request_id_is_replaced(given_id: str | None) -> None:
    made = logs.request_id_of(given_id)
    assert made != given_id
    assert len(made) == 32


@pytest.mark.parametrize(
    "around",
    [
        "customer-2026-1122-{}",
        "20261122-0412-0001-{}",
        "0a1b2c3d-4e5f-4a6b-8242-424242424201 {}",
        "2026-11-22 {}",
        "{} 2026-11-22",
        "{} 17 {}",
        "no. 1 {}",
    ],
)
@pytest.mark.parametrize("card", ["4242424242424242", "4242 4242 4242 4242", "378282246310005"])
def test_a_card_is_found_beside_other_digits(around: str, card: str) -> None:
    assert card not in logs.redact_text(around.replace("{}", card))


@given(st.uuids(), st.sampled_from(["job %s", '{"task_id": "%s"}', "%s", "paydesk:%s:done"]))
def test_no_uuid_is_a_card(number: uuid.UUID, place: str) -> None:
    only_digits = uuid.UUID(str(number).translate(str.maketrans("abcdef", "012345")))
    for one in (number, only_digits):
        assert logs.redact_text(place % one) == place % one


@given(st.from_regex(logs.SECRET_VALUES))
def test_what_looks_for_secrets_cheaply_overlooks_none(text: str) -> None:
    assert logs.SECRET_VALUES.search(text)
    assert logs.REDACTED in logs.redact_text(text)
