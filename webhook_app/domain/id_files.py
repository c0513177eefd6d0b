"""Files of transaction ids: one a line, or CSV whose header says which column has them. Read in bounded memory."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from webhook_app.domain.text import is_usable_id, visible_line

#: Bytes of a line that are looked at; an id has 128 at most.
MOST_IN_LINE = 65_536
#: Headers of the column that has the ids, in order of preference; letter case and blanks do not matter.
HEADERS = ("merchant_transaction_id", "transaction_id", "id")

_BOM = b"\xef\xbb\xbf"
_MOST_SHOWN = 40


@dataclass(frozen=True)
class FoundId:
    """`number` of its line, from 1."""

    number: int
    merchant_transaction_id: str


@dataclass(frozen=True)
class BadLine:
    """A line that names no transaction, and why, in words."""

    number: int
    why: str


def bounded_lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file from where it stands, each read whole and none kept longer than `MOST_IN_LINE` and a byte."""
    while line := file.readline(MOST_IN_LINE + 1):
        piece = line
        while len(piece) > MOST_IN_LINE and not piece.endswith(b"\n"):
            piece = file.readline(MOST_IN_LINE + 1)
        yield line


def read_ids(lines: Iterable[bytes], *, number: int = 0, column: int | None = None) -> Iterator[FoundId | BadLine]:
    """Each id, and each line that has none. A BOM, CRLF, empty lines and a header are no fault; of CSV (commas,
    semicolons or tabs) the column is used that the header names, or the first.

    To go on after line `number`, give the `column` that `find_column` found in the first one.
    """
    for line in lines:
        number += 1
        if number == 1:
            line = line.removeprefix(_BOM)
            column = find_column(line)
            if _is_header(line):
                continue
        if line.strip():
            yield _read_line(line, number, column or 0)


def find_column(first_line: bytes) -> int:
    """The place of the ids in each line of a file that begins with this one; the first is 0."""
    cells = [_plain(cell) for cell in _cells(first_line.removeprefix(_BOM))]
    return next((cells.index(name) for name in HEADERS if name in cells), 0)


def _is_header(line: bytes) -> bool:
    return any(_plain(cell) in HEADERS for cell in _cells(line))


def _read_line(line: bytes, number: int, column: int) -> FoundId | BadLine:
    if len(line) > MOST_IN_LINE:
        return BadLine(number, f"longer than {MOST_IN_LINE} bytes")
    cells = _cells(line)
    found = cells[column].strip() if column < len(cells) else ""
    if not found:
        return BadLine(number, f"column {column + 1} is empty")
    if is_usable_id(found):
        return FoundId(number, found)
    shown = visible_line(found[:_MOST_SHOWN]) + ("…" if len(found) > _MOST_SHOWN else "")
    return BadLine(number, f"{shown!r} is no transaction id: letters, digits, dots, colons, _ and -, 128 at most")


def _cells(line: bytes) -> list[str]:
    text = line[:MOST_IN_LINE].decode("utf-8", "replace").rstrip("\r\n")
    delimiter = next((one for one in (";", "\t", ",") if one in text), ",")
    try:
        return next(csv.reader([text], delimiter=delimiter), [])
    except csv.Error:
        return [text]


def _plain(cell: str) -> str:
    return cell.strip().lower().replace(" ", "_")
