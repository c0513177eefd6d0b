"""Tables as files: what is read back is what was written, as a stream, in memory that does not grow."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Context, Decimal
from itertools import islice
from typing import Any

import openpyxl
import psutil
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webhook_app.adapters.table_files import MOST_SHEET_ROWS, Column, ColumnKind, FileFormat, write_table
from webhook_app.adapters.table_files.writing import CHUNK

COLUMNS = [
    Column("id", ColumnKind.TEXT),
    Column("amount", ColumnKind.AMOUNT),
    Column("at", ColumnKind.TIMESTAMP),
    Column("events", ColumnKind.COUNT),
]
NAMES = [column.name for column in COLUMNS]
MOMENT = datetime(2026, 4, 1, 10, 3, 45, tzinfo=UTC)
SIGNS = "=+-@＝＋－＠﹦﹢﹣﹫⁼⁺⁻₌₊₋−"
ENDS = ";\t\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"
IGNORABLE = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0\u2800\ufe00\ufe0f\U000e0100\U000e01ef"
#: Before a sign, and not in the way of a spreadsheet that drops them.
UNSEEN = [*" \t\xa0\xad\u200b\u200d\u2060\ufeff\u202e\u3000\x00\x7f\x9b", *IGNORABLE, " \u200b\t "]
ODD_TEXTS = [
    *(f"{sign}1+1" for sign in (*SIGNS, *"\t\r\n")),
    *(f"{unseen}=1+1" for unseen in UNSEEN),
    *(f"a{end}=1+1" for end in ENDS),
    *(f"a;{unseen}@SUM(1)" for unseen in UNSEEN),
    *("a;b", "a =b", "a;;=1", "a;'=1", "a\r\n\r\n-1", ";=1", "a;b=1", "x\u0301=1", "--;--", "1-1;1-1"),
    'a "quoted", b',
    "two\r\nlines\rand\na third",
    " spaces ",
    "",
    "'",
    "_x0041_",
    "_x005F_x0041_",
    "x_x000D_y",
    "<b>&amp;</b>]]>",
    "emoji 😀",
    "\u2028\u2029\x85",
    "\x00\x1f\x7f\ufffe",
]

Row = tuple[str | None, Decimal | None, datetime | None, int | None]

_near_formulas = st.text([*SIGNS, *ENDS, *" a\u200b\ufeff\ufe0f'"])
texts = st.text(st.characters(exclude_categories=["Cs"])) | _near_formulas | st.sampled_from(ODD_TEXTS)
amounts = st.decimals(0, 10**12, allow_nan=False, places=18) | st.sampled_from(
    [Decimal("0E-8"), Decimal("123456789012345678901234567890"), Decimal("1E-18"), Decimal("0." + "3" * 30)]
)
moments = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]))
rows_of_all = st.lists(
    st.tuples(
        st.none() | texts,
        st.none() | amounts,
        st.none() | moments.filter(lambda moment: 1900 < moment.year < 9999),
        st.none() | st.integers(0, 10**6),
    ),
    max_size=8,
)


def written(file_format: FileFormat, rows: Any, **options: Any) -> bytes:
    return b"".join(write_table(file_format, COLUMNS, rows, **options))


def read_sheets(content: bytes) -> list[list[tuple[Any, ...]]]:
    book = openpyxl.load_workbook(io.BytesIO(content))
    return [list(sheet.values) for sheet in book.worksheets]


def plain(row: Row) -> list[str | None]:
    """The row as it is spelled in every format, but for its text."""
    _, amount, at, events = row
    moment = at and at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return [None if amount is None else f"{amount:f}", moment, None if events is None else str(events)]


def unless_formula(text: str) -> str:
    """The text as CSV holds it: with an apostrophe before what a spreadsheet could run."""
    safe, run = "", ""
    for sign in text:
        if sign in SIGNS and any(end in run for end in ENDS):
            safe += "'"
        run = run + sign if is_unseen(sign) or sign == ";" else ""
        safe += sign
    begins = text.lstrip("".join({sign for sign in text if is_unseen(sign)}))
    return "'" + safe if text[:1] in ("\t", "\r", "\n") or begins[:1] in set(SIGNS) else safe


def is_unseen(sign: str) -> bool:
    return unicodedata.category(sign) in ("Cc", "Cf", "Zs", "Zl", "Zp") or sign in IGNORABLE


@given(rows_of_all)
@example([(text, None, None, None) for text in ODD_TEXTS])
def test_csv_reads_back(rows: list[Row]) -> None:
    content = written(FileFormat.CSV, rows).decode()
    header, *read = csv.reader(io.StringIO(content, newline=""), strict=True)
    assert header == NAMES
    assert len(read) == len(rows)
    for row, (text, *others) in zip(rows, read, strict=True):
        assert text == unless_formula(row[0] or "")
        assert others == [value or "" for value in plain(row)]


def test_no_invisible_character_hides_a_formula_from_csv() -> None:
    unseen = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000 and is_unseen(chr(code))]
    assert len(unseen) > 200
    rows = [(text, None, None, None) for sign in unseen for text in (f"{sign}=1", f"a;{sign}=1")]
    _, *read = csv.reader(io.StringIO(written(FileFormat.CSV, rows).decode(), newline=""), strict=True)
    assert [row[0] for row in read] == [unless_formula(row[0]) for row in rows]
    assert all("'" in row[0] for row in read)


def test_text_of_nothing_but_blanks_takes_no_longer_than_others() -> None:
    text = ";\t" * 50_000 + "x="
    _, row = csv.reader(io.StringIO(written(FileFormat.CSV, [(text, None, None, None)]).decode(), newline=""))
    assert row[0] == text


def test_ndjson_holds_nothing_that_a_terminal_obeys() -> None:
    content = written(FileFormat.NDJSON, [("\x1b[2J\x7f\x9b\u202e\u2066\u200f\u061c", None, None, None)]).decode()
    assert content.isascii()
    assert content.rstrip("\n").isprintable()


@given(rows_of_all)
@example([(text, None, None, None) for text in ODD_TEXTS])
def test_ndjson_reads_back(rows: list[Row]) -> None:
    lines = written(FileFormat.NDJSON, rows).decode().splitlines()
    assert [json.loads(line) for line in lines] == [
        dict(zip(NAMES, [row[0], *plain(row)[:2], row[3]], strict=True)) for row in rows
    ]


@given(rows_of_all)
@example([(text, None, None, None) for text in ODD_TEXTS])
def test_xlsx_reads_back(rows: list[Row]) -> None:
    ((header, *read),) = read_sheets(written(FileFormat.XLSX, rows))
    assert list(header) == NAMES
    # openpyxl does not see a row at the end that has no cell.
    read += [(None,) * 4] * (len(rows) - len(read))
    for row, (text, amount, moment, events) in zip(rows, read, strict=True):
        illegal = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
        expected = None if row[0] is None else illegal.sub("\N{REPLACEMENT CHARACTER}", row[0])
        assert as_excel_reads(text or "") == (expected or "")
        assert [moment, events] == [plain(row)[1], row[3]]
        if all(one[1] is None or is_exact(one[1]) for one in rows):
            assert amount is None if row[1] is None else Decimal(repr(amount)) == row[1]
        else:
            assert amount == plain(row)[0]


def is_exact(amount: Decimal) -> bool:
    """Whether 15 significant digits hold it."""
    return len(amount.normalize(Context(prec=200)).as_tuple().digits) <= 15


def as_excel_reads(text: str) -> str:
    """openpyxl leaves this to its caller in inline strings: ECMA-376 Part 1, 22.9.2.19."""
    return re.sub("_x([0-9A-Fa-f]{4})_", lambda match: chr(int(match[1], 16)), text)


def test_csv_is_rfc_4180_without_a_byte_order_mark() -> None:
    rows = [("a", Decimal("0E-8"), MOMENT, 3), (None, None, None, None)]
    assert written(FileFormat.CSV, rows) == (b"id,amount,at,events\r\na,0.00000000,2026-04-01T10:03:45Z,3\r\n,,,\r\n")


def test_csv_may_begin_with_the_mark_that_excel_looks_for() -> None:
    assert written(FileFormat.CSV, [], has_bom=True) == b"\xef\xbb\xbfid,amount,at,events\r\n"


SUMMED = [
    Column("status", ColumnKind.TEXT),
    Column("currency", ColumnKind.TEXT),
    Column("amount", ColumnKind.AMOUNT, ("currency", "status")),
]


@pytest.mark.parametrize(
    ("last", "kind", "words"),
    [
        ("0.30", "n", "numbers"),
        ("123456789012345", "n", "numbers"),
        ("1234567890123456", "s", "text: not all are exact in 15 digits"),
        ("0.1234567890123456", "s", "text: not all are exact in 15 digits"),
    ],
)
def test_amounts_of_a_workbook_are_all_numbers_or_all_text_and_have_exact_sums(
    last: str, kind: str, words: str
) -> None:
    amounts = [
        ("completed", "EUR", "0.10"),
        ("completed", "EUR", "0.20"),
        ("failed", "EUR", last),
        ("failed", None, None),
    ]
    rows = [(status, currency, None if text is None else Decimal(text)) for status, currency, text in amounts]
    book = openpyxl.load_workbook(io.BytesIO(b"".join(write_table(FileFormat.XLSX, SUMMED, rows))))
    data, sums = book.worksheets
    assert [cell.data_type for cell in data["C"][1:4]] == [kind] * 3
    assert [Decimal(str(cell.value)) for cell in data["C"][1:4]] == [
        Decimal(text) for _, _, text in amounts[:3] if text
    ]
    assert sums.title == "Sums"
    assert list(sums.values) == [
        ("amount", "currency", "status", "rows", "exact sum", "column"),
        ("amount", "EUR", "completed", "2", "0.30", words),
        ("amount", "EUR", "failed", "1", last, words),
        ("amount", None, "failed", "1", None, words),
    ]


def test_a_csv_of_one_empty_field_still_has_its_row() -> None:
    content = b"".join(write_table(FileFormat.CSV, COLUMNS[:1], [(None,), ("",)]))
    assert list(csv.reader(io.StringIO(content.decode()))) == [["id"], [""], [""]]


def test_ndjson_is_one_object_a_line_with_amounts_as_strings() -> None:
    rows = [("=1", Decimal("0E-8"), MOMENT, 3), ("é\u2028", None, None, None)]
    assert written(FileFormat.NDJSON, rows).decode() == (
        '{"id":"=1","amount":"0.00000000","at":"2026-04-01T10:03:45Z","events":3}\n'
        '{"id":"é\\u2028","amount":null,"at":null,"events":null}\n'
    )


def test_text_that_utf8_cannot_carry_breaks_no_format() -> None:
    for file_format in FileFormat:
        assert written(file_format, [("a\ud800b", None, None, None)])


def test_no_rows_are_a_file_with_its_header_alone() -> None:
    assert written(FileFormat.CSV, []) == b"id,amount,at,events\r\n"
    assert written(FileFormat.NDJSON, []) == b""
    assert read_sheets(written(FileFormat.XLSX, [])) == [[tuple(NAMES)]]


def test_xlsx_has_a_bold_frozen_header_and_no_formula_or_rounded_amount() -> None:
    amount = Decimal("123456789012.000000000000000001")
    (sheet,) = openpyxl.load_workbook(io.BytesIO(written(FileFormat.XLSX, [("=1+1", amount, MOMENT, 3)]))).worksheets
    assert sheet.freeze_panes == "A2"
    assert sheet.auto_filter.ref == "A1:D2"
    assert all(cell.font.b for cell in sheet[1])
    text, number, moment, count = sheet[2]
    assert (text.value, text.data_type, text.number_format) == ("=1+1", "s", "@")
    assert (number.value, number.alignment.horizontal) == (f"{amount:f}", "right")
    assert moment.value == "2026-04-01T10:03:45Z"
    assert (count.value, count.data_type) == (3, "n")
    assert sheet.column_dimensions["B"].width > 20


def test_xlsx_cuts_a_text_that_no_cell_can_hold() -> None:
    fits, long, wide = "a" * 32_767, "a" * 32_768, "😀" * 16_384
    ((_, *read),) = read_sheets(written(FileFormat.XLSX, [(text, None, None, None) for text in (fits, long, wide)]))
    assert [row[0] for row in read] == [fits, "a" * 32_766 + "…", "😀" * 16_383 + "…"]


@pytest.mark.parametrize(("count", "sizes"), [(99, [99]), (100, [100]), (101, [100, 1]), (250, [100, 100, 50])])
def test_xlsx_goes_on_on_another_sheet_with_the_header_again(count: int, sizes: list[int]) -> None:
    rows = [(str(number), None, None, number) for number in range(count)]
    sheets = read_sheets(written(FileFormat.XLSX, rows, sheet_rows=100))
    assert [len(sheet) - 1 for sheet in sheets] == sizes
    assert all(sheet[0] == tuple(NAMES) for sheet in sheets)
    assert [row[3] for sheet in sheets for row in sheet[1:]] == list(range(count))


def test_a_sheet_takes_all_the_rows_that_excel_takes() -> None:
    assert MOST_SHEET_ROWS == 2**20 - 1


def test_xlsx_needs_no_zip64_and_no_way_back() -> None:
    content = written(FileFormat.XLSX, many(2000))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist()[0] == "[Content_Types].xml"
        for entry in archive.infolist():
            assert entry.flag_bits & 0x08, "sizes stand behind the entry"
            assert entry.extract_version < 45, "Excel does not take ZIP64 from a stream"
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)


@pytest.mark.parametrize("file_format", FileFormat)
def test_the_same_rows_give_the_same_bytes(file_format: FileFormat) -> None:
    assert written(file_format, many(500)) == written(file_format, many(500))


def many(count: int) -> Iterator[Row]:
    for number in range(count):
        yield f"id-{number * 7919:x}", Decimal(number).scaleb(-8), MOMENT + timedelta(seconds=number), number % 5


class Source:
    """Rows that know how many of them were asked for, and whether they were closed."""

    def __init__(self, count: int) -> None:
        self.taken = 0
        self.is_closed = False
        self._rows = many(count)

    def __iter__(self) -> Iterator[Sequence[object]]:
        return self

    def __next__(self) -> Sequence[object]:
        row = next(self._rows)
        self.taken += 1
        return row

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("file_format", [FileFormat.CSV, FileFormat.NDJSON])
def test_rows_are_taken_only_as_bytes_are(file_format: FileFormat) -> None:
    source = Source(1_000_000)
    chunks = write_table(file_format, COLUMNS, source)
    assert source.taken == 0
    first = next(chunks)
    after_first = source.taken
    assert len(first) == CHUNK
    assert 0 < after_first < 20_000
    next(chunks)
    assert after_first < source.taken < 2 * after_first + 2000
    assert not source.is_closed
    chunks.close()  # type: ignore[attr-defined]
    assert source.is_closed


@pytest.mark.parametrize("file_format", FileFormat)
def test_rows_are_closed_however_it_ends(file_format: FileFormat) -> None:
    never_begun, finished = Source(10), Source(10)
    write_table(file_format, COLUMNS, never_begun).close()  # type: ignore[attr-defined]
    written(file_format, finished)
    assert (never_begun.is_closed, never_begun.taken) == (True, 0)
    assert (finished.is_closed, finished.taken) == (True, 10)


@pytest.mark.parametrize("file_format", FileFormat)
def test_what_the_rows_raise_goes_through_and_nothing_more_comes(file_format: FileFormat) -> None:
    def failing() -> Iterator[Row]:
        yield from many(30_000)
        raise ConnectionError("the database is gone")

    chunks = write_table(file_format, COLUMNS, failing())
    with pytest.raises(ConnectionError):
        for _ in chunks:
            pass
    assert list(chunks) == []


@pytest.mark.parametrize("file_format", FileFormat)
@pytest.mark.parametrize("row", [("short",), ("a", None, None, None, "one too many")])
def test_a_row_of_another_table_is_refused(file_format: FileFormat, row: tuple[object, ...]) -> None:
    with pytest.raises(ValueError):
        written(file_format, [row])


@pytest.mark.parametrize("file_format", FileFormat)
def test_memory_does_not_grow_with_the_rows(file_format: FileFormat) -> None:
    """150,000 rows in memory would be about 50 MB."""
    process = psutil.Process()
    chunks = write_table(file_format, COLUMNS, many(150_000))
    size = sum(map(len, islice(chunks, 5)))
    before = process.memory_info().rss
    size += sum(map(len, chunks))
    assert size > 1_500_000
    assert process.memory_info().rss - before < 8_000_000
