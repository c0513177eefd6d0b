"""The parts of a workbook beside its rows: ECMA-376 Part 1, SpreadsheetML, and Part 2 for the package."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from webhook_app.adapters.table_files.columns import Column, ColumnKind

_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"

#: Indexes into the cell formats of `xl/styles.xml`. A cell without one is a number.
STYLE_TEXT = 1
STYLE_AMOUNT = 2
STYLE_HEADER = 3
STYLE_NUMBER = 4

#: In characters of the standard font: an id or a status, 18 decimals, an ISO 8601 timestamp to the second.
_WIDTHS = {ColumnKind.TEXT: 24, ColumnKind.AMOUNT: 24, ColumnKind.TIMESTAMP: 22, ColumnKind.COUNT: 10}

#: What goes before the sheets. How many of those there will be is not known yet, so whatever XML is not named is one.
FIRST = {
    "[Content_Types].xml": (
        f'{_HEAD}<Types xmlns="{_PACKAGE}/content-types">'
        f'<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Default Extension="xml" ContentType="{_TYPES}.worksheet+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPES}.sheet.main+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{_TYPES}.styles+xml"/></Types>'
    ),
    "_rels/.rels": (
        f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>'
    ),
    # Number format 49 is Text: what is typed into such a cell is never a formula.
    "xl/styles.xml": (
        f'{_HEAD}<styleSheet xmlns="{_MAIN}">'
        '<numFmts count="1"><numFmt numFmtId="164" formatCode="0.###############"/></numFmts>'
        '<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>'
        '<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>'
        '<fills count="2"><fill><patternFill patternType="none"/></fill>'
        '<fill><patternFill patternType="gray125"/></fill></fills>'
        '<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
        '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
        '<cellXfs count="5"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
        '<xf numFmtId="49" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
        '<xf numFmtId="49" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1" applyAlignment="1">'
        '<alignment horizontal="right"/></xf>'
        '<xf numFmtId="49" fontId="1" fillId="0" borderId="0" xfId="0" applyNumberFormat="1" applyFont="1"/>'
        # As many decimals as there are, up to 15: format 0, General, shows 11 digits.
        '<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/></cellXfs>'
        '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
    ),
}


def last(sheets: int, *, has_sums: bool = False) -> dict[str, str]:
    """What goes after that many sheets of data, and one of sums."""
    names = [*(f"Data {number}" for number in range(1, sheets + 1)), *(["Sums"] if has_sums else [])]
    sheets = len(names)
    numbers = range(1, sheets + 1)
    named = "".join(f'<sheet name="{name}" sheetId="{at}" r:id="rId{at}"/>' for at, name in enumerate(names, 1))
    related = "".join(
        f'<Relationship Id="rId{number}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{number}.xml"/>'
        for number in numbers
    )
    return {
        "xl/workbook.xml": f'{_HEAD}<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{named}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": (
            f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">{related}'
            f'<Relationship Id="rId{sheets + 1}" Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>'
        ),
    }


def sheet_path(number: int) -> str:
    return f"xl/worksheets/sheet{number}.xml"


def sheet_start(columns: Sequence[Column]) -> str:
    """A sheet up to its first row of data."""
    widths = "".join(
        f'<col min="{at}" max="{at}" width="{max(_WIDTHS[column.kind], len(column.name) + 4)}" customWidth="1"/>'
        for at, column in enumerate(columns, 1)
    )
    names = "".join(
        f'<c r="{column_letters(at)}1" s="{STYLE_HEADER}" t="inlineStr"><is><t>{escape(column.name)}</t></is></c>'
        for at, column in enumerate(columns)
    )
    return (
        f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0">'
        '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>'
        f'<sheetFormatPr defaultRowHeight="15"/><cols>{widths}</cols><sheetData><row r="1">{names}</row>'
    )


def sheet_end(width: int, last_row: int) -> str:
    """All that follows a sheet's last row: filters, and no green corner on every amount for a number that is text."""
    corner = f"{column_letters(width - 1)}{last_row}"
    return (
        f'</sheetData><autoFilter ref="A1:{corner}"/>'
        f'<ignoredErrors><ignoredError sqref="A1:{corner}" numberStoredAsText="1"/></ignoredErrors></worksheet>'
    )


def column_letters(index: int) -> str:
    """`A` for 0, `AA` for 26."""
    letters = ""
    index += 1
    while index:
        index, letter = divmod(index - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return letters
