"""What a browser gets: script and frames for a checkout page, 3-D Secure, receipts, the page of books.

The page at ``/`` lets a person play the customer and see what happened. It is plain HTML, works without a
script, and everything written into it is escaped.
"""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from aiohttp import web

from sandbox import cards, frames, money
from sandbox.api import paying
from sandbox.control import find_account, intent_for_page
from sandbox.errors import StripeError
from sandbox.playing import authenticate
from sandbox.server import CORS, Sandbox
from sandbox.world import Book, Obj

_STATIC = {path.name: path.read_bytes() for path in (Path(__file__).parent / "static").iterdir()}
_TYPES = {".js": "text/javascript", ".css": "text/css"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; "
)
_SHOWN = 50  # rows of a table on the page; the control API has everything


async def handle(sandbox: Sandbox, request: web.BaseRequest) -> web.StreamResponse:
    """Answer a browser's request for a page, a frame or a file."""
    path, method = request.path, request.method
    if method in ("GET", "HEAD"):
        if path in ("/stripe.js", "/endive/stripe.js", "/v3/", "/v3"):
            return _file("stripe.js")
        if path.startswith("/_sandbox/static/"):
            return _file(path.removeprefix("/_sandbox/static/"))
        if path.startswith("/_sandbox/elements/"):
            frame = frames.ELEMENTS.get(path.removeprefix("/_sandbox/elements/"))
            return _page(frame, framed=True) if frame else _not_found()
        if path == "/":
            return _page(_books_page(sandbox, request.query.get("account")))
        if path.startswith("/_sandbox/receipts/"):
            return _receipt(sandbox, path.removeprefix("/_sandbox/receipts/").split("/"))
    try:
        if path.startswith("/_sandbox/3ds/"):
            return await _challenge(sandbox, request, path.removeprefix("/_sandbox/3ds/"))
        if method == "POST" and path.startswith("/_sandbox/play/") and _same_origin(request):
            return await _play(sandbox, request, path.removeprefix("/_sandbox/play/"))
    except StripeError as error:
        return _page(frames.message("That did not work", error.message), status=error.status)
    return _not_found()


def _file(name: str) -> web.Response:
    body = _STATIC.get(name)
    if body is None:
        return _not_found()
    kind = _TYPES.get(Path(name).suffix, "application/octet-stream")
    headers = {**CORS, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff",
               "Cross-Origin-Resource-Policy": "cross-origin"}  # fmt: skip
    return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)


def _page(text: str, *, status: int = 200, framed: bool = False) -> web.Response:
    policy = _POLICY + ("form-action *" if framed else "form-action 'self'; frame-ancestors 'none'")
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
    }
    return web.Response(text=text, status=status, content_type="text/html", headers=headers)


def _not_found() -> web.Response:
    return _page(frames.message("Not found", "The sandbox has no such page."), status=404)


def _same_origin(request: web.BaseRequest) -> bool:
    """Refuse forms that another site's page sends."""
    origin = request.headers.get("Origin")
    return origin in (None, f"http://{request.host}")


