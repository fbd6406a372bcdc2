"""Small charts as inline SVG, drawn here: no script, no style of their own, and a sentence that says what they show."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils import timezone

WIDTH, HEIGHT = 600, 120
SMALL_WIDTH, SMALL_HEIGHT = 96, 24
PAD = 2


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart: its name, its class in the style sheet, and the path of its points."""

    name: str
    tone: str
    path: str
    most: str
    newest: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart as the template draws it."""

    title: str
    label: str
    series: tuple[Series, ...]
    top: str
    since: str
    until: str
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def is_empty(self) -> bool:
        return not any(one.path for one in self.series)


Values = Sequence[tuple[datetime.datetime, float | None]]


def chart(
    title: str,
    lines: Sequence[tuple[str, str, Values]],
    *,
    now: datetime.datetime,
    within: datetime.timedelta,
    unit: str = "",
) -> Chart:
    """Draw lines over the same stretch of time, on one scale that starts at zero."""
    top = max((value for _name, _tone, values in lines for _at, value in values if value), default=0.0)
    series = tuple(
        Series(
            name,
            tone,
            _path(values, top=top, now=now, within=within, width=WIDTH, height=HEIGHT),
            _shown(max((value for _at, value in values if value is not None), default=0.0), unit),
            _shown(next((value for _at, value in reversed(values) if value is not None), 0.0), unit),
        )
        for name, tone, values in lines
    )
    label = f"{title}: " + "; ".join(f"{one.name} {one.newest}, {one.most} ↑" for one in series)
    return Chart(
        title,
        label,
        series,
        _shown(top, unit),
        f"{timezone.localtime(now - within):%H:%M}",
        f"{timezone.localtime(now):%H:%M}",
    )


def spark(values: Values, *, now: datetime.datetime, within: datetime.timedelta) -> str:
    """Return the path of a line small enough for a table's cell; "" where there is nothing to draw."""
    top = max((value for _at, value in values if value), default=0.0)
    return _path(values, top=top, now=now, within=within, width=SMALL_WIDTH, height=SMALL_HEIGHT)


def _path(
    values: Values,
    *,
    top: float,
    now: datetime.datetime,
    within: datetime.timedelta,
    width: int,
    height: int,
) -> str:
    """Join the points; where nobody looked, the line has a gap."""
    parts, is_drawing = [], False
    whole = within.total_seconds()
    for at, value in values:
        if value is None:
            is_drawing = False
            continue
        x = PAD + (width - 2 * PAD) * (1 - min(max((now - at).total_seconds() / whole, 0.0), 1.0))
        y = height - PAD - (height - 2 * PAD) * (value / top if top else 0.0)
        parts.append(f"{'L' if is_drawing else 'M'}{x:.1f} {y:.1f}")
        if not is_drawing:
            parts.append("h.1")  # a lone point is seen too
        is_drawing = True
    return "".join(parts)


def _shown(value: float, unit: str) -> str:
    if unit == "s":
        return span(value)
    return f"{value:,.0f}"


def span(seconds: float | None) -> str:
    """Write a stretch of time as people on call read it: 12 ms, 1.4 s, 3 min, 2 h, 4 d."""
    if seconds is None:
        return "–"  # noqa: RUF001 - a dash for people
    for below, divisor, unit in ((60, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < below:
            if unit == "s" and seconds < 1:
                return f"{seconds * 1000:.0f} ms"
            return (
                f"{seconds / divisor:.1f} s"
                if unit == "s" and seconds < 10
                else f"{seconds / divisor:.0f} {unit}"
            )
    return f"{seconds / 86_400:.0f} d"
