"""The one table that a chaos run prints at its end."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Row:
    """One kind of fault on one engine."""

    engine: str
    fault: str
    times: int = 0
    accepted: int = 0
    lost: int = 0
    duplicated: int = 0
    backwards: int = 0
    recoveries: list[float] = field(default_factory=list)
    """Seconds from each fault's end until a new event was accepted and reconciled."""
    late: int = 0
    """How often it did not recover in time."""

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.duplicated or self.backwards or self.late)


HEADINGS = ("engine", "fault", "times", "accepted", "lost", "duplicated", "backwards", "recovery s, median", "max")


def render(rows: Iterable[Row]) -> str:
    """As a Markdown table, aligned, so that a terminal and docs/reliability.md show the same."""
    cells = [list(HEADINGS), *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    lines = [
        "| " + " | ".join(_pad(text, width, n) for n, (text, width) in enumerate(zip(line, widths, strict=True))) + " |"
        for line in cells
    ]
    rule = "|" + "|".join("-" * (width + 1) + (":" if n > 1 else "-") for n, width in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _cells(row: Row) -> list[str]:
    median = f"{statistics.median(row.recoveries):.1f}" if row.recoveries else "–"
    longest = f"{max(row.recoveries):.1f}" if row.recoveries else "–"
    if row.late:
        longest = f"{row.late} NOT IN TIME"
    counts = (row.times, row.accepted, row.lost, row.duplicated, row.backwards)
    return [row.engine, row.fault, *map(str, counts), median, longest]


def _line(cells: list[str], widths: list[int]) -> str:
    return (
        "| "
        + " | ".join(_pad(text, width, n) for n, (text, width) in enumerate(zip(cells, widths, strict=True)))
        + " |"
    )


def _pad(text: str, width: int, column: int) -> str:
    return text.ljust(width) if column < 2 else text.rjust(width)
