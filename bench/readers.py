"""P6: hundreds of card readers at once. How long after Stripe knows an outcome does the ledger, and how much is asked?

The sales are put on their readers by the product's operations and not by tills over HTTP: on two cores five hundred
tills that look once a second would be most of what is measured. What a till shows is the ledger's state, at its next
look. Somebody stands at every reader and taps once all are in use; the account's limits are Stripe's usual ones.
"""

from __future__ import annotations

import psycopg

from bench import house, size
from bench.house import House
from bench.table import Row
from stack.reader import tap_all_by_themselves
from stack.readers import calls_since, forget_webhooks

READERS = size.of(500)
PUT_PER_SECOND = 25  # Stripe's limit for one endpoint: what the last reader waits for before the first tap
TAP_AFTER_MS = int((READERS / PUT_PER_SECOND + 5) * 1000)
P95 = "percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM action.state_changed_at - {since}))"
IN_FLIGHT = (
    "SELECT count(*) FROM payments_readeraction WHERE state NOT IN ('succeeded', 'failed', 'cancelled')"
)


def measure(h: House) -> list[Row]:
    """Sell once on every reader with webhooks, and once with none."""
    told = Row(
        "P6a", f"{READERS} readers: from a webhook's arrival to its outcome, p95", "s", 1, is_at_least=False
    )
    looked = Row("P6b", f"{READERS} readers, no webhooks: from the tap to its outcome, p95", "s", 3,
                 is_at_least=False)  # fmt: skip
    gets = Row("P6c", "the same: GETs at Stripe a sale", "GETs", 20, is_at_least=False)
    shop = h.shops[0]
    house.say(f"readers: registering {READERS}")
    h.inside("register_readers", business=shop["business"], number=READERS)
    h.wait("SELECT count(*) FROM payments_reader WHERE state = 'ready'", lambda row: row[0] == READERS)
    tap_all_by_themselves(sandbox=h.sandbox, account=shop["stripe"], after_ms=TAP_AFTER_MS)
    with house.receipts_wait(h):
        asked, most = _sell(h, shop, "with webhooks")
        told.runs.append(
            _p95(h, "event.received_at", "JOIN payments_inboxevent AS event ON event.object_id = payment.intent_id"
                 " AND event.event_type = 'payment_intent.succeeded'")
        )  # fmt: skip
        told.details = {"gets_a_sale": round(asked / READERS, 1), "most_in_flight": most}
        forget_webhooks(h.sandbox, f"sk_test_{shop['stripe']}_k")
        asked, most = _sell(h, shop, "without webhooks")
    # The tap follows the reader's screen by so long; our clock of the screen is the moment before we asked for it.
    looked.runs.append(_p95(h, f"(action.sent_at + interval '{TAP_AFTER_MS} milliseconds')"))
    looked.details = {"most_in_flight": most}
    gets.runs.append(asked / READERS)
    return [told, looked, gets]


def _sell(h: House, shop: dict[str, object], how: str) -> tuple[int, int]:
    """Sell once on each reader; return how many GETs Stripe was asked, and how many sales were in flight at most."""
    house.say(f"readers: selling on {READERS}, {how}")
    log = h.stack.run_dir / "sandbox.log"
    before = log.stat().st_size
    h.inside("sell_on_readers", business=shop["business"])
    most = 0

    def over(row: tuple[int]) -> bool:
        nonlocal most
        most = max(most, row[0])
        return row[0] == 0

    h.wait(IN_FLIGHT, over)
    gets = [line for line in calls_since(log, before) if line.startswith("GET ")]
    return len(gets), most


def _p95(h: House, since: str, join: str = "") -> float:
    """Return the 95th percentile, in seconds, of the newest sale of each reader."""
    with psycopg.connect(h.database) as connection:
        found = connection.execute(
            f"SELECT {P95.format(since=since)} FROM payments_readeraction AS action"
            f" JOIN payments_payment AS payment ON payment.id = action.payment_id {join}"
            " WHERE action.state = 'succeeded' AND action.id IN"
            " (SELECT max(id) FROM payments_readeraction GROUP BY reader_id)".encode()
        ).fetchone()
    assert found is not None
    return float(found[0])
