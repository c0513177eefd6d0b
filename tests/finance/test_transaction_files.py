"""`/transactions.csv`, `.ndjson`, `.xlsx`: the page's filter as a file, for who is logged in and has the role."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.support.clock import FakeClock
from tests.support.ledger import fill_ledger
from tests.support.people import BROWSER
from webhook_app.adapters.table_files import FileFormat
from webhook_app.db.database import Database
from webhook_app.usecases.finance.export import export_file
from webhook_app.usecases.finance.transaction_filter import TransactionFilter


@pytest.mark.parametrize("file_format", list(FileFormat))
def test_file_holds_what_the_filter_finds(
    finance_client: FlaskClient, database: Database, clock: FakeClock, file_format: FileFormat
) -> None:
    fill_ledger(database, 60)
    clock.advance(60)
    answer = finance_client.get(f"/transactions.{file_format}?status=completed&q=id-2")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == file_format.media_type
    assert answer.headers["Content-Disposition"] == (
        f'attachment; filename="transactions_q-id-2_status-completed_20260401T120100Z.{file_format}"'
    )
    assert answer.headers["X-Failed"] == "2"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    wanted = TransactionFilter(q="id-2", status="completed")
    assert answer.data == b"".join(export_file(database, wanted, file_format))


def test_blank_fields_and_what_is_the_pages_own_make_no_difference(
    finance_client: FlaskClient, database: Database
) -> None:
    fill_ledger(database, 30)
    plain = finance_client.get("/transactions.csv?status=completed")
    form = "q=&status=+completed+&type=&created_from=&as_of=&state=%20&tz=Europe/Paris&day_of=updated&volume_in=EUR"
    answer = finance_client.get(f"/transactions.csv?{form}&cursor=anything&limit=3")
    assert (answer.status_code, answer.data) == (200, plain.data)
    assert answer.headers["Content-Disposition"] == plain.headers["Content-Disposition"]


WRONG = [
    ("status=paid", "status: Must be one of"),
    ("created_from=yesterday", "created_from: Must be a date"),
    ("created_from=2026-04-02&created_to=2026-04-01", "created_from: Must be before"),
    ("as_of=2099-01-01", "as_of: Must not be in the future"),
    ("as_of=2026-03-01&state=failed", "state: Cannot be combined"),
    ("q=%00", "q: Must be 1 to 128"),
    ("nonsense=1", "nonsense: Unknown field"),
    ("format=xlsx", "format: Unknown field"),
    ("status=completed&status=failed", "status: Given more than once"),
    ("q=%00&nonsense=1", "control character. nonsense: Unknown field."),
    ("%3Cscript%3E=1", "&lt;script&gt;: Unknown field"),
]


def test_wrong_filter_is_a_page_that_names_it(finance_client: FlaskClient) -> None:
    for query, sentence in WRONG:
        answer = finance_client.get(f"/transactions.csv?{query}")
        assert (answer.status_code, answer.mimetype) == (400, "text/html"), query
        assert sentence in answer.text, query
        assert "Content-Disposition" not in answer.headers


@pytest.mark.parametrize("path", ["/transactions.pdf", "/transactions.", "/transactions.CSV", "/transactions.csv/x"])
def test_other_extension_is_a_404(finance_client: FlaskClient, path: str) -> None:
    assert finance_client.get(path).status_code == 404


def test_files_are_for_who_is_logged_in(
    client: FlaskClient, admin_client: FlaskClient, as_finance: dict[str, str]
) -> None:
    away = client.get("/transactions.csv?status=failed", headers=BROWSER)
    assert away.status_code == 303
    assert away.headers["Location"] == "/login?next=/transactions.csv?status%3Dfailed"
    # A token is for programs, which have an address of their own.
    assert client.get("/transactions.csv", headers=as_finance).status_code == 303
    assert admin_client.get("/transactions.csv").status_code == 200


def test_links_of_the_page_lead_here(finance_client: FlaskClient) -> None:
    app = finance_client.application
    with app.test_request_context():
        for file_format in FileFormat:
            path = app.url_for("transaction_files.download", format=file_format, status="failed", q="a b")
            assert path == f"/transactions.{file_format}?status=failed&q=a+b"


def test_past_moment_is_told_in_a_header(finance_client: FlaskClient, database: Database, clock: FakeClock) -> None:
    fill_ledger(database, 10)
    clock.advance(60)
    answer = finance_client.get("/transactions.ndjson?as_of=2026-04-01T12:00:30Z")
    assert answer.headers["X-As-Of"] == "2026-04-01T12:00:30Z"
    assert '"status":"completed"' in answer.text
