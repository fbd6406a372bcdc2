"""Every action: what it asks for, what comes of asking twice and of two at once, and whether Stripe may fail.

docs/actions.md is written from this table (`python -m tests.integration.access.document`), and a test compares them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stripe import WebhookSignature

from tests.factories import PASSWORD, ProfileFactory
from tests.integration.access.table import (
    ANYBODY,
    DRAWERS,
    MACHINES,
    NOT_OWN,
    NOTHING,
    READS,
    REFUNDS,
    SEES,
    SETTINGS,
    SIGNED_IN,
    TILL,
    Row,
    Who,
    named,
    staff,
)
from tests.integration.access.world import (
    ANONYMOUS,
    FOREIGNER,
    OWNER,
    PRICE,
    STAFF,
    STRANGER,
    WITHOUT,
    Asked,
    Studio,
    token,
)
from web.core.groups import Group
from web.core.models import ItemType, Location, Profile
from web.payments.models import Cart, Ledger, PaymentSettings
from web.payments.money import Money

ONE, EACH = "one effect", "each click counts"


@dataclass(frozen=True, kw_only=True)
class Action(Row):
    """A row that changes something."""

    method: str = "POST"
    answer: int = 302
    # The same form sent again. EACH: the second click means a second thing, and `why` says so.
    twice: str = ONE
    # Two people, each with a form of their own. EACH: both are meant, and `why` says so.
    at_once: str = ONE
    why: str = ""
    stripe: str = ""  # the test in which Stripe fails meanwhile; "" where the action ends before Stripe
    lines: frozenset[str] = frozenset()  # tables that note each click, though its effect is one
    whose: Callable[[Studio], Profile] | None = None  # it is asked by a person made for it
    is_quiet: bool = False  # it changes nothing that is kept
    by_one: bool = False  # it is one person's own: two at once are two of their tabs


def post(url: str, who: Who, ask: Callable[[Studio], Asked], **rest: Any) -> Action:
    """Return the row of an action."""
    return Action(url=named(url), who=who, ask=ask, **rest)


def _with_form(**body: object) -> Asked:
    return Asked(body={**body, "form_token": token()})


# --- what each asks for -----------------------------------------------------------------------------------


def _intent(studio: Studio) -> Asked:
    return _with_form(cart=studio.shop.cart().token, expected_total=PRICE)


def _of_payment(studio: Studio) -> Asked:
    payment = studio.payment()
    return Asked(args=(payment.public_id,), body={"cart": studio.cart_of(payment).token})


def _on_reader(studio: Studio) -> Asked:
    return _with_form(cart=studio.cart().token, reader=studio.reader().public_id, expected_total=PRICE)


def _stored(studio: Studio) -> Asked:
    person = ProfileFactory.create(business=studio.business)
    studio.desk.adjust(Money(1000, "usd"), customer_id=person.id)
    return _with_form(cart=studio.cart(customer=person).token, ledger=Ledger.MONEY, expected_total=PRICE)


def _set_aside(studio: Studio) -> Asked:
    asked = _stored(studio)
    browser = studio.browser(studio.staff("store"))
    browser.post(studio.url("till_use_stored"), dict(asked.body))
    cart = Cart.objects.get(token=asked.body["cart"])
    part = studio.business.payments.get(cart_reference=cart.reference)
    return Asked(body={"cart": cart.token, "payment": part.public_id})


def _free(studio: Studio) -> Asked:
    free = studio.desk.item(ItemType.MERCHANDISE, 0, name="Sticker")
    cart = studio.cart(free)
    return _with_form(cart=cart.token, expected_total=0)


def _action(studio: Studio) -> Asked:
    return Asked(args=(studio.action().public_id,))


def _secret_of_endpoint(studio: Studio) -> Asked:
    endpoint = studio.endpoint()
    return Asked(args=(endpoint.public_id,), body={"hint": endpoint.secret_hint})


def _action_of_till(studio: Studio) -> Asked:
    action = studio.action()
    return Asked(body={"action": action.public_id, "cart": studio.cart_of(action.payment).token})


def _hand_over(studio: Studio) -> Asked:
    asked = _action_of_till(studio)
    return Asked(body={**asked.body, "reader": studio.reader().public_id})


def _authorised(studio: Studio) -> Asked:
    payment = studio.authorised()
    return Asked(body={"payment": payment.public_id, "cart": studio.cart_of(payment).token})


def _fee(studio: Studio) -> Asked:
    studio.browser(None)
    card = studio.card()
    return Asked(
        args=(studio.customer.id,),
        body={"fee": "no_show", "card": card.public_id, "note": f"Yoga {token()[:6]}", "form_token": token()},
    )


def _bulk(studio: Studio) -> Asked:
    item, _order = studio.bulk_item()
    return _with_form(item=item.id, since="", until="", reason="cancelled", expected=1, step="give")


def _refund(studio: Studio) -> Asked:
    body = {"how": "whole", "destination": "method", "reason": "torn", "expected": PRICE, "step": "give"}
    return Asked(args=(studio.order().number,), body={**body, "form_token": token()})


def _adjust(studio: Studio) -> Asked:
    person = ProfileFactory.create(business=studio.business)
    return Asked(
        args=(person.id,), body={"amount": "5", "reason": "sorry", "last_day": "", "form_token": token()}
    )


def _claim(studio: Studio) -> Asked:
    person = ProfileFactory.create(business=studio.business)
    return Asked(args=(person.id,), body={"claim": studio.line_to_claim().id})


def _drawer(studio: Studio) -> Asked:
    place = studio.drawer()
    return _with_form(location=place.id, opening_float="0", counted="36.00", shown="36.00")


def _taxes(studio: Studio) -> Asked:
    Location.objects.filter(id=studio.other_place.id).update(
        sales_tax_active=False, sales_tax_rate=0, sales_tax_name="Sales tax", additional_tax_rate=0
    )
    prefix = f"place{studio.other_place.id}"
    body = {
        "sales_tax_active": "on", "sales_tax_name": "VAT", "sales_tax_rate": "8.875",
        "additional_tax_name": "City", "additional_tax_rate": "1",
    }  # fmt: skip
    return Asked(
        args=(studio.other_place.id,), body={f"{prefix}-{name}": value for name, value in body.items()}
    )


def _set(**body: object) -> Callable[[Studio], Asked]:
    """Return a form of the settings, asked for while they are as they were in the beginning."""

    def ask(studio: Studio) -> Asked:
        studio.reset_settings()
        return Asked(body=body)

    return ask


def _fees(studio: Studio) -> Asked:
    studio.reset_settings()
    PaymentSettings.objects.filter(business=studio.business).update(no_show_item=None)
    return Asked(body={"no_show_item_id": studio.fee.id, "late_cancel_item_id": ""})


def _erase(studio: Studio) -> Asked:
    person = ProfileFactory.create(business=studio.business)
    studio.sold(customer=person)
    return Asked(body={"email": person.email, "confirmed": person.email})


def _event(studio: Studio) -> Asked:
    event = {
        "id": f"evt_{token()}", "object": "event", "type": "payment_intent.succeeded", "created": studio.second,
        "api_version": "2026-10-28.endive", "data": {"object": {"id": "pi_1", "object": "payment_intent"}},
    }  # fmt: skip
    signed = WebhookSignature.generate_signature_header(json.dumps(event), studio.webhook_secret)
    return Asked(args=(studio.settings.webhook_token,), body=event, headers={"Stripe-Signature": signed})


def _keys(studio: Studio) -> Asked:
    name = token()[:8]
    return Asked(body={"publishable_key": f"pk_test_{name}", "secret_key": f"sk_test_{name}"})


def _reader_form(studio: Studio) -> Asked:
    return Asked(
        args=(studio.reader().public_id,), body={"label": f"Desk {token()[:4]}", "location": studio.place.id}
    )


def _refused_reader(studio: Studio) -> Asked:
    return Asked(args=(studio.reader(state="refused").public_id,), body={"code": f"code-{token()[:8]}"})


def _new_password(studio: Studio) -> Asked:
    return Asked(body={"oldpassword": PASSWORD, "password1": "another horse", "password2": "another horse"})


AUDIT = frozenset({"payments_auditentry"})
HISTORY = frozenset({"payments_paymentevent"})
CARDS = staff(Group.STORE, Group.CUSTOMERS)
CREDITS = staff(Group.CREDITS)

ACTIONS = [
    # --- signing in ---
    post("account_login", ANYBODY, lambda s: Asked(body={"login": s.customer.email, "password": PASSWORD}),
         others={"login": 200}, is_quiet=True),
    post("account_logout", ANYBODY, lambda s: Asked(), is_quiet=True),
    post("account_signup", ANYBODY, lambda s: Asked(body={
        "name": "Nora New", "email": f"{token()[:8]}@example.com", "password1": "new horse battery"}),
         free=frozenset({"email"})),
    post("account_change_password", SIGNED_IN, _new_password, is_quiet=True,
         whose=lambda s: ProfileFactory.create(business=s.business)),
    post("account_reset_password", ANYBODY, lambda s: Asked(body={"email": s.customer.email}),
         others={"email": 302}, is_quiet=True),
    post("account_reauthenticate", SIGNED_IN, lambda s: Asked(body={"password": PASSWORD}), is_quiet=True,
         whose=lambda s: ProfileFactory.create(business=s.business)),
    post("mfa_reauthenticate", SIGNED_IN, lambda s: Asked(body={"code": "000000"}), is_quiet=True),
    post("mfa_reauthenticate_webauthn", SIGNED_IN, lambda s: Asked(body={"credential": "{}"}), is_quiet=True),
    post("mfa_authenticate", ANYBODY, lambda s: Asked(body={"code": "000000"}), is_quiet=True),
    post("usersessions_list", SIGNED_IN, lambda s: NOTHING, is_quiet=True,
         whose=lambda s: ProfileFactory.create(business=s.business)),
    post("mfa_activate_totp", SIGNED_IN, lambda s: Asked(body={"code": "000000"}), answer=200, is_quiet=True),
    post("mfa_deactivate_totp", SIGNED_IN, lambda s: s.with_app(), is_quiet=True, but=NOT_OWN, by_one=True),
    post("mfa_generate_recovery_codes", SIGNED_IN, lambda s: NOTHING, answer=200, is_quiet=True),
    post("mfa_add_webauthn", SIGNED_IN, lambda s: Asked(body={"name": "Phone", "credential": '{"id": "x"}'}),
         answer=200, is_quiet=True),
    post("mfa_remove_webauthn", SIGNED_IN, lambda s: Asked(args=(s.passkey().pk,)), is_quiet=True, but=NOT_OWN,
         by_one=True),
    post("::set_language", MACHINES, lambda s: Asked(body={"language": "ko", "next": "/"}), is_quiet=True),
    # --- what Stripe tells ---
    post("stripe-webhook", MACHINES, _event, answer=200, is_json=True, other=400),
    # --- the shop ---
    post("add_to_cart", ANYBODY, lambda s: Asked(body={"item": s.item.id, "location": s.place.id}),
         twice=EACH, at_once=EACH, why="one more piece each; the cart shows how many",
         others={"location": 302}),
    post("set_line", ANYBODY, lambda s: Asked(body={"cart": s.cart().token, "item": s.item.id, "quantity": 2})),
    post("set_tip", ANYBODY, lambda s: Asked(body={"cart": s.cart().token, "percent": 15})),
    post("set_buyer", ANYBODY, lambda s: Asked(body={
        "cart": s.shop.cart().token, "name": "Gus", "email": "gus@example.com"}), is_quiet=True),
    post("use_stored", ANYBODY, lambda s: Asked(body={"cart": s.cart().token, "balance": "on"}),
         but={ANONYMOUS: 409, FOREIGNER: 409, STRANGER: 409, STAFF: 302, WITHOUT: 302, OWNER: 302},
         whose=lambda s: s.customer),
    post("pay_on_arrival", ANYBODY, lambda s: Asked(body={
        "cart": s.shop.cart().token, "name": "Gus", "email": "gus@example.com"})),
    post("complete_free", ANYBODY, _free),
    post("change_order", ANYBODY, lambda s: Asked(body={"cart": s.cart_of(s.payment()).token}), stripe="cancel_intent"),
    # --- payments, asked for by programs ---
    post("stripe_intent", ANYBODY, _intent, is_json=True, answer=202, stripe="create_intent"),
    post("stripe_intent_cancel", ANYBODY, _of_payment, is_json=True, answer=202, stripe="cancel_intent"),
    post("stripe_intent_check", ANYBODY, _of_payment, is_json=True, answer=202, stripe="read_intent"),
    post("stripe_terminal_start", TILL, _on_reader, is_json=True, answer=202, stripe="serve_reader"),
    post("stripe_terminal_tokens", TILL, lambda s: Asked(body={"location": s.place.id}), is_json=True, answer=202,
         twice=EACH, at_once=EACH, why="each app that connects has a token of its own",
         stripe="create_connection_token"),
    post("stripe_terminal_token", TILL, lambda s: Asked(args=(s.connection_token(s.staff("store")).public_id,)),
         is_json=True, answer=200, whose=lambda s: s.staff("store"), but={f"with {Group.CHECKIN}": 404, OWNER: 404}),
    post("stripe_terminal_capture", TILL, lambda s: Asked(args=(s.authorised().public_id,)), is_json=True,
         answer=202, lines=HISTORY, stripe="capture_intent"),
    post("stripe_terminal_cancel", TILL, _action, is_json=True, answer=202, stripe="cancel_on_reader"),
    post("stripe_terminal_take_back", TILL, _action, is_json=True, answer=202),
    post("stripe_terminal_hand_over", TILL, lambda s: Asked(
        args=(s.action().public_id,), body={"reader": s.reader().public_id}), is_json=True, answer=202,
         stripe="serve_reader"),
    # --- the till ---
    post("till_add", TILL, lambda s: Asked(body={"cart": s.cart().token, "item": s.item.id}),
         twice=EACH, at_once=EACH, why="each scan is one more piece; the till shows how many"),
    post("till_sell", TILL, lambda s: _with_form(cart=s.cart().token, method="cash", expected_total=PRICE),
         says="cash"),
    post("till_sell", TILL, lambda s: _with_form(
        cart=s.cart().token, method="cash", expected_total=PRICE, amount="10"), says="a part in cash",
         at_once=EACH, why="two who take a part each have taken two parts"),
    post("till_sell", TILL, lambda s: _with_form(
        cart=s.cart().token, method="complimentary", expected_total=PRICE, note="a gift"), says="complimentary"),
    post("till_sell", TILL, lambda s: _with_form(
        cart=s.cart().token, method="already_paid", expected_total=PRICE, note="by app"), says="paid already"),
    post("till_discount", staff(Group.DISCOUNTS), lambda s: Asked(body={
        "cart": s.cart().token, "off": "10", "unit": "percent", "reason": "member"}), lines=HISTORY),
    post("till_charge", TILL, _on_reader, stripe="serve_reader"),
    post("till_cancel", TILL, _action_of_till, others={"cart": 302}, stripe="cancel_on_reader"),
    post("till_hand_over", TILL, _hand_over, others={"cart": 302}, stripe="serve_reader"),
    post("till_capture", TILL, _authorised, others={"cart": 302}, lines=HISTORY, stripe="capture_intent"),
    post("till_use_stored", TILL, _stored),
    post("till_give_back", TILL, _set_aside, others={"payment": 409}),
    post("choose_new_customer", TILL, lambda s: Asked(body={
        "cart": s.cart().token, "customer": s.stranger.id}), says="choose"),
    post("choose_new_customer", TILL, lambda s: Asked(body={
        "create": "1", "name": "Nia New", "email": f"{token()[:8]}@example.com"}), says="create",
         free=frozenset({"email"})),
    # --- saved cards ---
    post("make_default_card", SIGNED_IN, lambda s: Asked(args=(s.card().public_id,)), but=NOT_OWN, by_one=True),
    post("remove_card", SIGNED_IN, lambda s: Asked(args=(s.card().public_id,)), but=NOT_OWN, by_one=True,
         stripe="detach_card"),
    post("charge_fee", CARDS, _fee, free=frozenset({"note"}), stripe="charge_card"),
    post("begin_adding_card", SIGNED_IN, lambda s: _with_form(consent="on"), by_one=True, at_once=EACH,
         why="two forms save two cards", stripe="create_card_setup"),
    post("check_card_setup", SIGNED_IN, lambda s: Asked(args=(s.setup().public_id,)), is_json=True, answer=200,
         but=NOT_OWN, by_one=True, stripe="read_card_setup"),
    # --- giving money back ---
    post("refund_order", REFUNDS, _refund, stripe="submit_refund"),
    post("withdraw_refund", REFUNDS, lambda s: Asked(args=(s.refund().public_id,))),
    post("refund_payment", REFUNDS, lambda s: Asked(
        args=(s.held().public_id,), body={"form_token": token(), "expected": PRICE}), stripe="submit_refund"),
    post("attach_payment", REFUNDS, lambda s: Asked(args=(s.held().public_id,))),
    post("bulk_refunds", REFUNDS, _bulk, others={"item": 422}, stripe="ask_bulk_refund"),
    post("bulk_refund_resume", REFUNDS, lambda s: Asked(args=(s.bulk(is_refused=True).public_id,)), lines=AUDIT,
         stripe="ask_bulk_refund"),
    # --- stored money and credits ---
    post("credit_balance_of", CREDITS, _adjust, says="adjust", at_once=EACH, why="two who adjust have adjusted twice",
         but={}),
    post("credit_balance_of", CREDITS, _claim, says="claim", others={"claim": 302}),
    post("credit_services_of", CREDITS, _adjust, says="adjust", at_once=EACH,
         why="two who adjust have adjusted twice"),
    post("credit_services_of", CREDITS, _claim, says="claim", others={"claim": 302}),
    # --- receipts and drawers ---
    post("receipt_resend", SEES, lambda s: Asked(args=(s.order().number,), body={
        "email": "again@example.com", "form_token": token()}), at_once=EACH,
         why="two mails to whom asked twice; three an hour at most"),
    post("close_outs", DRAWERS, _drawer),
    post("difference", REFUNDS, lambda s: Asked(args=(s.difference().id,), body={"note": "A test", "step": "accept"}),
         lines=AUDIT),
    # --- settings ---
    post("settings_keys", SETTINGS, _keys, lines=AUDIT, stripe="verify_account",
         free=frozenset({"publishable_key", "secret_key"})),
    post("settings_check", SETTINGS, lambda s: Asked(body={"account": s.account_to_check().id}), lines=AUDIT,
         stripe="verify_account"),
    post("settings_webhook", SETTINGS, lambda s: Asked(body={"secret": s.new_secret()}),
         free=frozenset({"secret"}), lines=AUDIT),
    post("settings_limits", SETTINGS, lambda s: Asked(args=(s.account_to_check().id,), body={"calls_per_second": 200})),
    post("settings_taxes", SETTINGS, _taxes),
    post("settings_tips", SETTINGS, _set(tip_presets="5, 10")),
    post("settings_policy", SETTINGS, _set(refund_policy="None.", refund_popup="on")),
    post("settings_gateway", SETTINGS, _set(gateway="stripe", keeps_cards="on", pays_on_arrival="on")),
    post("settings_charging", SETTINGS, _set(
        capture_mode="automatic", statement_descriptor_suffix="YOGA", abandoned_after_hours=12)),
    post("settings_fees", SETTINGS, _fees, others={"no_show_item_id": 422}),
    post("settings_receipts", SETTINGS, _set(
        receipt_header="Hello", receipt_footer="Bye", receipt_legal="Ltd")),
    post("settings_safety", SETTINGS, _set(second_factor="nobody", refund_limit="500", embed_origins="https://studio.example")),
    post("settings_erase", SETTINGS, _erase, others={"email": 422, "confirmed": 422}),
    post("settings_reader_register", SETTINGS, lambda s: Asked(body={
        "location": s.place.id, "label": "Front", "code": f"code-{token()[:8]}"}), stripe="register_reader",
         free=frozenset({"code"})),
    post("settings_reader_again", SETTINGS, _refused_reader, stripe="register_reader", free=frozenset({"code"})),
    post("settings_reader", SETTINGS, _reader_form, says="rename", stripe="update_reader",
         free=frozenset({"label"})),
    post("settings_reader", SETTINGS, lambda s: Asked(args=(s.move_reader().public_id,), body={
        "label": "Moved", "location": s.other_place.id}), says="move"),
    post("settings_token_make", SETTINGS, lambda s: _with_form(name="Web shop", scopes="read", days=0), answer=200,
         at_once=EACH,
         why="two forms make two tokens", but={"with settings": 422}, whose=lambda s: s.owner),
    post("settings_token_revoke", SETTINGS, lambda s: Asked(args=(s.api_token().id,))),
    post("settings_endpoint_add", SETTINGS, lambda s: Asked(body={
        "url": f"https://shop.example/{token()}", "events": "order.paid"}), answer=200, free=frozenset({"url"})),
    post("settings_endpoint", SETTINGS, lambda s: Asked(args=(s.endpoint().public_id,), body={
        "events": "order.refunded", "is_on": "on"}), lines=AUDIT),
    post("settings_endpoint_secret", SETTINGS, _secret_of_endpoint, answer=200, free=frozenset({"hint"})),
    post("settings_endpoint_remove", SETTINGS, lambda s: Asked(args=(s.endpoint().public_id,))),
    post("settings_endpoint_test", SETTINGS, lambda s: Asked(args=(s.endpoint().public_id,)), twice=EACH, at_once=EACH,
         why="each click sends a test"),
    post("settings_delivery_resend", SETTINGS, lambda s: Asked(args=(s.delivery().public_id,))),
    post("settings_reader_refresh", SETTINGS, lambda s: Asked(args=(s.reader().public_id,)), stripe="read_reader"),
    post("settings_reader_remove", SETTINGS, lambda s: Asked(args=(s.reader().public_id,)), stripe="remove_reader"),
]  # fmt: skip

ROWS: list[Row] = [*READS, *ACTIONS]
