"""What leaves memory is still there: read from the file, found by its fields, changed, and kept across a restart."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.conftest import Account, Running, eventually

HOT = 5


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Running]:
    """A sandbox that keeps next to nothing in memory."""
    running = Running(str(tmp_path / "state.sqlite3"), "--hot-objects", str(HOT))
    yield running
    if running.process.poll() is None:
        running.stop()


def in_memory(sandbox: Running) -> int:
    """Return how many objects are kept in memory."""
    return int(sandbox.control("GET", "health")["in_memory"])


def test_old_objects_leave_memory_and_are_read_back(small: Running) -> None:
    account = Account(small, "studio")
    customer = account.v1.customers.create({"name": "A"}).id
    first = account.pay(amount=1100, customer=customer)
    later = [account.pay(amount=1200 + number).id for number in range(8)]
    eventually(lambda: account.types().count("charge.updated") == 9)
    account.v1.customers.create({})
    assert small.control("GET", "health")["objects"] > 60
    assert in_memory(small) <= HOT

    def holds() -> None:
        """Check everything that an account could be asked about its oldest payment."""
        here = Account(small, "studio")
        assert here.v1.payment_intents.retrieve(first.id).amount == 1100
        every = here.v1.payment_intents.list({"limit": 4}).auto_paging_iter()
        assert [intent.id for intent in every] == [*later[::-1], first.id]
        assert [intent.id for intent in here.v1.payment_intents.list({"customer": customer}).data] == [
            first.id
        ]
        charge = here.v1.charges.list(
            {"payment_intent": first.id, "expand": ["data.balance_transaction"]}
        ).data[0]
        assert charge.balance_transaction is not None
        assert len(here.v1.events.list({"type": "payment_intent.succeeded", "limit": 100}).data) == 9
        assert len(here.books()["payment_intents"]) == 9
        assert here.v1.balance.retrieve().pending[0].amount == pending
        assert in_memory(small) <= HOT

    pending = account.v1.balance.retrieve().pending[0].amount
    holds()
    small.stop()
    small.start()
    holds()
    account = Account(small, "studio")
    assert account.v1.refunds.create({"payment_intent": first.id, "amount": 100}).status == "succeeded"
    assert account.v1.charges.retrieve(str(first.latest_charge)).amount_refunded == 100
    changed = account.v1.payment_intents.update(first.id, {"metadata": {"a": "1"}})
    assert account.v1.payment_intents.retrieve(first.id).metadata == changed.metadata


def test_answers_of_keys_survive_a_restart(small: Running) -> None:
    account = Account(small, "studio")
    first = account.post("/v1/customers", {"name": "A"}, Idempotency_Key="k1")
    for number in range(20):
        account.post("/v1/customers", {"name": "B"}, Idempotency_Key=f"other{number}")
    small.stop()
    small.start()
    again = Account(small, "studio").post("/v1/customers", {"name": "A"}, Idempotency_Key="k1")
    assert (again.content, again.headers["Idempotent-Replayed"]) == (first.content, "true")
