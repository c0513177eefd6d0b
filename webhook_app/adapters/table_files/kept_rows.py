"""Rows that are kept in a temporary file until all of them are known, for a format that has to know them first."""

from __future__ import annotations

import marshal
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from webhook_app.adapters.table_files.columns import Column, ColumnKind, converted_batches
from webhook_app.adapters.table_files.exact_sums import ExactSums
from webhook_app.domain.money import format_amount
from webhook_app.domain.timestamps import format_timestamp

#: Significant digits that a spreadsheet's numbers, which are binary floats, keep of every decimal (IEEE 754, binary64).
EXACT_DIGITS = 15

#: Rows that are packed together.
_TOGETHER = 16
_LENGTH = struct.Struct(">I")


class KeptRows:
    """Amounts and timestamps are kept as they are written. The file has no name, and is gone when it is closed."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `__exit__`
        self._amounts = [at for at, column in enumerate(columns) if column.kind is ColumnKind.AMOUNT]
        self._inexact: set[int] = set()
        self.sums = ExactSums(columns)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def keep(self, rows: Iterable[Sequence[object]]) -> None:
        """All of them. Raises ValueError for a row with other columns than the table."""
        together: list[tuple[Any, ...]] = []
        for number, batch in enumerate(converted_batches(rows, [_as_it_is] * len(self._columns)), 1):
            self.sums.add(batch)
            together += self._written(batch)
            if number % _TOGETHER == 0:
                self._pack(together)
                together = []
        self._pack(together)

    def is_exact(self, at: int) -> bool:
        """Whether a spreadsheet's numbers keep every value of that column of amounts."""
        return at not in self._inexact

    def batches(self, converts: Sequence[Callable[[Sequence[Any]], Iterable[Any]]]) -> Iterator[list[tuple[Any, ...]]]:
        """What was kept, each column through its own `convert`."""
        self._file.seek(0)
        while head := self._file.read(_LENGTH.size):
            rows = marshal.loads(zlib.decompress(self._file.read(_LENGTH.unpack(head)[0])))  # noqa: S302 - our own bytes
            columns = [convert(values) for convert, values in zip(converts, zip(*rows, strict=True), strict=True)]
            yield list(zip(*columns, strict=True))

    def _written(self, batch: list[tuple[Any, ...]]) -> Iterable[tuple[Any, ...]]:
        columns = [list(values) for values in zip(*batch, strict=True)]
        for at, column in enumerate(self._columns):
            if column.kind is ColumnKind.AMOUNT:
                columns[at] = list(map(format_amount, columns[at]))
                if at not in self._inexact and any(text and not _is_exact(text) for text in columns[at]):
                    self._inexact.add(at)
            elif column.kind is ColumnKind.TIMESTAMP:
                columns[at] = list(map(format_timestamp, columns[at]))
            elif column.kind is ColumnKind.TEXT:  # marshal takes no text of another type, such as an enum's
                columns[at] = [value if value is None else str(value) for value in columns[at]]
        return zip(*columns, strict=True)

    def _pack(self, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            packed = zlib.compress(marshal.dumps(rows), 1)
            self._file.write(_LENGTH.pack(len(packed)) + packed)


def _as_it_is(values: Sequence[Any]) -> Sequence[Any]:
    return values


def _is_exact(amount: str) -> bool:
    digits = amount.replace(".", "").replace("-", "").strip("0")
    return len(digits) <= EXACT_DIGITS
