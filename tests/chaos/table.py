"""The one table that a chaos run prints at its end."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
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
    rates: list[tuple[float, float]] = field(default_factory=list)
    """Transactions reconciled a second before and after each."""

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.duplicated or self.backwards or self.late)


HEADINGS = ("engine", "fault", "times", "accepted", "lost", "duplicated", "backwards", "recovery s, median", "max")


def add_up(rows: Iterable[Row]) -> list[Row]:
    """One row for each engine and fault, of any number of runs."""
    sums: dict[tuple[str, str], Row] = {}
    for row in rows:
        known = sums.setdefault((row.engine, row.fault), Row(row.engine, row.fault))
        for name in ("times", "accepted", "lost", "duplicated", "backwards", "late"):
            setattr(known, name, getattr(known, name) + getattr(row, name))
        known.recoveries += row.recoveries
        known.rates += row.rates
    return list(sums.values())


def describe_recoveries(rows: Sequence[Row]) -> list[str]:
    """A line for each engine: faults, recovery by percentiles, and what was lost, duplicated or went backwards."""
    lines = []
    for engine in dict.fromkeys(row.engine for row in rows):
        mine = [row for row in rows if row.engine == engine]
        took = sorted(second for row in mine for second in row.recoveries)
        if len(took) < 2:
            continue
        cuts = statistics.quantiles(took, n=100, method="inclusive")
        faults, lost = sum(row.times for row in mine), sum(row.lost for row in mine)
        duplicated, backwards = sum(row.duplicated for row in mine), sum(row.backwards for row in mine)
        lines.append(
            f"{engine}: {faults:,} faults, recovery p50 {cuts[49]:.1f} s, p95 {cuts[94]:.1f} s, p99 {cuts[98]:.1f} s, "
            f"longest {took[-1]:.1f} s; {lost} lost, {duplicated} duplicated, {backwards} backwards, "
            f"{sum(row.late for row in mine)} not in time"
        )
    return lines


def describe_rates(rows: Iterable[Row]) -> list[str]:
    """A line for each fault around which throughput was measured."""
    return [
        f"{row.engine}: {row.fault}: {before:.0f}/s before, {after:.0f}/s after, after ÷ before "
        f"{after / before if before else 0:.2f}"
        for row in rows
        for before, after in row.rates
    ]


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


def _pad(text: str, width: int, column: int) -> str:
    return text.ljust(width) if column < 2 else text.rjust(width)
