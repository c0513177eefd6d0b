"""What a table is made of: named columns of a few kinds, and rows that are handled a batch at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Any

#: The values of one column in one batch. Their type is what the column's kind says, which no checker can see.
Values = Sequence[Any]
Convert = Callable[[Values], Iterable[Any]]

#: Rows taken from the source at a time. A column's values are converted together, which is twice as fast as one by one;
#: more rows make it no faster, and the source would run further ahead of its reader.
_BATCH = 64


class ColumnKind(StrEnum):
    TEXT = auto()
    """str | None"""
    AMOUNT = auto()
    """Decimal | None, finite"""
    TIMESTAMP = auto()
    """aware datetime | None"""
    COUNT = auto()
    """int | None"""


@dataclass(frozen=True)
class Column:
    name: str
    kind: ColumnKind
    sums_by: tuple[str, ...] = ()
    """Of an amount: the columns by whose values a workbook tells its exact sums, its currency first."""


def converted_batches(rows: Iterable[Sequence[object]], converts: Sequence[Convert]) -> Iterator[list[tuple[Any, ...]]]:
    """The rows in small batches, each column's values through its own `convert`. Raises ValueError for a row with
    other columns than the table."""
    source = iter(rows)
    while batch := list(itertools.islice(source, _BATCH)):
        by_column = zip(*batch, strict=True)
        columns = [convert(values) for convert, values in zip(converts, by_column, strict=True)]
        yield list(zip(*columns, strict=True))
