"""Discrepancies by spreadsheet: downloaded, their notes filled in, sent back, looked at once more, acknowledged."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass

from webhook_app.adapters.table_files import Column, ColumnKind, FileFormat, write_table
from webhook_app.adapters.table_files.reading import UnreadableTable, read_table
from webhook_app.db.database import Database
from webhook_app.db.types import MAX_ID
from webhook_app.usecases.finance.discrepancies import (
    DiscrepancyFilter,
    DiscrepancyReport,
    DiscrepancyState,
    Seen,
    find_discrepancy,
    list_discrepancies,
    why_not_open,
)
from webhook_app.usecases.refusals import Refused

COLUMNS = (
    Column("id", ColumnKind.COUNT),
    Column("revision", ColumnKind.COUNT),
    Column("kind", ColumnKind.TEXT),
    Column("severity", ColumnKind.TEXT),
    Column("merchant_transaction_id", ColumnKind.TEXT),
    Column("detail", ColumnKind.TEXT),
    Column("state", ColumnKind.TEXT),
    Column("opened_at", ColumnKind.TIMESTAMP),
    Column("status", ColumnKind.TEXT),
    Column("currency", ColumnKind.TEXT),
    Column("crypto_amount", ColumnKind.AMOUNT),
    Column("fiat_currency", ColumnKind.TEXT),
    Column("fiat_amount", ColumnKind.AMOUNT),
    Column("owner", ColumnKind.TEXT),
    Column("note", ColumnKind.TEXT),
)
#: Those that are read when it comes back.
_READ = ("id", "revision", "note")

#: Rows that are taken back at once.
MOST_ROWS = 500
LONGEST_NOTE = 500
_BATCH = 200


@dataclass(frozen=True)
class SheetPreview:
    """What would come of a sheet that was sent back."""

    ready: Sequence[tuple[Seen, DiscrepancyReport]]
    refused: Sequence[tuple[str, str]]
    """The discrepancy's id as it stands there, and why it would not be acknowledged."""
    without_note: int
    """Rows in which nothing was filled in."""


def write_sheet(database: Database, wanted: DiscrepancyFilter, file_format: FileFormat) -> Iterator[bytes]:
    """The file in chunks, newest first; `note` is empty but where one is acknowledged."""
    return write_table(file_format, COLUMNS, _rows(database, wanted), has_bom=file_format is FileFormat.CSV)


def preview_sheet(database: Database, content: bytes) -> SheetPreview:
    """Raises Refused for a file that is no such sheet."""
    try:
        rows = read_table(content, _READ, MOST_ROWS)
    except UnreadableTable as unreadable:
        raise Refused(str(unreadable), "file") from unreadable
    return preview(database, rows)


def preview(database: Database, rows: Sequence[Mapping[str, str]]) -> SheetPreview:
    """Of rows with `id`, `revision` and `note`, as texts."""
    ready: list[tuple[Seen, DiscrepancyReport]] = []
    refused: list[tuple[str, str]] = []
    without_note = 0
    for row in rows:
        note = row["note"].replace("\r\n", "\n").strip()
        if not note:
            without_note += 1
            continue
        id, revision = _whole(row["id"]), _whole(row["revision"])
        held = find_discrepancy(database, id) if id else None
        if held is None or revision is None:
            refused.append(
                (row["id"][:20], "there is none with this id" if held is None else "its revision is no number")
            )
        elif any(seen.id == id for seen, _ in ready):
            refused.append((row["id"], "it stands in the sheet more than once: its first note is taken"))
        elif len(note) > LONGEST_NOTE:
            refused.append((row["id"], f"its note is longer than {LONGEST_NOTE} characters"))
        elif held.state is not DiscrepancyState.OPEN or held.revision != revision:
            if held.note != note:  # what was acknowledged before the download is there with its note
                refused.append((row["id"], why_not_open(held)))
            else:
                without_note += 1
        else:
            ready.append((Seen(held.id, revision, note), held))
    return SheetPreview(ready, refused, without_note)


def _rows(database: Database, wanted: DiscrepancyFilter) -> Generator[Sequence[object]]:
    after: int | None = None
    while True:
        page = list_discrepancies(database, wanted, _BATCH, after)
        for one in page.items:
            yield [getattr(one, column.name) for column in COLUMNS]
        if page.next_after is None:
            return
        after = page.next_after


def _whole(text: str) -> int | None:
    """A whole number as a spreadsheet may write it: `12`, `12.0`."""
    digits = text.strip().removesuffix(".0")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 19 and int(digits) <= MAX_ID else None
