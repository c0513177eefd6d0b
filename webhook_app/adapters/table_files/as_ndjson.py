"""NDJSON: one JSON object on each line, in UTF-8."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from webhook_app.adapters.table_files.columns import Column, ColumnKind, Convert, converted_batches
from webhook_app.domain.money import format_amount
from webhook_app.domain.text import visible
from webhook_app.domain.timestamps import format_timestamp

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def ndjson_pieces(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    """Keys in the columns' order; an amount is a string in plain notation, a timestamp ISO 8601, NULL `null`. Texts are
    as they were: nothing evaluates them."""
    names = [column.name for column in columns]
    for batch in converted_batches(rows, [_CONVERTS[column.kind] for column in columns]):
        lines = [_encode(dict(zip(names, row, strict=True))) for row in batch]
        text = "\n".join([*lines, ""])
        # JSON may hold what splits text into lines elsewhere (`str.splitlines`, and with it many HTTP clients) and what
        # a terminal obeys, but spelled out it means the same.
        if not text.isascii() or "\x7f" in text:
            text = visible(text)
        yield text.encode("utf-8", "replace")


_CONVERTS: dict[ColumnKind, Convert] = {
    ColumnKind.TEXT: lambda values: values,
    ColumnKind.AMOUNT: lambda values: map(format_amount, values),
    ColumnKind.TIMESTAMP: lambda values: map(format_timestamp, values),
    ColumnKind.COUNT: lambda values: values,
}
