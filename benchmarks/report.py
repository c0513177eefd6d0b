"""What a run says: tables while it goes on, and at its end whether all that is required was reached."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


class Void(Exception):
    """A measurement that says nothing: what was answered with 2xx is not what SQL holds, or something broke."""


@dataclass(frozen=True)
class Requirement:
    """One bound of docs/benchmarks.md, and what was measured; NaN where it could not be."""

    what: str
    measured: float
    bound: float
    is_least: bool
    """Whether `bound` is the least that will do, and not the most."""

    @property
    def is_measured(self) -> bool:
        return not math.isnan(self.measured)

    @property
    def is_met(self) -> bool:
        return self.measured >= self.bound if self.is_least else self.measured <= self.bound


class Report:
    """Prints as it goes, so that a run that is broken off has said something."""

    def __init__(self) -> None:
        self.requirements: list[Requirement] = []
        self.broken: list[str] = []

    def say(self, text: str) -> None:
        print(text, flush=True)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str | float]]) -> None:
        """The first column is text, the others are figures; NaN is shown as a dash."""
        shown = [list(columns), *([_shown(cell) for cell in row] for row in rows)]
        widths = [max(len(row[index]) for row in shown) for index in range(len(columns))]
        self.say(f"\n{title}")
        for row in shown:
            first, *others = (
                cell.ljust(width) if index == 0 else cell.rjust(width)
                for index, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            self.say("  ".join(["", first, *others]).rstrip())

    def require(self, what: str, measured: float, *, least: float | None = None, most: float | None = None) -> None:
        """Notes a bound, `least` or `most`; a measurement of NaN is one that could not be made."""
        bound = least if least is not None else most
        assert bound is not None
        self.requirements.append(Requirement(what, measured, bound, least is not None))

    def fail(self, part: str, why: str) -> None:
        """Notes that a part says nothing."""
        self.say(f"\n{part} is void: {why}")
        self.broken.append(part)

    def conclude(self) -> bool:
        """Prints what is required and whether it was reached; returns whether nothing was missed."""
        if self.requirements:
            rows = [
                (one.what, one.measured, f"{'≥' if one.is_least else '≤'} {_shown(one.bound)}", _verdict(one))
                for one in self.requirements
            ]
            self.table("Required", ("what", "measured", "bound", ""), rows)
        for part in self.broken:
            self.say(f"Void: {part}")
        return not self.broken and all(one.is_met for one in self.requirements if one.is_measured)


def _verdict(requirement: Requirement) -> str:
    if not requirement.is_measured:
        return "not measured"
    return "reached" if requirement.is_met else "MISSED"


def _shown(cell: str | float) -> str:
    if isinstance(cell, str):
        return cell
    if math.isnan(cell):
        return "–"
    return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.1f}" if abs(cell) >= 10 else f"{cell:.2f}"
