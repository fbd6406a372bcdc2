"""The page that is a reader: what its customer sees, and a button for everything a hand can do to it.

Everything is a form; the script only looks whether the reader's screen has changed, and shows it.
"""

from html import escape

from sandbox import cards, frames, markup, money, persons
from sandbox.world import Obj, Tx

_PRESENTED = (("tap", "Tap"), ("insert", "Insert"), ("swipe", "Swipe"))
_FIRST = ("visa", "mastercard", "amex", "interac", "visa_chargeDeclined", "visa_chargeDeclinedInsufficientFunds",
          "visa_chargeDeclinedLostCard", "chargeDeclinedExpiredCard", "chargeDeclinedProcessingError",
          "offline_pin_cvm", "refundFail", "pendingRefund", "createDispute")  # fmt: skip
_BANK = (("0", "at once"), ("3000", "after 3 s"), ("10000", "after 10 s"), ("600000", "when told to"))
_FAILURES = {
    "customer_canceled": "Cancelled",
    "connection_error": "No connection",
    "collect_inputs_timed_out": "Nobody answered",
    "intent_invalid_state": "Payment no longer open",
}
#: Fault -> what the button says that arms it once for this reader.
FAULTS = {
    "reader_offline": "It is offline",
    "reader_busy": "It is busy",
    "reader_timeout": "Timeout, not accepted",
    "reader_timeout_accepted": "Timeout, yet accepted",
    "reader_customer_cancels": "Customer cancels",
    "reader_declines": "Declined, whatever the card",
    "reader_connection_error": "Paid, but “no connection”",
    "reader_stuck": "Loses its connection",
    "reader_replaced": "Another till takes it",
}


def page(tx: Tx, reader: Obj) -> str:
    """Return the page of one reader."""
    seen = persons.screen(tx, reader)
    where = tx.get("terminal.location", reader["location"] or "") or {}
    place = f"{where.get('display_name', 'no location')} · {reader['device_type'].removeprefix('simulated_')}"
    plug = (
        _form(seen, "unplug", "Unplug", plain=True)
        if seen["plugged_in"]
        else _form(seen, "plug_in", "Plug in")
    )
    body = (
        f'<main class="desk" data-live="/_sandbox/readers/{escape(seen["id"])}/screen">'
        f'<p class="muted"><a href="/?account={escape(seen["account"])}&amp;view=readers">All readers</a></p>'
        f'<h1>{escape(seen["label"])}</h1><p class="muted">{escape(place)}</p>'
        f'<section class="device" aria-label="The reader"><div class="glass" aria-live="polite">{_glass(seen)}</div>'
        f'<div class="hands">{_hands(seen)}{plug}</div></section>'
        '<noscript><p class="muted">Without a script this page does not look by itself: '
        f'<a href="/_sandbox/reader/{escape(seen["id"])}">look again</a>.</p></noscript>'
        f"{_facts(seen)}{_faults(seen)}{_auto(seen)}</main>"
    )
    return frames.document(f"{seen['label']} - reader", body, script="page.js", style="page.css")


def _money(seen: Obj) -> str:
    return (
        money.display(seen["amount"], seen["currency"]).upper() if seen["amount"] and seen["currency"] else ""
    )


def _glass(seen: Obj) -> str:
    """Return what is on the screen."""
    amount = f'<p class="sum">{escape(_money(seen))}</p>' if _money(seen) else ""
    if not seen["plugged_in"]:
        return '<p class="sign">No power</p><p>The reader is not connected.</p>'
    if seen["asks"] == "tip":
        return f'<p>Add a tip?</p>{amount}<div class="tips">{_tips(seen)}</div>'
    if seen["asks"] == "card":
        what = {"refund_payment": "Refund: present the card that paid", "process_setup_intent": "Save a card",
                "collect_payment_method": "Present a card to be checked"}  # fmt: skip
        return f"<p>{what.get(seen['type'], 'Tap, insert or swipe')}</p>{amount}"
    if seen["asks"] == "authorising":
        return f'<p class="sign">Authorising…</p>{amount}<p>Do not remove the card.</p>'
    if seen["asks"] == "input":
        return _inputs(seen)
    if seen["asks"] == "cart" or (
        seen["type"] == "set_reader_display" and seen["action_status"] == "succeeded"
    ):
        return _cart(seen["cart"])
    if seen["action_status"] == "succeeded":
        return f'<p class="sign good">{"Approved" if amount else "Done"}</p>{amount}'
    if seen["action_status"] == "failed":
        message = escape(seen["failure_message"] or "")
        return f'<p class="sign bad">{_FAILURES.get(seen["failure_code"], "Declined")}</p><p>{message}</p>'
    return '<p class="sign">Welcome</p><p>Nothing to pay.</p>'


def _tips(seen: Obj) -> str:
    forms = [
        _form(
            seen,
            "tip",
            " · ".join(filter(None, (tip["label"], money.display(tip["amount"], seen["currency"]).upper()))),
            f'<input type=hidden name=amount value="{tip["amount"]}">',
        )
        for tip in seen["tips"]
    ]
    none = _form(seen, "tip", "No tip", "<input type=hidden name=amount value=0>", plain=True)
    own = _form(
        seen,
        "tip",
        "Add",
        '<label>Other <input name=amount inputmode=numeric size=5 required aria-label="Tip, in the smallest unit">'
        "</label>",
        plain=True,
    )
    return "".join(forms) + none + own


