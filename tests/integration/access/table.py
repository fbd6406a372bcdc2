"""Every address of the site: who may ask it, with what, and what the answer is. An address without a row fails.

A row is one way to ask one address: `read("purchase", SEES, lambda s: Asked(args=(s.order().number,)))`.
From it follow, by themselves: 302 to the sign-in (401 for programs) for who is signed out or of another business,
403 for staff without one of the groups and for customers, `answer` for the others; 404 for each object of another
business that is put in place of ours, one after the other (`others` says where it is something else); 405 for
methods that no row names; and that whoever is refused changes nothing.

What is asked by POST is an action, and stands in actions.py with what happens when it is clicked twice, by two at
once, and when Stripe fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.integration.access.world import (
    ANONYMOUS,
    CUSTOMER,
    FOREIGNER,
    OWNER,
    STAFF,
    STRANGER,
    WITHOUT,
    Asked,
    Studio,
)
from web.core.groups import Group

NOTHING = Asked()


@dataclass(frozen=True)
class Who:
    """Who may ask."""

    groups: frozenset[str] | None = None  # staff in one of these; empty: any staff; None: not only staff
    signed_in: bool = False
    any_host: bool = False  # answers also where no business is served


ANYBODY, SIGNED_IN, MACHINES = Who(), Who(signed_in=True), Who(any_host=True)


def staff(*groups: str) -> Who:
    """Staff in one of these groups, and owners."""
    return Who(frozenset(groups), signed_in=True)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to ask one address, and what is answered to who may."""

    url: str
    who: Who
    ask: Callable[[Studio], Asked] = lambda _studio: NOTHING
    answer: int = 200
    method: str = "GET"
    says: str = ""  # tells rows of one address apart
    is_json: bool = False  # a program asks, with a body of JSON
    other: int = 404  # in place of ours, another business's object
    others: Mapping[str, int] = field(
        default_factory=dict
    )  # where that is something else, by field ("0": in the path)
    but: Mapping[str, int] = field(default_factory=dict)  # people to whom it is something else
    free: frozenset[str] = frozenset()  # fields that name no object, though they differ
    args_are_words: bool = False  # what is in the path is the same in every business

    @property
    def name(self) -> str:
        """Return what the row is called in tests and documents."""
        name = self.url.removeprefix("payment:")
        return f"{name}:{self.says}" if self.says else name


def named(url: str) -> str:
    """Return the whole name of an address: one of payments, unless it says otherwise ("::" is no namespace)."""
    return url if url.startswith(("account", "mfa_", "usersessions", "/")) or ":" in url else f"payment:{url}"


def read(url: str, who: Who, ask: Callable[[Studio], Asked] = lambda _studio: NOTHING, **rest: Any) -> Row:
    """Return the row of a page that is looked at."""
    return Row(url=named(url), who=who, ask=ask, **rest)


TILL = staff(Group.STORE, Group.CHECKIN)
SEES = staff(Group.PURCHASES)
REFUNDS = staff(Group.REFUNDS)
LEDGERS = staff(Group.CUSTOMERS, Group.CREDITS)
DRAWERS = staff(Group.PURCHASES, Group.STORE)
SETTINGS = staff(Group.SETTINGS)
INSIDE = (CUSTOMER, STRANGER, STAFF, WITHOUT, OWNER)
SIGNED_IN_ALREADY = dict.fromkeys(INSIDE, 302)
TO_TILL = {f"with {group}": 200 for group in (Group.STORE, Group.CHECKIN)} | {OWNER: 200}
NOT_OWN = {STRANGER: 404, STAFF: 404, WITHOUT: 404, OWNER: 404}


def _link(studio: Studio) -> Asked:
    payment = studio.payment()
    cart = studio.cart_of(payment)
    return Asked(args=(payment.public_id,), query={"cart": cart.token})


def _own_cart(studio: Studio) -> Asked:
    studio.cart()
    return NOTHING


