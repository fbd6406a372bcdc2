"""What a browser gets: script and frames for a checkout page, 3-D Secure, receipts, the page for people."""

from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from aiohttp import web

from sandbox import clicks, console, frames, money, reader_page
from sandbox.control import intent_for_page, opened
from sandbox.errors import StripeError
from sandbox.playing import authenticate
from sandbox.server import CORS, Sandbox
from sandbox.world import Obj

_STATIC = {path.name: path.read_bytes() for path in (Path(__file__).parent / "static").iterdir()}
_TYPES = {".js": "text/javascript", ".css": "text/css"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; "
)


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
            about = await console.events_about(sandbox, request.query)
            return _page(console.page(sandbox, request.query, about))
        if path.startswith("/_sandbox/receipts/"):
            return _receipt(sandbox, path.removeprefix("/_sandbox/receipts/").split("/"))
    try:
        if method in ("GET", "HEAD") and path.startswith("/_sandbox/reader/"):
            tx, reader = opened(sandbox, "terminal.reader", path.removeprefix("/_sandbox/reader/"))
            return _page(reader_page.page(tx, reader)) if not reader.get("deleted") else _not_found()
        if path.startswith("/_sandbox/3ds/"):
            return await _challenge(sandbox, request, path.removeprefix("/_sandbox/3ds/"))
        if method == "POST" and path.startswith("/_sandbox/play/") and _same_origin(request):
            return await _play(sandbox, request, path.removeprefix("/_sandbox/play/"))
    except (KeyError, TypeError, ValueError) as error:
        return _page(
            frames.message("That did not work", f"Something in the form is not understood: {error}"),
            status=400,
        )
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
    """Do what a person clicked, and show the page they were on."""
    pairs = parse_qsl((await request.read()).decode(errors="replace"), keep_blank_values=True)
    form = clicks.Form(pairs)
    to = await clicks.click(sandbox, what, form, f"http://{request.host}")
    return web.Response(status=303, headers={"Location": to}) if to else _not_found()


def _receipt(sandbox: Sandbox, parts: list[str]) -> web.Response:
    book = sandbox.world.books.get(parts[0])
    charge = book.shelf("charge").get(parts[-1]) if book else None
    if charge is None:
        return _not_found()
    amount = money.display(charge["amount_captured"] or charge["amount"], charge["currency"])
    return _page(frames.message("Receipt", f"{amount}, {charge['status']}, charge {charge['id']}"))