def _inputs(seen: Obj) -> str:
    fields = []
    for one in seen["inputs"]:
        title, needed = (
            escape(one["custom_text"]["title"] or one["type"]),
            " required" if one["required"] else "",
        )
        if one["type"] == "selection":
            options = "".join(
                f'<option value="{escape(choice["id"])}">{escape(choice["text"])}</option>'
                for choice in one["selection"]["choices"]
            )
            empty = "" if one["required"] else "<option value=''>Skip</option>"
            fields.append(f"<label>{title} <select name=values{needed}>{empty}{options}</select></label>")
        else:
            fields.append(f"<label>{title} <input name=values{needed}></label>")
    return _form(seen, "answer", "Submit", "".join(fields))


def _cart(cart: Obj) -> str:
    rows = "".join(
        f"<li><span>{escape(str(line['quantity']))} &times; {escape(line['description'])}</span>"
        f"<span>{escape(money.display(line['amount'], cart['currency']).upper())}</span></li>"
        for line in cart["line_items"]
    )
    total = escape(money.display(cart["total"], cart["currency"]).upper())
    return f'<ul class="cart">{rows}</ul><p class="sum">{total}</p>'


def _hands(seen: Obj) -> str:
    """Return the buttons of what can be done now."""
    if not seen["plugged_in"]:
        return ""
    if seen["asks"] == "authorising":
        return _form(seen, "finish", "The bank answers")
    forms = ""
    if seen["asks"] == "card":
        chosen = [card for name in _FIRST if (card := cards.at_reader(name)) is not None]
        options = "".join(
            f'<option value="{card.name}">{escape(card.name)} ({card.last4})</option>' for card in chosen
        )
        wait = "".join(f'<option value="{value}">{label}</option>' for value, label in _BANK)
        buttons = "".join(f"<button name=how value={how}>{label}</button>" for how, label in _PRESENTED)
        forms = (
            '<form method=post action="/_sandbox/play/reader_present" class="present">'
            f'<input type=hidden name=id value="{escape(seen["id"])}">'
            '<label>Card <select name=card><option value="">by the amount</option>'
            f"{options}</select></label><label>The bank answers <select name=processing_ms>{wait}</select></label>"
            f'<div class="taps">{buttons}</div></form>'
        )
        declined = '<input type=hidden name=card value="visa_chargeDeclined">'
        forms += _form(seen, "present", "A card that is declined", declined, plain=True)
    if seen["can_cancel"]:
        forms += _form(seen, "cancel", "Cancel", plain=True)
    return forms


def _form(seen: Obj, what: str, label: str, fields: str = "", *, plain: bool = False) -> str:
    style = ' class="plain"' if plain else ""
    about = f'<input type=hidden name=id value="{escape(seen["id"])}">'
    return (
        f'<form method=post action="/_sandbox/play/reader_{what}">{about}{fields}'
        f"<button{style}>{escape(label)}</button></form>"
    )


def _facts(seen: Obj) -> str:
    named = [name for name in ("payment_intent", "setup_intent", "refund_of") if seen[name]]
    about = ", ".join(markup.link(seen[name], seen["account"]) for name in named) or "—"
    state = f"{seen['type'] or 'no action'}: {seen['action_status'] or 'idle'}"
    code = f" ({escape(seen['failure_code'])})" if seen["failure_code"] else ""
    return (
        '<dl class="facts"><dt>To Stripe it is</dt><dd>'
        f"{markup.status(seen['status'])}</dd><dt>Action</dt><dd>{escape(state)}{code}</dd>"
        f"<dt>About</dt><dd>{about}</dd><dt>Reader</dt><dd>{markup.link(seen['id'], seen['account'])}</dd></dl>"
    )


def _faults(seen: Obj) -> str:
    forms = "".join(
        _form(seen, "fault", label, f'<input type=hidden name=kind value="{kind}">', plain=True)
        for kind, label in FAULTS.items()
    )
    return f'<details><summary>What goes wrong next</summary><div class="actions">{forms}</div></details>'


def _auto(seen: Obj) -> str:
    if seen["auto"]:
        weights = ", ".join(f"{name} {weight:g}" for name, weight in seen["auto"]["outcomes"].items())
        told = f"<p>Somebody stands here: after {seen['auto']['after_ms']} ms, {escape(weights)}.</p>"
        return told + _form(
            seen, "auto", "Send them away", "<input type=hidden name=off value=1>", plain=True
        )
    fields = (
        "<label>After <input name=after_ms inputmode=numeric value=1500 size=6> ms</label>"
        "<label>Pays <input name=pay inputmode=decimal value=8 size=3></label>"
        "<label>Declined <input name=decline inputmode=decimal value=1 size=3></label>"
        "<label>Cancels <input name=cancel inputmode=decimal value=1 size=3></label>"
    )
    return (
        "<details><summary>Let somebody stand here</summary><p class=muted>They end every action by themselves, by "
        f"these weights.</p>{_form(seen, 'auto', 'Start', fields)}</details>"
    )
