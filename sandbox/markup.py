"""Pieces of HTML that the page for people is made of; all of them escape what they are given."""

from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from urllib.parse import urlencode

from sandbox import money
from sandbox.ids import kind_of
from sandbox.world import Obj

Row = dict[str, str]


def amount(obj: Obj, name: str = "amount") -> str:
    """Return an object's amount with its currency."""
    return f'<span class="number">{escape(money.display(obj[name], obj["currency"]))}</span>'


def status(status: str) -> str:
    """Return a status, coloured by its meaning."""
    return f'<span class="status {escape(status)}">{escape(status.replace("_", " "))}</span>'


def text(value: object) -> str:
    """Return any value, a dash for none."""
    return escape(str(value)) if value not in (None, "") else "—"


def form(what: str, account: str, view: str, label: str, fields: str = "") -> str:
    """Return a form with one button that does one thing."""
    return (
        f'<form method=post action="/_sandbox/play/{what}"><input type=hidden name=view value="{view}">'
        + (f'<input type=hidden name=in value="{escape(account)}">' if account else "")
        + f"{fields}<button>{escape(label)}</button></form>"
    )


def link(object_id: object, account: str = "") -> str:
    """Return a link to an object by its id."""
    if not isinstance(object_id, str) or kind_of(object_id) is None:
        return f"<code>{text(object_id)}</code>"
    query = {"account": account, "object": object_id} if account else {"object": object_id}
    return f'<a href="/?{escape(urlencode(query))}"><code>{escape(object_id)}</code></a>'


def labels(metadata: Mapping[str, str]) -> str:
    """Return metadata as one quiet line."""
    text = ", ".join(f"{name}: {value}" for name, value in metadata.items())
    return f"<span class=muted>{escape(text)}</span>" if text else "—"


def time(moment: float) -> str:
    """Return a moment, in UTC."""
    shown = datetime.fromtimestamp(moment, UTC)
    return (
        f'<time datetime="{shown.isoformat()}">{shown:%Y-%m-%d %H:%M:%S}</time> <span class=muted>UTC</span>'
    )


def table(title: str, rows: list[Row], nothing: str) -> str:
    """Return a table, or what to say when it is empty."""
    if not rows:
        return f'<h2>{escape(title)}</h2><p class="empty">{escape(nothing)}</p>'
    head = "".join(f"<th scope=col>{name}</th>" for name in rows[0])
    body = "".join(
        "<tr>"
        + "".join(f'<td data-label="{name}"><div>{value}</div></td>' for name, value in row.items())
        + "</tr>"
        for row in rows
    )
    return (
        f'<h2>{escape(title)}</h2><div class="scroll" tabindex=0 role=region aria-label="{escape(title)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
