"""The page for people at ``/``: what an engineer on call looks for in Stripe's dashboard, without a script.

One account at a time, one table to a view; every id leads to the object itself, its events and what can be done with
it. Everything written into the page is escaped; every action is a form (see `clicks.py`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from itertools import islice
from urllib.parse import urlencode

import orjson

from sandbox import cards, frames, markup, money, persons
from sandbox.api import paying, terminal_readers
from sandbox.faults import STAGES
from sandbox.ids import kind_of
from sandbox.markup import Row
from sandbox.server import Sandbox
from sandbox.webhooks import Delivery
from sandbox.world import Book, Obj

_SEARCHED = 20_000  # of the newest events, for those not delivered, or where no file can be searched
_PATIENCE_SECONDS = 5.0  # with a search through all events in the file
_READERS = 500  # shown at once
_SHOWN = 50  # rows of a table on the page; the control API has everything


@dataclass(frozen=True)
class View:
    """One tab of the page: the kind of object in its table, and its cells beside id and time."""

    title: str
    kind: str
    cells: Callable[[Obj], Row]


def _intent_cells(obj: Obj) -> Row:
    return {
        "Amount": markup.amount(obj),
        "Status": markup.status(obj["status"]),
        "Metadata": markup.labels(obj["metadata"]),
    }


def _charge_cells(obj: Obj) -> Row:
    note = obj["failure_message"] or (
        "disputed" if obj["disputed"] else "refunded" if obj["refunded"] else None
    )
    return {"Amount": markup.amount(obj), "Status": markup.status(obj["status"]), "Note": markup.text(note)}


def _refund_cells(obj: Obj) -> Row:
    return {
        "Amount": markup.amount(obj),
        "Status": markup.status(obj["status"]),
        "Of": markup.link(obj["payment_intent"]),
    }


def _customer_cells(obj: Obj) -> Row:
    if obj.get("deleted"):
        return {"Name": "deleted", "Email": "—"}
    return {"Name": markup.text(obj["name"]), "Email": markup.text(obj["email"])}


def _setup_cells(obj: Obj) -> Row:
    return {
        "Status": markup.status(obj["status"]),
        "Customer": markup.link(obj["customer"]),
        "Usage": markup.text(obj["usage"]),
    }


def _dispute_cells(obj: Obj) -> Row:
    due = obj["evidence_details"]["due_by"]
    answer = (
        {"Answer by": markup.time(due)} if obj["status"].endswith("needs_response") else {"Answer by": "—"}
    )
    return {
        "Amount": markup.amount(obj),
        "Status": markup.status(obj["status"]),
        "Reason": markup.text(obj["reason"]),
        **answer,
    }


def _payout_cells(obj: Obj) -> Row:
    made = "automatic" if obj["automatic"] else "by hand"
    arrival = markup.time(obj["arrival_date"])
    return {
        "Amount": markup.amount(obj),
        "Status": markup.status(obj["status"]),
        "Made": made,
        "Arrives": arrival,
    }


VIEWS: Mapping[str, View] = {
    "payments": View("Payments", "payment_intent", _intent_cells),
    "charges": View("Charges", "charge", _charge_cells),
    "refunds": View("Refunds", "refund", _refund_cells),
    "customers": View("Customers", "customer", _customer_cells),
    "setups": View("Setup intents", "setup_intent", _setup_cells),
    "disputes": View("Disputes", "dispute", _dispute_cells),
    "payouts": View("Payouts", "payout", _payout_cells),
}
TABS = {**{name: view.title for name, view in VIEWS.items()}, "events": "Events", "faults": "Faults",
        "readers": "Readers", "clock": "Clock", "cards": "Test cards"}  # fmt: skip


async def events_about(sandbox: Sandbox, query: Mapping[str, str]) -> list[Obj] | None:
    """Return the events about the object a page shows, of all there are; None when memory has to do."""
    wanted = query.get("object", "").strip()
    slug = query.get("account") or _owner(sandbox, wanted)
    if (
        not wanted
        or slug not in sandbox.world.books
        or wanted not in sandbox.world.books[slug].shelf(kind_of(wanted) or "")
    ):
        return None
    bodies = await sandbox.store.search(
        slug, "evt_", f'"id":"{wanted}"'.encode(), _SHOWN * 4, _PATIENCE_SECONDS
    )
    if bodies is None:
        return None
    found = [orjson.loads(body) for body in bodies]
    return [one for one in found if wanted in (one["id"], one["data"]["object"].get("id"))][:_SHOWN]


def page(sandbox: Sandbox, query: Mapping[str, str], about: list[Obj] | None = None) -> str:
    """Return the page of one account: a view of it, or one object."""
    slugs = sorted(sandbox.world.books)
    wanted = query.get("object", "").strip()
    slug = query.get("account") or _owner(sandbox, wanted)
    if slug not in sandbox.world.books:
        slug = slugs[0] if slugs else ""
    view = query.get("view", "payments")
    view = view if view in TABS else "payments"
    parts = [_head(sandbox, slugs, slug, "" if wanted else view, wanted)]
    book = sandbox.world.books.get(slug)
    if view == "faults" and not wanted:
        parts.append(_faults(sandbox, slug))
    elif view == "clock" and not wanted:
        parts.append(_clock(sandbox, slug))
    elif view == "cards" and not wanted:
        parts.append(_cards())
    elif book is None:
        parts.append('<p class="empty">No account yet. One is opened by the first call with a key such as '
                     "<code>sk_test_studio_1</code>.</p>")  # fmt: skip
    elif wanted:
        parts.append(_object(sandbox, book, wanted, about))
    elif view == "readers":
        parts.append(_readers(sandbox, book))
    elif view == "events":
        parts.append(_events_view(sandbox, book, "failed" in query))
    else:
        parts.append(_list(sandbox, book, view))
    return frames.document(
        "Stripe sandbox", f"<main>{''.join(parts)}</main>", script="page.js", style="page.css"
    )


def _owner(sandbox: Sandbox, object_id: str) -> str:
    """Return the account that has an object, for a link that names only the object."""
    kind = kind_of(object_id) or ""
    return next((slug for slug, book in sandbox.world.books.items() if object_id in book.shelf(kind)), "")


def url(account: str, **query: str) -> str:
    """Return the address of a page of an account."""
    return "/?" + urlencode({"account": account, **query})


def _head(sandbox: Sandbox, slugs: list[str], slug: str, view: str, wanted: str) -> str:
    accounts = "".join(
        f'<a href="{escape(url(name))}"{_current(name == slug)}>{escape(name)}</a>' for name in slugs
    )
    tabs = "".join(
        f'<a href="{escape(url(slug, view=name))}"{_current(name == view)}>{title}</a>'
        for name, title in TABS.items()
    )
    armed = len(sandbox.faults.active)
    banner = (
        f'<p class="banner" role="status">{armed} fault{"s" if armed > 1 else ""} in force. '
        f'<a href="{escape(url(slug, view="faults"))}">Look</a></p>'
        if armed
        else ""
    )
    find = (
        f'<form action="/" class="find" role="search"><input type=hidden name=account value="{escape(slug)}">'
        f'<input name=object aria-label="Id of any object" placeholder="pi_…, evt_…" value="{escape(wanted)}">'
        "<button>Find</button></form>"
    )
    return (
        "<h1>Stripe sandbox</h1><p class=muted>Nothing here is real: no card is charged, no bank asked.</p>"
        f'<nav aria-label="Accounts">{accounts}</nav>{banner}{find}<nav aria-label="Views" class="tabs">{tabs}</nav>'
    )


def _current(is_current: bool) -> str:
    return " aria-current=page" if is_current else ""


def _list(sandbox: Sandbox, book: Book, name: str) -> str:
    view = VIEWS[name]
    rows = []
    for at, obj in enumerate(book.shelf(view.kind).newest_first()):
        if at == _SHOWN:
            break
        made = markup.time(obj["created"]) if "created" in obj else "—"
        rows.append(
            {
                "Id": markup.link(obj["id"], book.slug),
                **view.cells(obj),
                "Created": made,
                "Do": _actions(obj, name),
            }
        )
    total = len(book.shelf(view.kind))
    more = f"<p class=muted>The newest {_SHOWN} of {total}.</p>" if total > _SHOWN else ""
    return _extra(book, name) + markup.table(view.title, rows, f"No {view.title.lower()} yet.") + more


def _extra(book: Book, name: str) -> str:
    """Return what a view lets a person start."""
    if name == "payments":
        fields = (
            '<label>Amount <input name=amount inputmode=numeric value="2500" size=8></label>'
            '<label>Currency <input name=currency value="usd" size=4></label>'
            f"<label>Card {_card_choice('New payment')}</label>"
        )
        return markup.form("pay", book.slug, name, "Charge this card", fields)
    if name == "payouts":
        return markup.form("pay_out", book.slug, name, "Pay out what is available")
    return ""


def _actions(obj: Obj, view: str) -> str:
    """Return the forms of what can be done with an object now."""
    kind, status = obj["object"], obj.get("status")
    hidden = f'<input type=hidden name=id value="{escape(obj["id"])}">'
    forms: list[str] = []

    def add(what: str, label: str, fields: str = "") -> None:
        forms.append(markup.form(what, "", view, label, hidden + fields))

    if kind in ("payment_intent", "setup_intent") and status == "requires_action":
        forms.append(f'<a href="/_sandbox/3ds/{escape(obj["id"])}">3-D Secure…</a>')
    elif kind == "payment_intent" and status in paying.CONFIRMABLE:
        add("confirm", "Pay", _card_choice(f"Card for {obj['id']}"))
    elif kind == "payment_intent" and status == "requires_capture":
        add("capture", "Capture")
    elif kind == "payment_intent" and status == "succeeded":
        add("refund", "Refund")
    if kind == "payment_intent" and status in (*paying.CONFIRMABLE, "requires_capture"):
        add("cancel", "Cancel")
    if kind == "charge" and obj["captured"] and not obj["disputed"]:
        add("dispute", "Dispute")
    if kind == "terminal.reader" and not obj.get("deleted"):
        forms.append(f'<a class="button" href="/_sandbox/reader/{escape(obj["id"])}">Stand at it</a>')
    if kind == "refund" and status in ("succeeded", "pending"):
        add("fail_refund", "Let it fail")
    if kind == "refund" and status == "requires_action":
        add("act", "Customer acts", '<input type=hidden name=outcome value="succeeded">')
    if kind == "dispute" and status not in ("won", "lost", "warning_closed"):
        for outcome in ("won", "lost"):
            add("resolve", outcome.capitalize(), f'<input type=hidden name=outcome value="{outcome}">')
    if kind == "payout" and status in ("pending", "in_transit"):
        add("settle", "Paid", '<input type=hidden name=outcome value="paid">')
    if kind == "payout" and status in ("pending", "in_transit", "paid"):
        add("settle", "Failed", '<input type=hidden name=outcome value="failed">')
    return "".join(forms) or "—"


def _object(sandbox: Sandbox, book: Book, object_id: str, found: list[Obj] | None) -> str:
    kind = kind_of(object_id) or ""
    obj = book.shelf(kind).get(object_id)
    if obj is None:
        return f'<p class="empty">This account has no <code>{escape(object_id)}</code>.</p>'
    shown = orjson.dumps(obj, option=orjson.OPT_INDENT_2).decode()
    about: list[Obj] = found or []
    for event in () if found is not None else islice(book.shelf("event").newest_first(), _SEARCHED):
        if event["data"]["object"].get("id") == object_id or event["id"] == object_id:
            about.append(event)
        if len(about) == _SHOWN:
            break
    view = next((name for name, one in VIEWS.items() if one.kind == kind), "payments")
    return (
        f"<h2>{escape(kind.replace('_', ' '))} <code>{escape(object_id)}</code></h2>"
        f'<div class="actions">{_actions(obj, view)}</div>'
        f'<pre tabindex=0 role=region aria-label="The object">{escape(shown)}</pre>'
        + _events(sandbox, book, about, "Its events")
    )


def _readers(sandbox: Sandbox, book: Book) -> str:
    """Return the readers of an account, each with the page that is it."""
    tx = sandbox.world.begin(book.slug)
    rows = []
    for at, reader in enumerate(
        one for one in book.shelf("terminal.reader").values() if not one.get("deleted")
    ):
        if at == _READERS:
            break
        seen = persons.screen(tx, reader)
        shows = seen["asks"] if seen["plugged_in"] else "unplugged"
        asked = seen["asks"] != "nothing" and seen["amount"] and seen["currency"]
        amount = money.display(seen["amount"], seen["currency"]) if asked else ""
        rows.append({
            "Reader": f'{escape(seen["label"])}<br>{markup.link(seen["id"], book.slug)}',
            "Status": markup.status(seen["status"]),
            "Shows": escape(f"{shows} {amount}".strip()),
            "Action": escape(f"{seen['type'] or 'none'} {seen['action_status'] or ''}".strip()),
            "Do": f'<a class="button" href="/_sandbox/reader/{escape(seen["id"])}">Stand at it</a>',
        })  # fmt: skip
    codes = "".join(f"<option>{code}</option>" for code in terminal_readers.DEVICE_TYPES)
    fields = f"<label>Kind <select name=code>{codes}</select></label><label>Label <input name=label size=16></label>"
    return (
        markup.form("register", book.slug, "readers", "Register a reader", fields)
        + markup.table("Readers", rows, "No reader yet.")
        + (
            markup.form("auto_readers", book.slug, "readers", "Let somebody stand at every reader")
            + markup.form(
                "auto_readers", book.slug, "readers", "Send them away", "<input type=hidden name=off value=1>"
            )
            if rows
            else ""
        )
    )


def _events_view(sandbox: Sandbox, book: Book, only_failed: bool) -> str:
    shown: list[Obj] = []
    for event in islice(book.shelf("event").newest_first(), _SEARCHED):
        pending, well = sandbox.sender.fate(book.slug, event["id"])
        if not only_failed or pending or not well:
            shown.append(event)
        if len(shown) == _SHOWN:
            break
    endpoints = [
        {"Endpoint": f"<code>{escape(one['url'])}</code><br><code>{escape(one['id'])}</code>",
         "Status": markup.status(one["status"]), "Events": markup.text(", ".join(one["enabled_events"][:6]))}
        for one in book.shelf("webhook_endpoint").values()
    ]  # fmt: skip
    other = url(book.slug, view="events") if only_failed else url(book.slug, view="events", failed="1")
    label = "Show all" if only_failed else "Show only those not delivered"
    return (
        markup.table("Webhook endpoints", endpoints, "No endpoint listens.")
        + f'<p><a href="{escape(other)}">{label}</a></p>'
        + _events(sandbox, book, shown, "Events")
    )


def _events(sandbox: Sandbox, book: Book, events: list[Obj], title: str) -> str:
    rows = []
    for event in events:
        deliveries = sandbox.sender.by_event.get((book.slug, event["id"]), [])
        hidden = f'<input type=hidden name=id value="{escape(event["id"])}">'
        forms = markup.form("resend", "", "events", "Resend", hidden)
        if any(one.status == "pending" for one in deliveries):
            seconds = '<input type=hidden name=seconds value="60">'
            forms += markup.form("delay", "", "events", "Delay 60 s", hidden + seconds)
            forms += markup.form("drop", "", "events", "Drop", hidden)
        about = event["data"]["object"].get("id")
        rows.append(
            {
                "Event": f"{escape(event['type'])}<br>{markup.link(event['id'], book.slug)}",
                "About": markup.link(about, book.slug),
                "When": markup.time(event["created"]),
                "Deliveries": "<br>".join(map(_delivery, deliveries)) or "—",
                "Do": forms,
            }
        )
    return markup.table(title, rows, "No event yet.")


def _delivery(one: Delivery) -> str:
    last = f", last: {one.history[-1].get('status') or one.history[-1].get('error')}" if one.history else ""
    told = f"{one.endpoint}, {one.attempts} tried{last}"
    return f"{markup.status(one.status)} <span class=muted>{escape(told)}</span>"


def _faults(sandbox: Sandbox, slug: str) -> str:
    rows = []
    for fault in sandbox.faults.active:
        often = "always" if fault.times is None else f"{fault.struck} of {fault.times}"
        chance = f", {fault.probability:.0%} (seed {fault.seed})" if fault.probability < 1 else ""
        match = ", ".join(f"{name} {value}" for name, value in fault.match.items()) or "everything"
        remove = markup.form(
            "remove_fault", slug, "faults", "Remove", f'<input type=hidden name=fault value="{fault.id}">'
        )
        rows.append({"Fault": f"<code>{escape(fault.kind)}</code>", "Strikes": escape(match),
                     "How often": f"{often}{chance}, struck {fault.struck}", "Do": remove})  # fmt: skip
    kinds = "".join(f"<option>{kind}</option>" for kind in sorted(STAGES))
    fields = (
        f"<label>Fault <select name=kind>{kinds}</select></label>"
        f'<label>Account <input name=account value="{escape(slug)}" size=12></label>'
        '<label>Method <select name=method><option value="">any</option><option>GET</option><option>POST</option>'
        "<option>DELETE</option></select></label>"
        '<label>Path (regular expression) <input name=path placeholder="/v1/refunds" size=18></label>'
        '<label>Operation <input name=operation placeholder="payment_intents.create" size=22></label>'
        '<label>Card <input name=card placeholder="visa" size=12></label>'
        '<label>Reader <input name=reader placeholder="tmr_…" size=12></label>'
        '<label>Event <input name=type placeholder="charge.updated" size=18></label>'
        '<label>Times <input name=times inputmode=numeric value="1" size=4></label>'
        '<label>Probability <input name=probability placeholder="0.1" size=4></label>'
        "<label>Seed <input name=seed inputmode=numeric size=4></label>"
        "<label>Milliseconds <input name=ms inputmode=numeric size=6></label>"
    )
    clear = markup.form("clear_faults", slug, "faults", "Remove all") if rows else ""
    return markup.table("Faults in force", rows, "No fault: everything works.") + clear + (
        "<h2>Arm a fault</h2><p class=muted>Empty fields match everything. Without a number of times, a fault strikes "
        "always, or with the probability given.</p>" + markup.form("add_fault", slug, "faults", "Arm", fields)
    )  # fmt: skip


def _clock(sandbox: Sandbox, slug: str) -> str:
    steps = (
        ("Hour", 3600),
        ("Day", 86400),
        ("3 days", 3 * 86400),
        ("7 days", 7 * 86400),
        ("30 days", 30 * 86400),
    )
    buttons = "".join(
        markup.form("advance", slug, "clock", label, f'<input type=hidden name=advance value="{seconds}">')
        for label, seconds in steps
    )
    by_hand = "<label>Seconds <input name=advance inputmode=numeric size=8 required></label>"
    return (
        f"<h2>Clock</h2><p>It is <strong>{markup.time(sandbox.clock.now())}</strong>, "
        f"{sandbox.clock.offset:.0f} s ahead of the machine. It only goes forward, for every account.</p>"
        f'<div class="actions">{buttons}</div>{markup.form("advance", slug, "clock", "Go forward", by_hand)}'
    )


def _cards() -> str:
    rows = []
    for card in cards.CARDS:
        does = "authenticates, then pays" if card.challenge != "never" else "pays"
        if card.decline:
            does = ("authenticates, then: " if card.challenge != "never" else "") + (
                card.decline.decline_code or card.decline.code
            )
        if card.refund != "succeeded":
            does = f"pays; a refund is {card.refund.replace('_', ' ')}"
        if card.dispute:
            does = f"pays; then: {card.dispute.replace('_', ' ')}"
        copy = f'<button type=button data-copy="{card.number}" aria-label="Copy {card.number}">Copy</button>'
        rows.append({"Number": f"<code>{card.number}</code> {copy}",
                     "Id": f"<code>pm_card_{card.name}</code>", "What it does": escape(does)})  # fmt: skip
    note = "<p class=muted>Any future date, any three digits (four for Amex).</p>"
    return markup.table("Test cards", rows, "") + note


def _card_choice(label: str) -> str:
    options = "".join(
        f'<option value="pm_card_{card.name}">{card.name} ({card.last4})</option>' for card in cards.CARDS
    )
    return f'<select name=card aria-label="{escape(label)}">{options}</select>'
