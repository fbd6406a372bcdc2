"""CSV for people with spreadsheets: streamed row by row, and no cell that a spreadsheet would run."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from django.http import StreamingHttpResponse

BOM = "\ufeff"  # without it Excel reads Korean names as Latin-1
# A cell that begins with one of these is a formula to a spreadsheet; the last four are their wide forms.
DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")

Cell = str | int | Decimal | None


class _Echo:
    """A file that gives back what is written to it."""

    def write(self, text: str) -> str:
        return text


def safe(cell: Cell) -> str:
    """Write a cell so that nothing in it is a formula. Numbers are ours and stay numbers, also negative ones."""
    if cell is None:
        return ""
    if isinstance(cell, int | Decimal):
        return str(cell)
    text = cell.replace("\0", "")
    return (
        f"'{text}"
        if text.lstrip(" \u00a0\u3000").startswith(DANGEROUS) or text.startswith(DANGEROUS)
        else text
    )


def lines(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Iterator[str]:
    """Yield a CSV file line by line."""
    writer = csv.writer(_Echo())
    yield BOM + writer.writerow([safe(cell) for cell in header])
    for row in rows:
        yield writer.writerow([safe(cell) for cell in row])


def response(name: str, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> StreamingHttpResponse:
    """Answer with a CSV file that is written while it is sent."""
    answer = StreamingHttpResponse(lines(header, rows), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    answer["Cache-Control"] = "private, no-store"
    answer["X-Accel-Buffering"] = "no"
    return answer
