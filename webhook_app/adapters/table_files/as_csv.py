"""CSV: RFC 4180, in UTF-8 without a byte order mark."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from webhook_app.adapters.table_files.columns import Column, ColumnKind, Convert, Values, converted_batches
from webhook_app.domain.money import format_amount
from webhook_app.domain.timestamps import format_timestamp

#: What a spreadsheet may take for the beginning of a formula: OWASP, "CSV Injection", with the full-width signs.
_RISKY = frozenset("=+-@\t\r\n＝＋－＠")


def csv_pieces(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    """A header, then a line for each row; NULL is an empty field, a timestamp ISO 8601, an amount in plain notation.

    A text that a spreadsheet could run as a formula gets an apostrophe before it, as OWASP advises.
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")
    # A lone empty field is written as `""`: an empty line would be no row at all.
    writer.writerow(_safe_texts([column.name for column in columns]))
    for batch in converted_batches(rows, [_CONVERTS[column.kind] for column in columns]):
        writer.writerows(batch)
        yield _taken(buffer)
    yield _taken(buffer)


def _taken(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode("utf-8", "replace")  # a lone surrogate, which UTF-8 cannot carry, becomes a question mark


def _safe_texts(values: Values) -> list[str | None]:
    return [value if not value or value[0] not in _RISKY else "'" + value for value in values]


_CONVERTS: dict[ColumnKind, Convert] = {
    ColumnKind.TEXT: _safe_texts,
    ColumnKind.AMOUNT: lambda values: map(format_amount, values),
    ColumnKind.TIMESTAMP: lambda values: map(format_timestamp, values),
    ColumnKind.COUNT: lambda values: values,
}
