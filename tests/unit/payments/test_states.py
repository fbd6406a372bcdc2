"""State machines: what the table has is allowed, everything else raises, and no state is a trap by accident."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import pytest

from web.payments.states import (
    CANCELLABLE,
    EDGES,
    FINAL,
    LIVE,
    PAYMENT_EDGES,
    ForbiddenTransition,
    PaymentState,
    transition,
)

NOW = datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.UTC)


@dataclass
class Row:
    MACHINE: str
    state: str
    state_changed_at: datetime.datetime = NOW - datetime.timedelta(days=1)


def test_every_pair_is_an_edge_or_refused() -> None:
    for machine, edges in EDGES.items():
        states = {state for edge in edges for state in edge}
        for before in states:
            for after in states:
                row = Row(machine, before)
                if (before, after) in edges:
                    assert transition(row, after, now=NOW) == edges[before, after]
                    assert (row.state, row.state_changed_at) == (after, NOW)
                else:
                    with pytest.raises(ForbiddenTransition):
                        transition(row, after, now=NOW)
                    assert row.state == before


def test_states_are_live_or_final_or_set_aside_and_nothing_else() -> None:
    assert set(PaymentState) == LIVE | FINAL | {PaymentState.RESERVED}
    assert PaymentState.RESERVED not in LIVE | FINAL
    assert not LIVE & FINAL


def test_paid_is_never_left() -> None:
    assert not [edge for edge in PAYMENT_EDGES if edge[0] == PaymentState.SUCCEEDED]


def test_what_can_be_cancelled_has_its_edge_and_money_can_still_come() -> None:
    for state in CANCELLABLE:
        assert (state, PaymentState.CANCELLING) in PAYMENT_EDGES
    for state in LIVE | {PaymentState.CANCELLED, PaymentState.FAILED}:
        assert (state, PaymentState.SUCCEEDED) in PAYMENT_EDGES
        assert (state, PaymentState.HELD) in PAYMENT_EDGES


def test_patience_alone_never_fails_a_payment() -> None:
    into_failed = {before for before, after in PAYMENT_EDGES if after == PaymentState.FAILED}
    assert into_failed == {PaymentState.REQUESTED, PaymentState.UNKNOWN, PaymentState.CANCELLING}
