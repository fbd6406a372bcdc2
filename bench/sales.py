"""P3, P4 and P5: the click, the client secret, and whole sales.

P3 compares with a view that does one INSERT; the click does a dozen statements (it locks the cart, freezes it,
writes payment, history and job), so the ratio is of a whole request to the least there can be. P5 counts every
process of the product and both servers; the sandbox (Stripe) and the load (customers) are not counted, nor is the
rendering and mailing of receipts: the row ends where the receipt is queued.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from bench import house, load, size
from bench.house import House
from bench.load import Connection
from bench.shopping import Shopper
from bench.table import Row

RUNS = size.RUNS
CLICKS = size.of(64)
# Well below what two cores can carry together with the sandbox and the load: what is measured is a click, not a queue.
CLICKS_PER_SECOND = 8
STRIPE_MS = 120
SALES = size.of(80)
SALES_PER_SECOND = 50.0
PEOPLE = 40
# Several accounts, and limits that several real ones have together: Stripe's own are 100 a second for each.
ENV = {"STRIPE_TEST_CALLS_PER_SECOND": "100", "STRIPE_CALLS_PER_SECOND_AND_ENDPOINT": "25"}


def measure(h: House) -> list[Row]:
    """Measure the three rows on a running stack with shops whose webhooks arrive."""
    with house.receipts_wait(h), house.limits_web(h) as (limit, _pid):
        sell(h, 40, first=0, per_second=20)  # everything is loaded and connected
        return [*_clicks(h, limit), *_secrets(h), *_whole(h)]


def _clicks(h: House, limit: str) -> list[Row]:
    rows = {
        ms: Row(f"P3{letter}", f"the click: p99 against a one-INSERT view's, Stripe at {ms} ms", "x", 2.0,
                is_at_least=False)
        for ms, letter in ((0, "a"), (2000, "b"))
    }  # fmt: skip
    told: dict[str, list[float]] = {}
    insert = load.request("GET", limit, "/")

    def see(connection: Connection, _number: int) -> None:
        _ask(connection, insert)

    viewed = partial(load.opened, see, limit, number=CLICKS, per_second=CLICKS_PER_SECOND, people=PEOPLE)
    viewed()  # its first requests connect and import, as those of our own pages have by now
    for run in range(RUNS):
        house.say(f"clicks: run {run + 1} of {RUNS}")
        pressed = {}
        for ms in rows:
            wanted = _carts(h, CLICKS, first=100_000 * (run + 1) + ms)
            h.latency(ms)
            press = partial(_press, h, wanted)
            pressed[ms] = load.opened(
                press, h.web, number=CLICKS, per_second=CLICKS_PER_SECOND, people=PEOPLE
            )
            h.latency(0)
            h.settle_down()
        view = viewed()
        for ms, row in rows.items():
            row.runs.append(pressed[ms].percentile(0.99) / view.percentile(0.99))
            told.setdefault(f"click_p99_ms_{ms}", []).append(pressed[ms].percentile(0.99) * 1000)
            told.setdefault(f"click_p50_ms_{ms}", []).append(pressed[ms].median * 1000)
        told.setdefault("view_p99_ms", []).append(view.percentile(0.99) * 1000)
        told.setdefault("view_p50_ms", []).append(view.median * 1000)
    for ms, row in rows.items():
        row.details = {
            name: _middle(values)
            for name, values in told.items()
            if name.endswith(f"_{ms}") or name.startswith("view")
        }
    return list(rows.values())


def _secrets(h: House) -> list[Row]:
    """From the click to the client secret, as a page follows it: its own pauses between looks included."""
    middle = Row("P4a", "click to client secret beyond Stripe's own time, p50", "ms", 60, is_at_least=False)
    worst = Row("P4b", "the same, p99", "ms", 250, is_at_least=False)
    h.latency(STRIPE_MS)
    for run in range(RUNS):
        house.say(f"client secrets: run {run + 1} of {RUNS}")
        wanted = _carts(h, SALES, first=1_000_000 * (run + 1))

        def work(connection: Connection, number: int, wanted: Any = wanted) -> None:
            shopper, form = wanted[number]
            shopper.connection = connection
            shopper.follow(shopper.press_pay(form), "client_secret")

        done = load.opened(work, h.web, number=SALES, per_second=SALES_PER_SECOND, people=4 * PEOPLE)
        middle.runs.append(done.median * 1000 - STRIPE_MS)
        worst.runs.append(done.percentile(0.99) * 1000 - STRIPE_MS)
    h.latency(0)
    h.settle_down()
    return [middle, worst]


def _whole(h: House) -> list[Row]:
    cost = Row(
        "P5a", "processor time of a whole sale, all processes and both servers", "ms", 20, is_at_least=False
    )
    calls = Row("P5b", "calls of Stripe a sale, beyond the customer's own", "calls", 1, is_at_least=False)
    h.latency(STRIPE_MS)
    by: dict[str, list[float]] = {}
    rates = []
    for run in range(RUNS):
        house.say(f"whole sales: run {run + 1} of {RUNS}")
        asked, spent, began = _calls(h), h.spent_by(), time.perf_counter()
        sell(h, SALES, first=2_000_000 * (run + 1), per_second=SALES_PER_SECOND)
        rates.append(SALES / (time.perf_counter() - began))
        h.settle_down()
        now = h.spent_by()
        for name in now:
            by.setdefault(name, []).append((now[name] - spent.get(name, 0.0)) * 1000 / SALES)
        cost.runs.append(sum(now[name] - spent.get(name, 0.0) for name in now) * 1000 / SALES)
        calls.runs.append((_calls(h) - asked - SALES) / SALES)
    h.latency(0)
    cost.details = {"sales_per_second": _middle(rates), **{name: _middle(each) for name, each in by.items()}}
    return [cost, calls]


def sell(h: House, number: int, *, first: int, per_second: float) -> None:
    """Sell: cart, buyer, checkout page, click, client secret, card, and the order that comes of the webhook."""
    (before,) = h.query("SELECT count(*) FROM payments_order")

    def work(connection: Connection, index: int) -> None:
        shopper = Shopper.arrives(h, h.shops[index % len(h.shops)], connection)
        wanted = shopper.look_at_cart(shopper.fill_cart(first + index))
        shopper.give_card(shopper.follow(shopper.press_pay(wanted), "client_secret"))

    load.opened(work, h.web, number=number, per_second=per_second, people=2 * PEOPLE)
    h.wait("SELECT count(*) FROM payments_order", lambda row: row[0] >= before + number)


def _carts(h: House, number: int, *, first: int) -> list[tuple[Shopper, dict[str, Any]]]:
    """Fill carts and open their checkout pages: people who are about to press Pay."""
    each = number // len(h.shops)
    made = []
    calls = [{"business": shop["business"], "number": each, "first": first} for shop in h.shops]
    for shop, opened in zip(h.shops, h.inside_all("open_carts", calls), strict=True):
        connection = Connection(h.web)
        for cart in opened:
            shopper = Shopper(h, shop, connection, {}, "")
            made.append((shopper, shopper.look_at_cart(cart["cart"])))
        connection.close()
    return made


def _press(
    h: House, about: list[tuple[Shopper, dict[str, Any]]], connection: Connection, number: int
) -> None:
    shopper, wanted = about[number]
    shopper.connection = connection
    shopper.press_pay(wanted)


def _ask(connection: Connection, bytes_: bytes) -> None:
    if connection.ask(bytes_).status != 200:
        raise load.BadAnswer("the one-INSERT view failed")


def _calls(h: House) -> int:
    """Count what Stripe was asked, by its own log."""
    log = h.stack.run_dir / "sandbox.log"
    return sum(1 for line in log.read_text(errors="replace").splitlines() if " /v1/" in line)


def _middle(values: list[float]) -> float:
    return round(sorted(values)[len(values) // 2], 1)
