"""A business's own colours as a style sheet of its own: the pages' security policy allows no inline styles.

Owners pick colours for their looks; people must be able to read them. What is written on the button colour is
black or white, whichever contrasts more, and a text colour that cannot be read on its background is replaced.
"""

from __future__ import annotations

import hashlib
import re

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from web.core.models import Business

NEARLY_READABLE = 3.0  # white on a button: from here on the button is deepened a little until it is readable
READABLE = 4.5  # WCAG 2.2 AA: the least contrast of text on its background
VISIBLE = 3.0  # WCAG 2.2 AA: the least contrast of a control against what is around it
BLACK, WHITE = "#12263F", "#FFFFFF"
DANGER = "#B3261E"  # --danger-text in the light theme of paydesk.css
LIGHT_SUNKEN = "#F4F6FA"  # --sunken in the light theme of paydesk.css
DARK_SURFACE = "#18202C"  # --surface in the dark theme of paydesk.css
CACHE_SECONDS = 31_536_000  # a year: the address changes with the colours
HEX = re.compile(r"#[0-9A-Fa-f]{6}")
FONT = re.compile(r"[\w .-]{1,60}")


def luminance(color: str) -> float:
    """Give the relative luminance of a colour like #EC2660 as WCAG defines it: 0 is black, 1 white."""
    channels = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Give the contrast of two colours, from 1 (none) to 21 (black on white)."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def text_on(background: str) -> str:
    """Choose the colour of text that is read best on this background."""
    pure_black = "#000000"
    if contrast(BLACK, background) >= READABLE:
        return BLACK
    return WHITE if contrast(WHITE, background) >= contrast(pure_black, background) else pure_black


def button_pair(button: str) -> tuple[str, str]:
    """Choose a button's colour and what is written on it: the owner's colour, deepened a little if need be.

    Most brand colours are made for white text and miss the contrast by a hair; black on them looks wrong.
    """
    if contrast(WHITE, button) < NEARLY_READABLE:
        return button, text_on(button)
    for step in range(51):
        deepened = mix(button, "#000000", step / 100)
        if contrast(WHITE, deepened) >= READABLE:
            return deepened, WHITE
    return button, text_on(button)


def readable(text: str, background: str) -> str:
    """Keep a text colour that can be read on its background, else choose one that can."""
    return text if contrast(text, background) >= READABLE else text_on(background)


def mix(color: str, other: str, share: float) -> str:
    """Blend `share` (0 to 1) of another colour into a colour."""
    pairs = ((int(color[at : at + 2], 16), int(other[at : at + 2], 16)) for at in (1, 3, 5))
    return "#" + "".join(f"{round(a * (1 - share) + b * share):02X}" for a, b in pairs)


def visible_on(color: str, background: str, least: float) -> str:
    """Move a colour towards the text colour of its background until it has the contrast needed."""
    towards = WHITE if luminance(background) < 0.18 else "#000000"
    for step in range(11):
        moved = mix(color, towards, step / 10)
        if contrast(moved, background) >= least:
            return moved
    return towards


def _link_on(button: str, background: str) -> str:
    """Make the button's colour readable as a link, on the page and on the sunken parts of a light one."""
    link = visible_on(button, background, READABLE)
    return visible_on(link, LIGHT_SUNKEN, READABLE) if luminance(background) > luminance(link) else link


def stylesheet(business: Business) -> str:
    """Write the business's colours as CSS variables, for the light and the dark theme."""
    button = _color(business.button_color, "#EC2660")
    background = _color(business.background_color, WHITE)
    header = _color(business.header_color, "#EDF1F7")
    text = readable(_color(business.text_color, BLACK), background)
    button, on_button = button_pair(button)
    pressed = mix(button, "#000000" if on_button == WHITE else WHITE, 0.14)
    dark_button, on_dark_button = button_pair(visible_on(button, DARK_SURFACE, VISIBLE))
    muted = mix(text, background, 0.3)
    font = f':root{{--brand-font:"{business.font}",}}\n' if FONT.fullmatch(business.font) else ""
    light = (
        f"--brand:{button};--brand-pressed:{pressed};--on-brand:{on_button};"
        f"--brand-text:{_link_on(button, background)};"
        f"--header:{header};--on-header:{readable(text, header)};"
        f"--page:{background};--surface:{background};--text:{text};"
        f"--muted:{muted if contrast(muted, background) >= READABLE else text};"
        f"--danger-text:{visible_on(DANGER, background, READABLE)};"
    )
    dark = (
        f"--brand:{dark_button};"
        f"--brand-pressed:{mix(dark_button, '#000000' if on_dark_button == WHITE else WHITE, 0.14)};"
        f"--on-brand:{on_dark_button};--brand-text:{visible_on(button, DARK_SURFACE, READABLE)};"
    )
    return (
        f"{font}@media print,not all and (prefers-color-scheme:dark){{:root{{{light}}}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
    )


def version(business: Business) -> str:
    """Name this state of the colours: it stands in the address, which can so be cached for ever."""
    return hashlib.sha256(stylesheet(business).encode()).hexdigest()[:12]


def stylesheet_url(business: Business) -> str:
    """Give the address of the business's style sheet, new whenever its colours change."""
    return f"{reverse('branding')}?v={version(business)}"


@require_safe
def branding(request: HttpRequest) -> HttpResponse:
    """Serve /branding.css."""
    business: Business = request.business  # type: ignore[attr-defined]
    response = HttpResponse(stylesheet(business), content_type="text/css; charset=utf-8")
    is_current = request.GET.get("v") == version(business)
    response["Cache-Control"] = f"public, max-age={CACHE_SECONDS}, immutable" if is_current else "no-cache"
    return response


def _color(value: str, default: str) -> str:
    """Accept only #RRGGBB: a row written past the form must not write CSS of its own."""
    return value.upper() if HEX.fullmatch(value or "") else default
