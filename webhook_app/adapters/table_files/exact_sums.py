"""Exact sums of a table's amounts, by currency and status, added up while its rows go by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from webhook_app.adapters.table_files.columns import Column
from webhook_app.domain.money import add_amounts


@dataclass(frozen=True)
class ExactSum:
    column: str
    by: tuple[str | None, ...]
    """Values of the columns that `Column.sums_by` names."""
    count: int
    amount: Decimal | None
    """None where none of them has an amount."""


class ExactSums:
    def __init__(self, columns: Sequence[Column]) -> None:
        indexes = {column.name: at for at, column in enumerate(columns)}
        self._summed = [
            (at, column.name, [indexes[name] for name in column.sums_by])
            for at, column in enumerate(columns)
            if column.sums_by
        ]
        self._totals: dict[tuple[str, tuple[str | None, ...]], tuple[int, Decimal | None]] = {}

    def add(self, rows: Sequence[tuple[Any, ...]]) -> None:
        totals = self._totals
        for at, name, by in self._summed:
            for row in rows:
                key = name, tuple(row[index] for index in by)
                count, amount = totals.get(key, (0, None))
                totals[key] = count + 1, add_amounts(amount, row[at])

    @property
    def is_empty(self) -> bool:
        """Whether the table has no amounts that are summed up."""
        return not self._summed

    def __iter__(self) -> Iterator[ExactSum]:
        """By column, then by value; None last."""

        def order(key: tuple[str, tuple[str | None, ...]]) -> tuple[Any, ...]:
            return key[0], [(value is None, value or "") for value in key[1]]

        for key in sorted(self._totals, key=order):
            yield ExactSum(*key, *self._totals[key])
