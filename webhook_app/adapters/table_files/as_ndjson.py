"""NDJSON: one JSON object on each line, in UTF-8."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from webhook_app.adapters.table_files.columns import Column, ColumnKind, Convert, converted_batches
from webhook_app.domain.money import format_amount
from webhook_app.domain.timestamps import format_timestamp

#: JSON may hold these as they are, but what splits text into lines (`str.splitlines`, and with it many HTTP clients)
#: takes them for the end of one.
_LINE_ENDS = {"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def ndjson_pieces(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    """Keys in the columns' order; an amount is a string in plain notation, a timestamp ISO 8601, NULL `null`. Texts are
    as they were: nothing evaluates them."""
    names = [column.name for column in columns]
    for batch in converted_batches(rows, [_CONVERTS[column.kind] for column in columns]):
        lines = [_encode(dict(zip(names, row, strict=True))) for row in batch]
        text = "\n".join([*lines, ""])
        if not text.isascii():
            for end, escaped in _LINE_ENDS.items():
                text = text.replace(end, escaped)
        yield text.encode("utf-8", "replace")


_CONVERTS: dict[ColumnKind, Convert] = {
    ColumnKind.TEXT: lambda values: values,
    ColumnKind.AMOUNT: lambda values: map(format_amount, values),
    ColumnKind.TIMESTAMP: lambda values: map(format_timestamp, values),
    ColumnKind.COUNT: lambda values: values,
}
