"""Card readers at Stripe: show a payment, take it off, read, list; register, rename, remove."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import stripe

from tasks.gateway.stripe_api import (
    StripeUnreachable,
    client_of,
    data_of,
    raise_for_read,
    write,
)
from tasks.snapshots import UnknownShape, of_reader
from web.payments.models import StripeAccount
from web.payments.snapshots import Answer, ReaderSnapshot

PAGE = 100  # readers a listing shows at once: Stripe's most
MOST_PAGES = 20


def process(
    account: StripeAccount, *, reader_id: str, parameters: dict[str, Any], key: str
) -> Answer[ReaderSnapshot]:
    """Show a payment on a reader. Done means that Stripe says the reader has it."""
    readers = client_of(account).v1.terminal.readers
    return _write(
        account,
        lambda: readers.process_payment_intent(reader_id, cast(Any, parameters), {"idempotency_key": key}),
    )


def refund(
    account: StripeAccount, *, reader_id: str, parameters: dict[str, Any], key: str
) -> Answer[ReaderSnapshot]:
    """Ask for the card on a reader, to give it money back. Done means that Stripe says the reader has it."""
    readers = client_of(account).v1.terminal.readers
    return _write(
        account,
        lambda: readers.refund_payment(reader_id, cast(Any, parameters), {"idempotency_key": key}),
    )


def cancel_action(account: StripeAccount, *, reader_id: str, key: str) -> Answer[ReaderSnapshot]:
    """Take what the reader shows off it, whosever it is: read it first."""
    readers = client_of(account).v1.terminal.readers
    return _write(account, lambda: readers.cancel_action(reader_id, {}, {"idempotency_key": key}))


def register(account: StripeAccount, *, parameters: dict[str, Any], key: str) -> Answer[ReaderSnapshot]:
    """Register a reader by the code that it shows."""
    readers = client_of(account).v1.terminal.readers
    return _write(account, lambda: readers.create(cast(Any, parameters), {"idempotency_key": key}))


def rename(account: StripeAccount, *, reader_id: str, label: str) -> Answer[ReaderSnapshot]:
    """Give a reader another label. The same again changes nothing, so it needs no key of ours."""
    readers = client_of(account).v1.terminal.readers
    return _write(account, lambda: readers.update(reader_id, {"label": label}))


def delete(account: StripeAccount, *, reader_id: str) -> Answer[str]:
    """Remove a reader from the account."""
    readers = client_of(account).v1.terminal.readers
    return write(
        lambda: readers.delete(reader_id),
        shown=lambda data, at: _id_of(data),
        read_again=lambda deleted: deleted,
    )


def create_location(account: StripeAccount, *, parameters: dict[str, Any], key: str) -> Answer[str]:
    """Make a place for readers at Stripe; its id (`tml_…`)."""
    places = client_of(account).v1.terminal.locations
    return write(
        lambda: places.create(cast(Any, parameters), {"idempotency_key": key}),
        shown=lambda data, at: _id_of(data),
        read_again=lambda place: place,
    )


def create_connection_token(account: StripeAccount, *, parameters: dict[str, Any]) -> Answer[str]:
    """Get a secret with which a reader SDK may connect. A second one instead of a lost one does no harm."""
    tokens = client_of(account).v1.terminal.connection_tokens
    return write(
        lambda: tokens.create(cast(Any, parameters)),
        shown=lambda data, at: _text(data, "secret"),
        read_again=lambda secret: secret,
    )


def _write(account: StripeAccount, call: Callable[[], stripe.terminal.Reader]) -> Answer[ReaderSnapshot]:
    return write(
        call,
        shown=lambda data, at: of_reader(data),
        read_again=lambda snapshot: read_reader(account, reader_id=snapshot.reader_id),
    )


def read_reader(account: StripeAccount, *, reader_id: str) -> ReaderSnapshot:
    """Read a reader as it is now; raise StripeUnreachable or StripeRefused. A deleted one shows nothing any more."""
    try:
        data = data_of(client_of(account).v1.terminal.readers.retrieve(reader_id))
        snapshot = ReaderSnapshot(data["id"]) if data.get("deleted") else of_reader(data)
    except stripe.StripeError as error:
        raise_for_read(error)
    except (UnknownShape, KeyError) as error:
        raise StripeUnreachable("an answer that is not a reader") from error
    if snapshot.reader_id != reader_id:
        raise StripeUnreachable("an answer for another reader")
    return snapshot


def list_readers(account: StripeAccount, *, wanted: set[str]) -> dict[str, ReaderSnapshot]:
    """Return the readers that are wanted, by id, as they are now: a call for a hundred instead of one for each."""
    found: dict[str, ReaderSnapshot] = {}
    after: dict[str, Any] = {}
    try:
        for _number in range(MOST_PAGES):
            # As plain JSON: to make objects of a hundred readers takes the SDK longer than all the rest of a round.
            page = client_of(account).raw_request("get", "/v1/terminal/readers", limit=PAGE, **after).data
            for data in page["data"]:
                if data.get("id") in wanted:
                    found[data["id"]] = of_reader(data)
            if not page.get("has_more") or not page["data"] or wanted <= found.keys():
                break
            after = {"starting_after": page["data"][-1]["id"]}
    except stripe.StripeError as error:
        raise_for_read(error)
    except (UnknownShape, KeyError, TypeError) as error:
        raise StripeUnreachable("a listing that cannot be read") from error
    return found


def _id_of(data: dict[str, Any]) -> str:
    return _text(data, "id")


def _text(data: dict[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise UnknownShape(f"an answer without {name}")
    return value