async def _challenge(sandbox: Sandbox, request: web.BaseRequest, intent_id: str) -> web.StreamResponse:
    """Show 3-D Secure, or finish it and go where the shop wanted the customer to return."""
    tx, intent = intent_for_page(sandbox, intent_id, f"http://{request.host}")
    if request.method == "GET":
        waiting = intent["status"] == "requires_action"
        amount = money.display(intent["amount"], intent["currency"]) if "amount" in intent else None
        return _page(frames.challenge(intent_id, amount, waiting=waiting), framed=True)
    if request.method != "POST" or not _same_origin(request):
        return _not_found()
    outcome = dict(parse_qsl((await request.read()).decode(errors="replace"))).get("outcome")
    action: Obj = intent["next_action"] or {}
    return_url = (action.get("redirect_to_url") or {}).get("return_url")
    done = authenticate(tx, intent, outcome == "authorise")
    tx.commit()
    await sandbox.store.settled()
    if not return_url:
        return _page(
            frames.message("Done", f"The payment is now: {done['status']}. You can close this page.")
        )
    parts = urlsplit(return_url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    good = done["status"] in ("succeeded", "requires_capture")
    query.update(
        **{intent["object"]: intent_id, f"{intent['object']}_client_secret": intent["client_secret"]},
        redirect_status="succeeded" if good else "failed",
    )
    return web.Response(status=303, headers={"Location": urlunsplit(parts._replace(query=urlencode(query)))})


async def _play(sandbox: Sandbox, request: web.BaseRequest, what: str) -> web.StreamResponse:
    """Do what a person clicked on the page of books."""
    form = dict(parse_qsl((await request.read()).decode(errors="replace")))
    object_id = form.get("id", "")
    if what == "resend":
        account = find_account(sandbox, "event", object_id)
        sandbox.sender.resend(account, object_id)
    elif what == "confirm":
        tx, intent = intent_for_page(sandbox, object_id, f"http://{request.host}")
        account = tx.book.slug
        try:
            paying.confirm(tx, intent, {"payment_method": form.get("card", ""), "use_stripe_sdk": True})
        except StripeError as error:
            if error.status != 402:
                raise
        tx.commit()
    else:
        return _not_found()
    await sandbox.store.settled()
    return web.Response(status=303, headers={"Location": f"/?account={account}"})


def _receipt(sandbox: Sandbox, parts: list[str]) -> web.Response:
    book = sandbox.world.books.get(parts[0])
    charge = book.shelf("charge").get(parts[-1]) if book else None
    if charge is None:
        return _not_found()
    amount = money.display(charge["amount_captured"] or charge["amount"], charge["currency"])
    return _page(frames.message("Receipt", f"{amount}, {charge['status']}, charge {charge['id']}"))


def _books_page(sandbox: Sandbox, wanted: str | None) -> str:
    """Return the page of one account's books; the first account when none is named."""
    slugs = sorted(sandbox.world.books)
    slug = wanted if wanted in sandbox.world.books else (slugs[0] if slugs else None)
    links = "".join(
        f'<a href="/?account={escape(name)}"{" aria-current=page" if name == slug else ""}>{escape(name)}</a>'
        for name in slugs
    )
    parts = [
        "<h1>Stripe sandbox</h1><p class=muted>Nothing here is real: no card is charged, no bank asked.</p>",
        f'<nav aria-label="Accounts">{links}</nav>',
    ]
    if slug is None:
        parts.append('<p class="empty">No account yet. One is opened by the first call with a key such as '
                     "<code>sk_test_studio_1</code>.</p>")  # fmt: skip
    else:
        book = sandbox.world.books[slug]
        parts += [_intents(book), _events(sandbox, book)]
    parts.append(_cards())
    return frames.document(
        "Stripe sandbox", f"<main>{''.join(parts)}</main>", script="page.js", style="page.css"
    )


def _intents(book: Book) -> str:
    rows = []
    for at, intent in enumerate(book.shelf("payment_intent").newest_first()):
        if at == _SHOWN:
            break
        rows.append(
            {
                "Intent": f"<code>{escape(intent['id'])}</code><br>{_labels(intent['metadata'])}",
                "Amount": f'<span class="number">{money.display(intent["amount"], intent["currency"])}</span>',
                "Status": _status(intent["status"]),
                "Play the customer": _play_form(intent),
            }
        )
    return _table("Payment intents", rows, "No payment intent yet.")


def _play_form(intent: Obj) -> str:
    intent_id = escape(intent["id"])
    if intent["status"] == "requires_action":
        return f'<a href="/_sandbox/3ds/{intent_id}">3-D Secure…</a>'
    if intent["status"] not in paying.CONFIRMABLE:
        return "—"
    choices = "".join(
        f'<option value="pm_card_{card.name}">{card.name} ({card.last4})</option>' for card in cards.CARDS
    )
    return (
        f'<form method=post action="/_sandbox/play/confirm"><input type=hidden name=id value="{intent_id}">'
        f'<select name=card aria-label="Card for {intent_id}">{choices}</select><button>Pay</button></form>'
    )


def _events(sandbox: Sandbox, book: Book) -> str:
    rows = []
    for at, event in enumerate(book.shelf("event").newest_first()):
        if at == _SHOWN:
            break
        sent = [
            f"{_status(one.status)} <span class=muted>{escape(one.endpoint)}, {one.attempts} tried"
            f"{escape(_last(one.history))}</span>"
            for one in sandbox.sender.by_event.get((book.slug, event["id"]), [])
        ]
        rows.append(
            {
                "Event": f"{escape(event['type'])}<br><code>{escape(event['id'])}</code>",
                "About": f"<code>{escape(event['data']['object']['id'])}</code>",
                "Deliveries": "<br>".join(sent) or "—",
                "Again": '<form method=post action="/_sandbox/play/resend">'
                f'<input type=hidden name=id value="{escape(event["id"])}"><button>Resend</button></form>',
            }
        )
    return _table("Events", rows, "No event yet.")


def _last(history: list[Obj]) -> str:
    return f", last: {history[-1].get('status') or history[-1].get('error')}" if history else ""


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
        copy = f'<button type=button data-copy="{card.number}" aria-label="Copy {card.number}">Copy</button>'
        rows.append({"Number": f"<code>{card.number}</code> {copy}",
                     "Id": f"<code>pm_card_{card.name}</code>", "What it does": escape(does)})  # fmt: skip
    return (
        _table("Test cards", rows, "")
        + "<p class=muted>Any future date, any three digits (four for Amex).</p>"
    )


def _status(status: str) -> str:
    return f'<span class="status {escape(status)}">{escape(status.replace("_", " "))}</span>'


def _labels(metadata: Mapping[str, str]) -> str:
    text = ", ".join(f"{name}: {value}" for name, value in metadata.items())
    return f"<span class=muted>{escape(text)}</span>"


def _table(title: str, rows: list[dict[str, str]], nothing: str) -> str:
    if not rows:
        return f'<h2>{escape(title)}</h2><p class="empty">{escape(nothing)}</p>'
    head = "".join(f"<th scope=col>{name}</th>" for name in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{value}</td>" for value in row.values()) + "</tr>" for row in rows)
    return (
        f'<h2>{escape(title)}</h2><div class="scroll" tabindex=0 role=region aria-label="{escape(title)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
