"""P1 and P2: events stored, and events applied until their carts are orders; dj-stripe beside it.

What differs from dj-stripe, so that nobody reads the ratio for more than it is: dj-stripe answers a webhook only
when it has asked Stripe for the object again and written what it mirrors (several tables of Stripe's objects); it
makes no orders, no history and no receipts' jobs, and its event is done when the answer is sent. Paydesk answers
when the event is stored, applies it in a worker without asking Stripe, and its sale ends as an order with lines,
history and a queued receipt. Both get the same bytes, signed the same way, on the same PostgreSQL, with as many
processes and threads for the web; Paydesk's worker runs beside its web within the same two cores.
"""

from __future__ import annotations

import time

from bench import djstripe, events, house, load, size
from bench.house import House
from bench.table import Row

CONNECTIONS = 8
WARM = size.of(120)
EVENTS = size.of(480)  # a run
STORED = 3 * EVENTS  # storing them alone takes a third of a second for each 500, too short a time to compare
PEER_EVENTS = {0: size.of(120), 120: size.of(48)}  # Stripe's latency in ms: how many events the peer gets
RUNS = size.RUNS


def measure(h: House) -> list[Row]:
    """Measure both rows on a running stack with shops."""
    stored = Row("P1", "event verified and stored, against a one-INSERT view", "x", 0.8, is_at_least=True)
    applied = {
        ms: Row(
            f"P2{letter}",
            f"event applied to an order, against dj-stripe, Stripe at {ms} ms",
            "x",
            target,
            is_at_least=True,
        )
        for ms, letter, target in ((120, "a", 20), (0, "b", 6))
    }
    cost = Row("P2c", "processor time of an applied event, all processes", "ms", 2.5, is_at_least=False)
    parts: dict[str, list[float]] = {}
    with house.limits_web(h) as (limit, _pid), house.receipts_wait(h), djstripe.running(h) as peer:
        house.say("webhooks: dj-stripe runs beside")
        insert = [load.request("GET", limit, "/")] * STORED
        load.closed(limit, insert[:WARM], connections=CONNECTIONS)
        _apply(h, WARM, first=0, label="warm")
        peer_rates: dict[int, list[float]] = {}
        for run in range(RUNS):
            house.say(f"webhooks: run {run + 1} of {RUNS}")
            view = load.closed(limit, insert, connections=CONNECTIONS)
            _worker(h, on=False)
            ours = load.closed(
                h.web, _requests(h, STORED, first=(run + 1) * 100_000), connections=CONNECTIONS
            )
            stored.runs.append(ours.per_second / view.per_second)
            parts.setdefault("view_per_second", []).append(view.per_second)
            parts.setdefault("stored_per_second", []).append(ours.per_second)
            _wait_for_orders(h, on=True)
            rate, spent = _apply(h, EVENTS, first=(run + 1) * 100_000 + 50_000, label=f"run {run}")
            cost.runs.append(spent * 1000 / EVENTS)
            parts.setdefault("applied_per_second", []).append(rate)
            for ms, row in applied.items():
                h.latency(ms)
                theirs, theirs_cpu = peer.apply(PEER_EVENTS[ms], CONNECTIONS)
                peer_rates.setdefault(ms, []).append(theirs)
                row.runs.append(rate / theirs)
                parts.setdefault(f"dj_stripe_ms_of_cpu_at_{ms}", []).append(theirs_cpu * 1000)
            h.latency(0)
    stored.details = {name: _middle(parts[name]) for name in ("view_per_second", "stored_per_second")}
    for ms, row in applied.items():
        row.details = {
            "ours_per_second": _middle(parts["applied_per_second"]),
            "dj_stripe_per_second": _middle(peer_rates[ms]),
            "dj_stripe_ms_of_cpu": _middle(parts[f"dj_stripe_ms_of_cpu_at_{ms}"]),
        }
    return [stored, *(applied[ms] for ms in (120, 0)), cost]


def _middle(values: list[float]) -> float:
    return round(sorted(values)[len(values) // 2], 1)


def _requests(h: House, number: int, *, first: int) -> list[bytes]:
    """Make sales that wait for their customers, and the events that say they paid."""
    each = number // len(h.shops)
    event = events.template(h.sandbox)
    made = []
    calls = [{"business": shop["business"], "number": each, "first": first} for shop in h.shops]
    for shop, waiting in zip(h.shops, h.inside_all("sales", calls), strict=True):
        for sale in waiting:
            body = events.succeeded(event, **sale, number=first)
            made.append(events.signed(h.web, shop["webhook"], body, shop["secret"]))
    return made


def _apply(h: House, number: int, *, first: int, label: str) -> tuple[float, float]:
    """Bring events while the worker runs; return how many a second became orders, and the seconds of CPU of all."""
    requests = _requests(h, number, first=first)
    (before,) = h.query("SELECT count(*) FROM payments_order")
    spent, began = h.spent(), time.perf_counter()
    load.closed(h.web, requests, connections=CONNECTIONS)
    ended = h.wait("SELECT count(*) FROM payments_order", lambda row: row[0] >= before + len(requests))
    return len(requests) / (ended - began), h.spent() - spent


def _worker(h: House, *, on: bool) -> None:
    if on:
        h.stack.bring_up("worker-ledger-1")
    else:
        h.stack.take_down("worker-ledger-1")


def _wait_for_orders(h: House, *, on: bool) -> None:
    _worker(h, on=on)
    h.wait("SELECT count(*) FROM payments_inboxevent WHERE state = 'received'", lambda row: row[0] == 0)
