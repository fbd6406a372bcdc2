"""The HTML of the frames that stand inside a shop's page, and of the small pages beside them."""

from html import escape

_COUNTRIES = {
    "US": "United States", "AU": "Australia", "AT": "Austria", "BE": "Belgium", "BR": "Brazil",
    "CA": "Canada", "DK": "Denmark", "FI": "Finland", "FR": "France", "DE": "Germany", "IE": "Ireland",
    "IT": "Italy", "JP": "Japan", "KR": "South Korea", "MX": "Mexico", "NL": "Netherlands",
    "NZ": "New Zealand", "NO": "Norway", "PL": "Poland", "PT": "Portugal", "SG": "Singapore",
    "ES": "Spain", "SE": "Sweden", "CH": "Switzerland", "GB": "United Kingdom",
}  # fmt: skip


def document(
    title: str, body: str, *, script: str | tuple[str, ...] = (), style: str = "elements.css"
) -> str:
    """Return a whole page around a body; scripts and styles are files, so a strict policy holds."""
    names = (script,) if isinstance(script, str) else script
    tags = "".join(f'<script src="/_sandbox/static/{name}" defer></script>' for name in names)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="stylesheet" href="/_sandbox/static/{style}">{tags}</head>'
        f"<body>{body}</body></html>"
    )


def message(title: str, text: str) -> str:
    """Return a page that says one thing."""
    body = f'<main><h1>{escape(title)}</h1><p>{escape(text)}</p><p><a href="/">The sandbox</a></p></main>'
    return document(title, body, style="page.css")


def _field(name: str, label: str, auto: str, placeholder: str = "", extra: str = "") -> str:
    return (
        f'<div class="field"><label for="{name}" id="{name}-label">{label}</label>'
        f'<input type="text" id="{name}" name="{name}" autocomplete="{auto}" inputmode="numeric"'
        f' spellcheck="false" placeholder="{placeholder}" aria-describedby="{name}-error" {extra}>'
        f'<p class="error" id="{name}-error" role="alert"></p></div>'
    )


def _payment() -> str:
    countries = "".join(f'<option value="{code}">{name}</option>' for code, name in _COUNTRIES.items())
    number = _field("number", "Card number", "cc-number", "1234 1234 1234 1234", 'maxlength="23"')
    body = (
        '<form id="card" novalidate><div class="row">'
        + number.replace("</div>", '<span id="brand" aria-hidden="true"></span></div>')
        + '</div><div class="row">'
        + _field("expiry", "Expiration date", "cc-exp", "MM / YY", 'maxlength="7"')
        + _field("cvc", "Security code", "cc-csc", "CVC", 'maxlength="4"')
        + '</div><div class="row"><div class="field"><label for="country">Country</label>'
        f'<select id="country" name="country" autocomplete="billing country">{countries}</select></div>'
        + _field("postal", "ZIP", "billing postal-code", "12345", 'maxlength="12"')
        + "</div></form>"
    )
    return document("Card details", body, script=("frame.js", "payment.js"))


def _wallet() -> str:
    cards = (("tok_visa", "Visa •••• 4242"), ("tok_chargeDeclined", "Declined card •••• 0002"),
             ("tok_threeDSecure2Required", "3-D Secure card •••• 3220"))  # fmt: skip
    choices = "".join(
        f'<label class="choice"><input type="radio" name="card" value="{token}"{"" if at else " checked"}>'
        f"{label}</label>"
        for at, (token, label) in enumerate(cards)
    )
    body = (
        '<div class="overlay"><form class="sheet" id="sheet" role="dialog" aria-modal="true"'
        ' aria-labelledby="title">'
        '<h1 id="title">Test wallet</h1><p>Nothing is charged: this stands for Apple Pay or Google Pay.</p>'
        f'<fieldset><legend class="label">Pay with</legend>{choices}</fieldset>'
        '<p class="error" id="note" role="alert"></p>'
        '<div class="stack"><button id="confirm">Pay</button>'
        '<button type="button" class="plain" id="cancel">Cancel</button></div></form></div>'
    )
    return document("Test wallet", body, script=("frame.js", "wallet.js"))


def challenge(intent_id: str, amount: str | None, *, waiting: bool) -> str:
    """Return the bank's page of 3-D Secure, for a frame or for a window of its own."""
    kind = "payment_intents" if amount else "setup_intents"
    forms = "".join(
        f'<form method="post" action="/_sandbox/3ds/{escape(intent_id)}" '
        f'data-control="/_sandbox/{kind}/{escape(intent_id)}/authenticate">'
        f'<input type="hidden" name="outcome" value="{outcome}"><button{style}>{label}</button></form>'
        for outcome, label, style in (
            ("authorise", "Authorise", ""),
            ("fail", "Fail authentication", ' class="plain"'),
        )
    )
    what = f"this payment of {escape(amount)}" if amount else "saving this card"
    text = f"<p>Your test bank asks: do you authorise {what}?</p>"
    if not waiting:
        text, forms = "<p>This payment does not wait for authentication.</p>", ""
    body = (
        '<div class="overlay"><main class="sheet"><h1>3-D Secure (test)</h1>'
        f'{text}<div class="stack">{forms}</div></main></div>'
    )
    return document("3-D Secure", body, script=("frame.js", "threeds.js"))


#: Name in the URL -> the frame's page.
ELEMENTS = {
    "payment": _payment(),
    "express": document(
        "Express checkout",
        '<button id="wallet" type="button" aria-label="Pay with Test wallet">Pay with Test wallet</button>',
        script=("frame.js", "express.js"),
    ),
    "wallet": _wallet(),
}