READS = [
    # --- core ---
    read("::branding", ANYBODY),
    read("::styleguide", MACHINES),
    read("/healthz", MACHINES),
    read("/readyz", MACHINES),
    # --- signing in ---
    read("account_login", ANYBODY, but=SIGNED_IN_ALREADY),
    read("account_logout", ANYBODY, answer=302, but=dict.fromkeys(INSIDE, 200)),
    read("account_signup", ANYBODY, but=SIGNED_IN_ALREADY),
    read("account_inactive", ANYBODY),
    read("account_change_password", SIGNED_IN),
    read("account_reset_password", ANYBODY),
    read("account_reset_password_done", ANYBODY),
    read("account_reset_password_from_key_done", ANYBODY),
    read("account_reset_password_from_key", ANYBODY, lambda s: Asked(args=("1", "abc-def")), args_are_words=True),
    # --- the second factor, and where one is signed in: one's own (tests/integration/core/test_second_factor.py) ---
    read("mfa_authenticate", ANYBODY, answer=302),  # nobody is in the middle of signing in
    read("account_reauthenticate", SIGNED_IN),
    read("mfa_reauthenticate", SIGNED_IN, answer=302),  # who has none gives the password
    read("mfa_reauthenticate_webauthn", SIGNED_IN, answer=302),
    read("usersessions_list", SIGNED_IN),
    read("mfa_index", SIGNED_IN),
    read("mfa_activate_totp", SIGNED_IN),
    read("mfa_deactivate_totp", SIGNED_IN, lambda s: s.with_app(), but=NOT_OWN),
    read("mfa_view_recovery_codes", SIGNED_IN, lambda s: s.with_app(), but=NOT_OWN),
    read("mfa_generate_recovery_codes", SIGNED_IN),
    read("mfa_add_webauthn", SIGNED_IN),
    read("mfa_remove_webauthn", SIGNED_IN, lambda s: Asked(args=(s.passkey().pk,)), but=NOT_OWN),
    # --- the shop and the till ---
    read("shop", ANYBODY),
    read("checkout", ANYBODY, answer=302, but=TO_TILL),
    read("checkout", ANYBODY, lambda s: Asked(query={"cart": s.cart().token}), says="of a cart"),
    read("checkout", TILL, lambda s: Asked(query={"customer": s.customer.id}), says="for a customer",
         but={CUSTOMER: 302, STRANGER: 302, STAFF: 302, WITHOUT: 302, ANONYMOUS: 302, FOREIGNER: 302}),
    read("cart", ANYBODY, _own_cart, but={CUSTOMER: 302}),
    read("my_purchases", SIGNED_IN),
    read("receipt", ANYBODY, lambda s: Asked(args=(s.order().token,))),
    read("till_items", TILL, lambda s: Asked(query={"find": "mat"})),
    read("till_state", TILL, lambda s: Asked(query={"cart": s.cart().token})),
    read("choose_new_customer", TILL, lambda s: Asked(query={"cart": s.cart().token, "find": "Cora"})),
    # --- payments, followed by programs ---
    read("stripe_intent_status", ANYBODY, _link, is_json=True, says="with the cart's link", others={"cart": 404}),
    read("stripe_intent_status", ANYBODY, lambda s: Asked(args=(s.payment().public_id,)), is_json=True,
         says="without it", but={ANONYMOUS: 404, FOREIGNER: 404, STRANGER: 404}),
    read("stripe_terminal", TILL, lambda s: Asked(query={"location": s.place.id}), is_json=True),
    read("stripe_terminal_status", TILL, lambda s: Asked(args=(s.action().public_id,)), is_json=True),
    # --- saved cards ---
    read("list_cards", SIGNED_IN),
    read("list_cards", staff(Group.STORE, Group.CUSTOMERS), lambda s: Asked(query={"customer": s.customer.id}),
         says="of a customer", but={CUSTOMER: 404, STRANGER: 404, STAFF: 404, WITHOUT: 404}),
    read("add_card", SIGNED_IN),
    read("add_card", SIGNED_IN, lambda s: Asked(query={"setup": s.setup().public_id}), says="followed", but=NOT_OWN),
    read("card_setup", SIGNED_IN, lambda s: Asked(args=(s.setup().public_id,)), is_json=True, but=NOT_OWN),
    # --- the back office ---
    read("purchases", SEES),
    read("purchases_totals", SEES),
    read("purchases_export", SEES),
    read("purchase", SEES, lambda s: Asked(args=(s.disputed().number,))),
    read("order_refunds", SEES, lambda s: Asked(args=(s.being_refunded().number,))),
    read("refund_order", REFUNDS, lambda s: Asked(args=(s.order().number,))),
    read("bulk_refunds", REFUNDS),
    read("bulk_refund", REFUNDS, lambda s: Asked(args=(s.bulk().public_id,))),
    read("credit_balance", LEDGERS),
    read("credit_services", LEDGERS),
    read("credit_balance_of", LEDGERS, lambda s: Asked(args=(s.customer.id,))),
    read("credit_services_of", LEDGERS, lambda s: Asked(args=(s.customer.id,))),
    read("close_outs", DRAWERS, lambda s: Asked(query={
        "location": s.place.id, "staff": s.staff("store").id, "reader": s.reader().id})),
    read("close_out", DRAWERS, lambda s: Asked(args=(s.close_out().public_id,))),
    read("close_outs_export", DRAWERS),
    read("reconciliation", SEES),
    read("reconciliation_export", SEES, lambda s: Asked(query={"payout": s.payout().payout_id})),
    read("differences", SEES),
    read("payout", SEES, lambda s: Asked(args=(s.payout().payout_id,))),
    read("settings", SETTINGS),
    read("settings_account_state", SETTINGS),
    read("settings_readers", SETTINGS),
    read("settings_readers_state", SETTINGS),
    read("settings_api", SETTINGS),
]  # fmt: skip
