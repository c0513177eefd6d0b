"""Plots as numbers: where bars and lines of an inline SVG stand. `plots.html` draws them; no script is needed.

The drawing is stretched to the width that there is, so everything written stands beside it, in HTML. Drawing may round;
what is written never does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

#: The drawing's size in its own units: each bucket is BUCKET_WIDTH wide, everything is HEIGHT high.
BUCKET_WIDTH = 10
HEIGHT = 100
_GAP = 1.5
#: With fewer buckets than these the drawing is narrow, so that a bar does not become a wall.
_FEW, _VERY_FEW = 12, 4


@dataclass(frozen=True)
class Bar:
    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Hit:
    """The whole height of one bucket, which says its exact values when it is pointed at."""

    x: float
    text: str


@dataclass(frozen=True)
class Shade:
    """A stretch of time behind the bars, with what it means."""

    x: float
    width: float
    text: str


@dataclass(frozen=True)
class Series:
    name: str
    kind: str
    """Colour and shape, by class of the style sheet."""
    total: str
    exact: str = ""
    """All of its digits, where `total` is cut."""


@dataclass(frozen=True)
class Plot:
    name: str
    title: str
    unit: str
    series: Sequence[Series]
    top: str
    """Written at the upper edge, for its value; 0 is at the lower one."""
    middle: str
    bars: Sequence[Bar]
    hits: Sequence[Hit]
    times: Sequence[str]
    """Below the plot, evenly spaced, from edge to edge."""
    span: str
    """From when to when, in words."""
    is_empty: bool
    line: str = ""
    """Points of a polyline; empty for none."""
    shades: Sequence[Shade] = ()

    @property
    def width(self) -> int:
        return len(self.hits) * BUCKET_WIDTH

    @property
    def size(self) -> str:
        """A class of the style sheet."""
        count = len(self.hits)
        return "plot-very-few" if count < _VERY_FEW else "plot-few" if count < _FEW else ""

    @property
    def description(self) -> str:
        return (
            f"{self.span}: "
            + ", ".join(f"{series.exact or series.total} {series.name}" for series in self.series)
            + "."
        )


@dataclass(frozen=True)
class Numbers:
    """What plots show, as a table: a heading for the rows, headings of the columns, and the rows, newest first."""

    rows_are: str
    headings: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]


def nice_top(most: int) -> int:
    """A round even number that is not below `most`, so that its half can stand on the axis as well."""
    return int(nice_amount(Decimal(max(most, 1))))


def nice_amount(most: Decimal) -> Decimal:
    """The same for amounts, which may be smaller than 1."""
    size = Decimal((0, (1,), most.adjusted())) if most else Decimal(1)
    return next(digit * size for digit in (2, 4, 6, 8, 10) if digit * size >= most)


def stack(index: int, parts: Sequence[tuple[str, int | Decimal]], top: int | Decimal) -> Iterator[Bar]:
    """The bars of one bucket, each on top of the one before; kinds and values from the bottom up."""
    below = 0.0
    for kind, value in parts:
        if value:
            height = float(value / top) * HEIGHT
            x, y = index * BUCKET_WIDTH + _GAP, HEIGHT - below - height
            yield Bar(kind, x, round(y, 2), BUCKET_WIDTH - 2 * _GAP, round(height, 2))
            below += height


def level_line(values: Sequence[int], top: int) -> str:
    """Points of a line that is level across each bucket."""
    levels = [(i, round(HEIGHT - value / top * HEIGHT, 2)) for i, value in enumerate(values)]
    return " ".join(f"{i * BUCKET_WIDTH},{y} {(i + 1) * BUCKET_WIDTH},{y}" for i, y in levels)
