"""P7: what a sale and a page of purchases cost as a business grows, and with a backlog of jobs."""

from __future__ import annotations

import re
import time
from typing import Any

from bench import house, sales, size
from bench.house import House
from bench.inside_words import PASSWORD
from bench.load import BadAnswer, Connection
from bench.shopping import Shopper
from bench.table import Row

SMALL, LARGE = size.of(10_000), size.of(1_000_000)
WAITING = size.of(100_000)
SALES = size.of(80)
SALES_PER_SECOND = 8.0  # far from full: what is compared is the cost of each
LOOKS = size.of(24)
SEARCHES = ("novak", "34.56", "guest7%40example.com")
_FOUND = re.compile(r"/purchases/[0-9A-Z]{4}-[0-9A-Z]{4}/")


def measure(h: House, *, large: int = LARGE) -> list[Row]:
    """Measure with few orders, with many, and with a backlog."""
    shop = h.shops[0]
    cost = Row("P7a", f"cost of a sale with {large:,} orders, against {SMALL:,}", "x", 1.2, is_at_least=False)
    backlog = Row(
        "P7b", f"cost of a sale with {WAITING:,} jobs waiting, against none", "x", 1.2, is_at_least=False
    )
    page = Row("P7c", "/purchases/ first page, p95, the same comparison", "x", 2, is_at_least=False)
    search = Row("P7d", "/purchases/ search, p95, the same comparison", "x", 2, is_at_least=False)
    with house.receipts_wait(h):
        sales.sell(h, 40, first=0, per_second=10)
        _grow(h, shop, SMALL)
        small = _sale(h, 1_000_000)
        small_pages = _pages(h, shop)
        took = _grow(h, shop, large - SMALL)
        big = _sale(h, 2_000_000)
        big_pages = _pages(h, shop)
        h.inside("wait_jobs", business=shop["business"], number=WAITING, seconds_ahead=86_400)
        waiting = _sale(h, 3_000_000)
    cost.runs.append(sum(big.values()) / sum(small.values()))
    backlog.runs.append(sum(waiting.values()) / sum(big.values()))
    page.runs.append(big_pages[0] / small_pages[0])
    search.runs.append(big_pages[1] / small_pages[1])
    parts: dict[str, object] = {
        f"{part}_{when}_ms": round(spent, 1)
        for when, of in (("small", small), ("large", big), ("waiting", waiting))
        for part, spent in (("all", sum(of.values())), ("postgres", of["postgres"]))
    }
    cost.details = {**parts, "orders_written_in_seconds": round(took)}
    page.details = {"small_p95_ms": round(small_pages[0], 1), "large_p95_ms": round(big_pages[0], 1)}
    search.details = {"small_p95_ms": round(small_pages[1], 1), "large_p95_ms": round(big_pages[1], 1)}
    return [cost, backlog, page, search]


def _grow(h: House, shop: dict[str, Any], number: int) -> float:
    """Write orders, and return the seconds that it took."""
    house.say(f"growth: {number:,} orders")
    took: float = h.inside("write_orders", business=shop["business"], number=number)["seconds"]
    h.settle_down()
    return took


def _sale(h: House, first: int) -> dict[str, float]:
    """Return the milliseconds of processor time of a sale, of each part of Paydesk and of both servers."""
    house.say("growth: sales")
    before = h.spent_by()
    sales.sell(h, SALES, first=first, per_second=SALES_PER_SECOND)
    h.settle_down()
    return {part: (spent - before.get(part, 0.0)) * 1000 / SALES for part, spent in h.spent_by().items()}


def _pages(h: House, shop: dict[str, Any]) -> tuple[float, float]:
    """Return the p95 of the first page and of searches, in milliseconds."""
    house.say("growth: pages of purchases")
    connection = Connection(h.web)
    owner = Shopper.arrives(h, shop, connection)
    login = owner.send("GET", "/accounts/login/", status=200).body.decode()
    owner.token = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', login)[0]
    owner.post_form("/accounts/login/", login=shop["owner"].replace("@", "%40"), password=PASSWORD)

    def p95(paths: list[str]) -> float:
        waits = []
        for path in paths:
            began = time.perf_counter()
            if not _FOUND.search(owner.send("GET", path, status=200).body.decode()) and "q=" not in path:
                raise BadAnswer(f"{path}: no purchases")
            waits.append((time.perf_counter() - began) * 1000)
        return sorted(waits)[int(0.95 * len(waits))]

    first = p95(["/purchases/"] * LOOKS)
    searched = p95([f"/purchases/?q={SEARCHES[n % len(SEARCHES)]}" for n in range(LOOKS)])
    connection.close()
    return first, searched
