"""XLSX: a workbook written straight into a zip that nobody can seek in, so that no sheet is ever held or spooled."""

from __future__ import annotations

import itertools
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from webhook_app.adapters.table_files import xlsx_parts as parts
from webhook_app.adapters.table_files.columns import Column, ColumnKind, Convert, Values
from webhook_app.adapters.table_files.exact_sums import ExactSums
from webhook_app.adapters.table_files.kept_rows import KeptRows
from webhook_app.domain.money import format_amount

#: Excel's limits: 1,048,576 rows of a sheet, of which one is the header, and characters (UTF-16 units) of a cell.
MOST_SHEET_ROWS = 1_048_575
_LONGEST_CELL = 32_767

#: Bytes of a sheet's XML after which the next sheet begins. zipfile writes ZIP64 above 2 GiB, and would have to know it
#: beforehand; Excel refuses what it writes then (Apache COMPRESS-474). A million transactions are half of it.
_MOST_SHEET_BYTES = 1_900_000_000

#: Chosen by measurement: with level 1 all takes 60 % of the time that it takes with 6, for a file a fifth larger.
_COMPRESSION_LEVEL = 1

#: How a column of amounts is written.
NUMBERS, TEXTS = "numbers", "text: not all are exact in 15 digits"
#: Is called with that of each column of amounts, by its name, before the first byte is written.
TellWritten = Callable[[Mapping[str, str]], None]


def xlsx_pieces(
    columns: Sequence[Column], rows: Iterable[Sequence[object]], sheet_rows: int, tell: TellWritten
) -> Iterator[bytes]:
    """A header, bold and frozen, with filters; then the rows, on as many sheets as they need, each with that header;
    then a sheet of exact sums, as text, where the columns say by what.

    A spreadsheet rounds a number to 15 digits, and its sum skips text in silence. So a column of amounts is numbers
    where every value in it is exact in 15 digits, else all of it is text, right-aligned; which of both stands on the
    sheet of sums, and `tell` is called with it. All rows are read before the first byte is written, and wait in a
    temporary file. Timestamps are ISO 8601 text, which keeps the microseconds and the time zone. Texts are inline
    strings with the format Text, which no spreadsheet evaluates, not even after an edit, and so they are as they were,
    without CSV's apostrophe. A person who saves the workbook as CSV does so unprotected. Characters that XML 1.0 has no
    way to hold become U+FFFD, and a text longer than a cell is cut and ends in `…`.
    """
    with KeptRows(columns) as kept:
        kept.keep(rows)
        amounts = [(at, column) for at, column in enumerate(columns) if column.kind is ColumnKind.AMOUNT]
        written = {column.name: NUMBERS if kept.is_exact(at) else TEXTS for at, column in amounts}
        tell(written)
        yield from _workbook(columns, kept, written, sheet_rows)


def _workbook(
    columns: Sequence[Column], kept: KeptRows, written: Mapping[str, str], sheet_rows: int
) -> Iterator[bytes]:
    target = _Target()
    converts = [_numbers if written.get(column.name) == NUMBERS else _CONVERTS[column.kind] for column in columns]
    batches = _Rows(kept.batches(converts))
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=_COMPRESSION_LEVEL) as archive:
        for path, content in parts.FIRST.items():
            _write_part(archive, path, content)
        for number in itertools.count(1):
            with archive.open(parts.sheet_path(number), "w") as sheet:
                size = sheet.write(parts.sheet_start(columns).encode())
                row_number = 1
                while row_number <= sheet_rows and size < _MOST_SHEET_BYTES:
                    batch = batches.take(sheet_rows + 1 - row_number)
                    if not batch:
                        break
                    size += sheet.write(_rows_xml(batch, row_number + 1, len(columns)))
                    row_number += len(batch)
                    yield target.taken()
                sheet.write(parts.sheet_end(len(columns), row_number).encode())
            if batches.is_done():
                break
        if not kept.sums.is_empty:
            _write_part(archive, parts.sheet_path(number + 1), _sums_xml(columns, written, kept.sums))
        for path, content in parts.last(number, has_sums=not kept.sums.is_empty).items():
            _write_part(archive, path, content)
    yield target.taken()


