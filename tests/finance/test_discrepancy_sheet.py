"""Discrepancies by spreadsheet: downloaded, notes filled in, sent back, looked at once more, acknowledged."""

from __future__ import annotations

import csv
import io
import re
from html import unescape

import openpyxl
import pytest
from flask.testing import FlaskClient

from tests.support.clock import START
from tests.support.page_text import EVIL, in_words
from tests.support.people import BROWSER, csrf_token
from tests.support.rows import confirm, note
from webhook_app.db.database import Database
from webhook_app.usecases.audit import Actor
from webhook_app.usecases.finance.discrepancies import acknowledge, find_discrepancy

NOTES = {"a": "asked Proof; they say it is right", "b": "zweite Zeile\nÄ", "c": EVIL}


@pytest.fixture
def found(database: Database) -> dict[str, int]:
    confirm(database, "a", status="completed")
    return {name: note(database, name, "stale_answer", detail=f"=detail of {name}") for name in ("a", "b", "c", "d")}


def fill_csv(content: bytes, delimiter: str, encoding: str) -> bytes:
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    for row in rows:
        row["note"] = NOTES.get(row["merchant_transaction_id"], "")
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode(encoding)


def fill_xlsx(content: bytes) -> bytes:
    book = openpyxl.load_workbook(io.BytesIO(content))
    (sheet,) = book.worksheets
    header = [cell.value for cell in sheet[1]]
    for row in sheet.iter_rows(min_row=2):
        row[header.index("note")].value = NOTES.get(str(row[header.index("merchant_transaction_id")].value))
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def send(client: FlaskClient, content: bytes, name: str = "discrepancies.csv") -> str:
    form = {"file": (io.BytesIO(content), name), "csrf_token": csrf_token(client, "/account")}
    answer = client.post("/discrepancies/sheet", data=form, headers=BROWSER, follow_redirects=True)
    assert answer.status_code == 200
    return answer.text


def apply(client: FlaskClient, preview: str) -> str:
    rows = re.search(r'name="rows" value="([^"]*)"', preview)
    assert rows
    form = {"rows": unescape(rows[1]), "csrf_token": csrf_token(client, "/account")}
    return in_words(client.post("/discrepancies/sheet/apply", data=form, headers=BROWSER, follow_redirects=True).text)


@pytest.mark.parametrize(("form", "delimiter", "encoding"), [
    ("csv", ",", "utf-8"), ("csv", ";", "utf-8-sig"), ("csv", "\t", "cp1252"), ("xlsx", "", ""),
])  # fmt: skip
def test_notes_go_out_empty_and_come_back_filled_in(
    form: str,
    delimiter: str,
    encoding: str,
    finance_client: FlaskClient,
    admin_client: FlaskClient,
    database: Database,
    found: dict[str, int],
) -> None:
    answer = finance_client.get(f"/discrepancies.{form}?severity=info")
    assert answer.status_code == 200
    assert "discrepancies_state-open_severity-info_" in answer.headers["Content-Disposition"]
    of_all = finance_client.get(f"/discrepancies.{form}?state=all")
    assert "discrepancies_state-all_" in of_all.headers["Content-Disposition"]
    filled = fill_xlsx(answer.data) if form == "xlsx" else fill_csv(answer.data, delimiter, encoding)
    acknowledge(database, found["b"], "I was faster", Actor("ada", "page"), START)
    preview = send(finance_client, filled)
    words = in_words(preview)
    assert "Acknowledge 2 discrepancies?" in words
    assert "1 row has no new note" in words
    assert f"discrepancy {found['b']} : ada has acknowledged it already: “I was faster”." in words
    assert "<img src=x" not in preview
    held = find_discrepancy(database, found["a"])
    assert held is not None
    assert held.state == "open"  # nothing is changed yet
    assert "Acknowledged: 2." in apply(finance_client, preview)
    notes = {name: one.note for name, id in found.items() if (one := find_discrepancy(database, id)) is not None}
    assert notes == {"a": NOTES["a"], "b": "I was faster", "c": EVIL, "d": None}
    assert in_words(admin_client.get("/audit?actor=fin").text).count("acknowledged a discrepancy") == 2
    assert "Nothing to acknowledge" in send(finance_client, filled)
    assert "2 had changed meanwhile" in apply(finance_client, preview)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "there is no id, no revision, no note"),
        (b"id,note\n1,x\n", "there is no revision"),
        (b"PK\x03\x04 no workbook", "It is no workbook that can be read"),
        (b"id,revision,note\n" + b"1,1,x\n" * 501, "more than 500 rows"),
        (b'id,revision,note\n1,1,"' + b"x" * 200_000 + b'"\n', "cannot be read as CSV"),
        (b"id,revision,note\n999,1,x\nabc,1,x\n1,x,x\n1,1," + b"x" * 501 + b"\n", "Nothing to acknowledge"),
        (bytes(range(256)), "must name the columns"),
    ],
)
def test_file_that_is_no_such_sheet_is_refused_in_words(
    content: bytes, says: str, finance_client: FlaskClient, found: dict[str, int]
) -> None:
    assert says in in_words(send(finance_client, content))


@pytest.mark.parametrize(("template", "encoding"), [
    ("ID, Revision ,NOTE\n{id},1,seen\n", "utf-8"),
    ("sep=;\r\nnote;id;revision\r\nseen;{id};1\r\n", "utf-8-sig"),
    ("id\trevision\tnote\r\n{id}\t1\tseen\r\n", "utf-16"),
])  # fmt: skip
def test_header_is_read_as_spreadsheets_and_people_write_it(
    template: str, encoding: str, finance_client: FlaskClient, found: dict[str, int]
) -> None:
    assert "Acknowledge 1 discrepancy?" in in_words(
        send(finance_client, template.format(id=found["a"]).encode(encoding))
    )


def test_discrepancy_that_stands_there_twice_is_taken_once(finance_client: FlaskClient, found: dict[str, int]) -> None:
    words = in_words(send(finance_client, f"id,revision,note\n{found['a']},1,one\n{found['a']},1,two\n".encode()))
    assert "Acknowledge 1 discrepancy?" in words
    assert "more than once: its first note is taken" in words


def test_form_that_was_not_made_here_changes_nothing(finance_client: FlaskClient, found: dict[str, int]) -> None:
    for rows in ("", "{}", "[1]", '[["1", "1"]]', '[["1", "1", 2]]', "[" * 100_000):
        form = {"rows": rows, "csrf_token": csrf_token(finance_client, "/account")}
        assert finance_client.post("/discrepancies/sheet/apply", data=form, headers=BROWSER).status_code == 400
    assert finance_client.post("/discrepancies/sheet/apply", data={"rows": "[]"}, headers=BROWSER).status_code == 400
