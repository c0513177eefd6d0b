"""Any of the formats through one door: chunks of one size, made only as they are asked for."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import chain

from webhook_app.adapters.table_files.as_csv import csv_pieces
from webhook_app.adapters.table_files.as_ndjson import ndjson_pieces
from webhook_app.adapters.table_files.as_xlsx import MOST_SHEET_ROWS, TellWritten, xlsx_pieces
from webhook_app.adapters.table_files.columns import Column

#: Bytes in every chunk but the last.
CHUNK = 64 * 1024


class FileFormat(StrEnum):
    """The value is the file's extension too."""

    CSV = "csv"
    NDJSON = "ndjson"
    XLSX = "xlsx"

    @property
    def media_type(self) -> str:
        """RFC 4180 for CSV; NDJSON's is unregistered, and what is used; ECMA-376 for XLSX."""
        return _MEDIA_TYPES[self]

    @property
    def extension(self) -> str:
        return self.value


_MEDIA_TYPES = {
    FileFormat.CSV: "text/csv; charset=utf-8; header=present",
    FileFormat.NDJSON: "application/x-ndjson",
    FileFormat.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def write_table(
    file_format: FileFormat,
    columns: Sequence[Column],
    rows: Iterable[Sequence[object]],
    *,
    sheet_rows: int = MOST_SHEET_ROWS,
    has_bom: bool = False,
    tell: TellWritten = lambda _: None,
) -> Iterator[bytes]:
    """The file in chunks of 64 KiB; rows are pulled only as chunks are (of XLSX all before the first), and the same
    rows give the same bytes. `has_bom`: CSV begins with a byte order mark, by which Excel knows UTF-8. `tell` is called
    with how a workbook's columns of amounts are written.

    No rows are a file with its header alone (NDJSON, which has none: zero bytes). A sheet of XLSX takes `sheet_rows`
    rows at most. Closing the iterator closes `rows`. What `rows` raises goes through; ValueError for a row that is
    longer or shorter than `columns`.
    """
    chunks = _write(file_format, columns, rows, sheet_rows, has_bom, tell)
    next(chunks)  # into its `try`, so that closing it closes the rows even where no chunk was asked for
    return chunks


def _write(
    file_format: FileFormat,
    columns: Sequence[Column],
    rows: Iterable[Sequence[object]],
    sheet_rows: int,
    has_bom: bool,
    tell: TellWritten,
) -> Iterator[bytes]:
    try:
        yield b""
        pieces: Iterable[bytes]
        match file_format:
            case FileFormat.CSV:
                pieces = chain([codecs.BOM_UTF8] if has_bom else [], csv_pieces(columns, rows))
            case FileFormat.NDJSON:
                pieces = ndjson_pieces(columns, rows)
            case FileFormat.XLSX:
                pieces = xlsx_pieces(columns, rows, sheet_rows, tell)
        yield from _in_chunks(pieces)
    finally:
        close = getattr(rows, "close", None)
        if close is not None:
            close()


def _in_chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        while len(waiting) >= CHUNK:
            yield bytes(waiting[:CHUNK])
            del waiting[:CHUNK]
    if waiting:
        yield bytes(waiting)