class _Target:
    """Where zipfile writes: without `tell` and `seek`, so that sizes go behind each entry instead of back before it."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def flush(self) -> None:
        """Part of what zipfile asks for."""

    def close(self) -> None:
        """The same."""

    def taken(self) -> bytes:
        """What was written since it was last asked for."""
        taken = bytes(self._written)
        self._written.clear()
        return taken


class _Rows:
    """Rows as cells, taken in batches that end with the sheet."""

    def __init__(self, batches: Iterator[list[tuple[Any, ...]]]) -> None:
        self._batches = batches
        self._waiting: list[tuple[Any, ...]] = []

    def take(self, most: int) -> list[tuple[Any, ...]]:
        if not self._waiting:
            self._waiting = next(self._batches, [])
        taken, self._waiting = self._waiting[:most], self._waiting[most:]
        return taken

    def is_done(self) -> bool:
        """Whether there are no more rows; fetches some to know it."""
        if not self._waiting:
            self._waiting = next(self._batches, [])
        return not self._waiting


def _sums_xml(columns: Sequence[Column], written: Mapping[str, str], sums: ExactSums) -> str:
    """The sheet of sums: a row for each, and how its column is written."""
    width = max(len(column.sums_by) for column in columns)
    named = next(column.sums_by for column in columns if len(column.sums_by) == width)
    texts = [Column(name, ColumnKind.TEXT) for name in ("amount", *named, "rows", "exact sum", "column")]
    rows = [
        (
            one.column,
            *one.by,
            *[None] * (width - len(one.by)),
            str(one.count),
            format_amount(one.amount),
            written[one.column],
        )
        for one in sums
    ]
    cells = [tuple(_texts(row)) for row in rows]
    body = _rows_xml(cells, 2, len(texts)).decode() if cells else ""
    return parts.sheet_start(texts) + body + parts.sheet_end(len(texts), len(rows) + 1)


def _write_part(archive: zipfile.ZipFile, path: str, content: str) -> None:
    # `open`, not `writestr`: it gives the entry the oldest time that a zip can hold instead of the present one, so that
    # the same rows give the same bytes.
    with archive.open(path, "w") as part:
        part.write(content.encode())


def _rows_xml(batch: list[tuple[Any, ...]], number: int, width: int) -> bytes:
    letters = [parts.column_letters(index) for index in range(width)]
    lines = []
    for at, row in enumerate(batch, number):
        # A cell without a value is left out; `cell` is all that follows the row's number.
        cells = [f'<c r="{letter}{at}"{cell}' for letter, cell in zip(letters, row, strict=True) if cell is not None]
        lines.append(f'<row r="{at}">{"".join(cells)}</row>')
    return "".join(lines).encode("utf-8", "replace")


_TEXT = f' s="{parts.STYLE_TEXT}" t="inlineStr"><is><t>'
_SPACED_TEXT = f' s="{parts.STYLE_TEXT}" t="inlineStr"><is><t xml:space="preserve">'
_AMOUNT = f' s="{parts.STYLE_AMOUNT}" t="inlineStr"><is><t>'
_NUMBER = f' s="{parts.STYLE_NUMBER}"><v>'
_END = "</t></is></c>"

#: What a text may not hold as it is: XML's own signs, what XML 1.0 excludes, CR, which a parser would turn into LF, and
#: what a spreadsheet would read as an escaped character (ECMA-376 Part 1, 22.9.2.19, ST_Xstring).
_SPECIAL = re.compile("[&<>\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
_SPELLED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;", "_": "_x005F_"}


def _texts(values: Values) -> Iterator[str | None]:
    for value in values:
        if value is None:
            yield None
            continue
        text = value if len(value) <= _LONGEST_CELL // 2 else _fitting(value)
        if _SPECIAL.search(text):
            text = escaped(text)
        # Without it a parser may drop white space at the ends, and LibreOffice turns a line's end into a space.
        is_plain = text.isprintable() and text == text.strip()
        yield f"{_TEXT if is_plain else _SPACED_TEXT}{text}{_END}"


def escaped(text: str) -> str:
    """The text between two tags."""
    return _SPECIAL.sub(lambda match: _SPELLED.get(match[0], "\N{REPLACEMENT CHARACTER}"), text)


def _fitting(text: str) -> str:
    units = text.encode("utf-16-le", "replace")
    if len(units) <= 2 * _LONGEST_CELL:
        return text
    return units[: 2 * (_LONGEST_CELL - 1)].decode("utf-16-le", "ignore") + "…"


def _amounts(values: Values) -> Iterator[str | None]:
    for value in values:
        yield None if value is None else f"{_AMOUNT}{value}{_END}"


def _numbers(values: Values) -> Iterator[str | None]:
    """Amounts that a spreadsheet's numbers keep."""
    for value in values:
        yield None if value is None else f"{_NUMBER}{value}</v></c>"


def _timestamps(values: Values) -> Iterator[str | None]:
    for value in values:
        yield None if value is None else f"{_TEXT}{value}{_END}"


def _counts(values: Values) -> Iterator[str | None]:
    for value in values:
        yield None if value is None else f"><v>{value:d}</v></c>"


_CONVERTS: dict[ColumnKind, Convert] = {
    ColumnKind.TEXT: _texts,
    ColumnKind.AMOUNT: _amounts,
    ColumnKind.TIMESTAMP: _timestamps,
    ColumnKind.COUNT: _counts,
}
