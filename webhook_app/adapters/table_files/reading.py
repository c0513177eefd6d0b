"""Table files that people have filled in and sent back: CSV as spreadsheets save it, or XLSX."""

from __future__ import annotations

import codecs
import csv
import io
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence

#: What is unpacked of a workbook at most, in bytes: a small file may unpack to gigabytes.
_MOST_UNPACKED = 50_000_000
_LONGEST_FIELD = 100_000
#: By which Excel is told the separator; it is no row.
_SEPARATOR_LINE = re.compile(r'"?sep=."?\r?')


class UnreadableTable(Exception):
    """It is neither; the message says why, for people."""


def read_table(content: bytes, columns: Sequence[str], most_rows: int) -> list[Mapping[str, str]]:
    """The rows below the header as texts by the names of `columns`, lower-case ones; other columns and empty rows are
    left out. Of a workbook, its first sheet. Raises UnreadableTable, also where a column is missing or there are more
    rows."""
    rows = _read_workbook(content) if content.startswith(b"PK\x03\x04") else _read_csv(content)
    header = next(rows, ())
    indexes = {name.strip().casefold(): at for at, name in enumerate(header)}
    missing = [name for name in columns if name not in indexes]
    if missing:
        raise UnreadableTable(f"Its first row must name the columns; there is no {', no '.join(missing)}.")
    found: list[Mapping[str, str]] = []
    for row in rows:
        if not any(row):
            continue
        if len(found) == most_rows:
            raise UnreadableTable(f"It has more than {most_rows} rows: send it in parts.")
        found.append({name: row[indexes[name]] if indexes[name] < len(row) else "" for name in columns})
    return found


def _read_csv(content: bytes) -> Iterator[Sequence[str]]:
    """UTF-8, Excel's "Unicode text", or as older Excels save it; separated by commas, semicolons or tabs, whichever its
    first line has most."""
    text = _decode(content)
    first, _, rest = text.partition("\n")
    if _SEPARATOR_LINE.fullmatch(first):
        text, (first, _, _) = rest, rest.partition("\n")
    delimiter = max(",;\t", key=first.count)
    limit = csv.field_size_limit()
    try:
        csv.field_size_limit(_LONGEST_FIELD)
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    except csv.Error as error:
        raise UnreadableTable(f"It cannot be read as CSV: {error}.") from error
    finally:
        csv.field_size_limit(limit)


def _decode(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _read_workbook(content: bytes) -> Iterator[Sequence[str]]:
    import openpyxl  # here, for hardly any process reads one

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _MOST_UNPACKED:
                raise UnreadableTable("The workbook is too large.")
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        for row in book.worksheets[0].iter_rows(values_only=True):
            yield ["" if value is None else str(value) for value in row]
    except UnreadableTable:
        raise
    except Exception as error:  # whatever a damaged workbook makes the library raise
        raise UnreadableTable("It is no workbook that can be read: save it as XLSX or CSV once more.") from error
