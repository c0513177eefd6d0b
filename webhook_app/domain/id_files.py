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


@dataclass(frozen=True)
class Form:
    """How each line of a file is read: what stands between its cells, and which of them, from 0, has the id."""

    delimiter: str = ","
    column: int = 0


def find_form(lines: Iterable[bytes]) -> Form:
    """Of the file that has these lines: its first one that is not empty tells."""
    return next((_form_of(line) for line in _without_bom(lines) if not _is_empty(line)), Form())


def read_ids(lines: Iterable[bytes], *, number: int = 0, form: Form | None = None) -> Iterator[FoundId | BadLine]:
    """Each id, and each line that has none. A BOM, CRLF, empty lines and a header are no fault; of CSV (commas,
    semicolons or tabs) the column is used that the header names, or the first.

    To go on after line `number`, give the `form` that `find_form` found.
    """
    for line in lines if number else _without_bom(lines):
        number += 1
        if _is_empty(line):
            continue
        if form is None:
            form = _form_of(line)
        if not _is_header(line, form):
            yield _read_line(line, number, form)


def check_ids(names: Iterable[str]) -> Iterator[FoundId | BadLine]:
    """The same of ids that were typed, each whole."""
    return (_check(name.strip(), number) for number, name in enumerate(names, 1))


def _without_bom(lines: Iterable[bytes]) -> Iterator[bytes]:
    for number, line in enumerate(lines):
        yield line if number else line.removeprefix(_BOM)


def _is_empty(line: bytes) -> bool:
    """Nothing is in it; nor is in the line in which a spreadsheet is told the delimiter."""
    return not line.strip() or line.lower().startswith(b"sep=")


def _form_of(line: bytes) -> Form:
    text = line.decode("utf-8", "replace")
    delimiter = next((one for one in (";", "\t", ",") if one in text), ",")
    cells = [_plain(cell) for cell in _cells(line, delimiter)]
    return Form(delimiter, next((cells.index(name) for name in HEADERS if name in cells), 0))


def _is_header(line: bytes, form: Form) -> bool:
    """A header that comes again, as in files that were put together, is none the less one."""
    cells = _cells(line, form.delimiter)
    return form.column < len(cells) and _plain(cells[form.column]) in HEADERS


def _read_line(line: bytes, number: int, form: Form) -> FoundId | BadLine:
    if len(line) > MOST_IN_LINE:
        return BadLine(number, f"longer than {MOST_IN_LINE} bytes")
    cells = _cells(line, form.delimiter)
    found = cells[form.column].strip() if form.column < len(cells) else ""
    return _check(found, number) if found else BadLine(number, f"column {form.column + 1} is empty")


def _check(found: str, number: int) -> FoundId | BadLine:
    if is_usable_id(found):
        return FoundId(number, found)
    if "\0" in found:
        return BadLine(number, "it is no text in UTF-8, but in UTF-16, it seems: save the file as UTF-8")
    shown = visible_line(found[:_MOST_SHOWN]) + ("…" if len(found) > _MOST_SHOWN else "")
    return BadLine(number, f"{shown!r} is no transaction id: letters, digits, dots, colons, _ and -, 128 at most")


def _cells(line: bytes, delimiter: str) -> list[str]:
    text = line[:MOST_IN_LINE].decode("utf-8", "replace").rstrip("\r\n")
    try:
        return next(csv.reader([text], delimiter=delimiter), [])
    except csv.Error:
        return [text]


def _plain(cell: str) -> str:
    return cell.strip().lower().replace(" ", "_")
