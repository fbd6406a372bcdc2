"""docs/actions.md says what is tested of every action; it is written from the table, and these names are real.

`PAYDESK_WRITE_DOCS=1 python -m pytest tests/integration/access/test_documented.py` writes it anew.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.integration.access import test_hostile, test_matrix, test_stripe_fails, test_twice
from tests.integration.access.actions import ACTIONS, EACH, Action
from tests.integration.access.table import Who

PAGE = Path(__file__).resolve().parents[3] / "docs" / "actions.md"
HEAD = """# What is tested of every action

An action is what changes something: every address that takes a POST. Each is tested for the objects of another
business, for people without the right, for the same click twice, for two people at once, for Stripe failing in the
middle, and for forms that no honest page sends. The tests are driven by one table, so that an action without its
tests cannot be added: an address without a row fails `test_every_address_has_a_row`. Operators' actions have a table
of their own in `tests/integration/ops/test_pages.py`.

| what | test, in `tests/integration/access/` |
|---|---|
| who may, and who may not | `test_matrix.py::test_who_may_what[POST-…]` |
| another business's object is a 404 | `test_matrix.py::test_what_is_anothers_does_not_exist[POST-…]` |
| sent by another site, without the form's own token | `test_matrix.py::test_no_other_site_can_send_a_form` |
| the same click twice | `test_twice.py::test_the_same_click_twice[…]` |
| two people at once, each with a form of their own | `test_twice.py::test_two_at_once[…]` |
| Stripe fails: a 500, a lost answer, a timeout | `test_stripe_fails.py::test_stripe_fails_in_the_middle[…]` |
| hostile values, and fields of no form | `test_hostile.py::test_hostile_values[…]`, `test_fields_that_no_form_has[…]` |

The action's name stands in the brackets; for Stripe, that of the worker's job. An action without one ends before
Stripe. What an action does is measured on all tables; "one effect" is what one click does, however often it comes.

| action | who may | clicked twice | two at once | Stripe fails |
|---|---|---|---|---|
"""


def _who(who: Who) -> str:
    if who.groups is not None:
        return "staff: " + (", ".join(sorted(who.groups)) or "any")
    return "signed in" if who.signed_in else "anybody"


def _rule(action: Action, rule: str) -> str:
    return f"{rule}: {action.why}" if rule == EACH else rule


def _row(action: Action) -> str:
    cells = (
        f"`{action.name}`",
        _who(action.who),
        _rule(action, action.twice),
        _rule(action, action.at_once),
        f"`{action.stripe}`" if action.stripe else "",
    )
    return "| " + " | ".join(cells) + " |\n"


def test_the_page_is_the_table() -> None:
    written = HEAD + "".join(_row(action) for action in sorted(ACTIONS, key=lambda action: action.name))
    if os.environ.get("PAYDESK_WRITE_DOCS"):
        PAGE.write_text(written, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == written, "write it anew: see this file's first lines"


def test_the_tests_that_it_names_are_there() -> None:
    modules = (test_matrix, test_twice, test_stripe_fails, test_hostile)
    there = {name for module in modules for name in vars(module) if name.startswith("test_")}
    for word in HEAD.replace("[", " ").replace("`", " ").replace("::", " ").split():
        if word.startswith("test_") and not word.endswith(".py"):
            assert word in there, word
    assert {action.stripe for action in ACTIONS if action.stripe} <= set(test_stripe_fails.CASES)
