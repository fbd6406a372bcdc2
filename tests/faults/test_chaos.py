"""The same engine as `make chaos`, smaller and with a seed of its own: at its end both books agree."""

from __future__ import annotations

import os

import pytest

from stack.chaos import Chaos
from tests.faults.house import House

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
SEED = int(os.environ.get("PAYDESK_CHAOS_SEED", "20261123"))
SALES = int(os.environ.get("PAYDESK_CHAOS_SALES", "36"))


def test_customers_buy_while_everything_fails(house: House) -> None:
    outcome = Chaos(house.stack, house.studio, seed=SEED, sales=SALES).run()
    assert outcome.is_good, "\n".join(outcome.lines())
    assert sum(outcome.stories.values()) == SALES
    assert outcome.counts["sent_again"] > 0, "no call was ever in doubt: the faults did not strike"
    assert outcome.counts["claimed_again"] > 0, "no worker was ever overtaken: nobody was killed at work"
