"""CSV: RFC 4180, in UTF-8 without a byte order mark."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

from webhook_app.adapters.table_files.columns import Column, ColumnKind, Convert, Values, converted_batches
from webhook_app.domain.money import format_amount
from webhook_app.domain.timestamps import format_timestamp

#: What a spreadsheet may take for the beginning of a formula: OWASP, "CSV Injection", with the signs' variants.
_SIGNS = "=＝﹦⁼₌+＋﹢⁺₊\\-－﹣⁻₋−@＠﹫"
#: What begins a cell where the file is read with another separator: quotes do not hold then. NEL, LS and PS end lines.
_END = re.compile("[;\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]")
#: What is blank, or not seen at all, and may be dropped before a formula is looked for: white space, control and format
#: characters, and the letters and marks that Unicode lets be ignored (DerivedCoreProperties, Default_Ignorable).
_UNSEEN = (
    r"\s\x00-\x20\x7f-\xa0\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    r"\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_AT_ITS_BEGIN = re.compile(f"[\t\r\n]|[{_UNSEEN}]*[{_SIGNS}]")
#: Runs of what is not seen before a sign, whole ones, so that a text of nothing else costs no more than its length.
_BEFORE_A_SIGN = re.compile(f"(?<![;{_UNSEEN}])[;{_UNSEEN}]++(?=[{_SIGNS}])")
#: Whether one of many texts, each on a line of its own, may be one of these.
_ANYWHERE = re.compile(f"[;{_UNSEEN}][{_SIGNS}]|\n[\t\r\n]")


def csv_pieces(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    """A header, then a line for each row; NULL is an empty field, a timestamp ISO 8601, an amount in plain notation.

    A text that a spreadsheet could run as a formula gets an apostrophe before it, as OWASP advises; so does what would
    be a formula where the spreadsheet takes a semicolon, a tab or the end of a line for the end of a cell.
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


def _safe_texts(values: Values) -> Sequence[str | None]:
    # One look at all of them: of a thousand texts hardly one is risky.
    if not _ANYWHERE.search("\n".join(["", *(value or "" for value in values)])):
        return values
    return [value and _safe_text(value) for value in values]


def _safe_text(text: str) -> str:
    safe = _BEFORE_A_SIGN.sub(lambda run: run[0] + "'" if _END.search(run[0]) else run[0], text)
    return "'" + safe if _AT_ITS_BEGIN.match(text) else safe


_CONVERTS: dict[ColumnKind, Convert] = {
    ColumnKind.TEXT: _safe_texts,
    ColumnKind.AMOUNT: lambda values: map(format_amount, values),
    ColumnKind.TIMESTAMP: lambda values: map(format_timestamp, values),
    ColumnKind.COUNT: lambda values: values,
}
