"""`GET /api/v1/transactions/export`: the list as a file, with its freshness in headers, refused as the list refuses."""

from __future__ import annotations

import csv
import http.client
import io
import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import urlencode

import psycopg
import pytest
from flask.testing import FlaskClient
from sqlalchemy import text, update

from tests.support.clock import START, FakeClock
from tests.support.ledger import BETWEEN, FILTERS, LATER, fill_ledger, fill_long
from tests.support.servers import PostgresServer
from tests.support.waiting import wait_for
from tests.support.web_process import web_process
from webhook_app.db.database import Database
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models import Reconciliation, Transaction
from webhook_app.models.role import Role
from webhook_app.usecases.access.tokens import create_token

LIST = "/api/v1/transactions"
URL = f"{LIST}/export"
MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8; header=present",
    "ndjson": "application/x-ndjson",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


@pytest.fixture
def finance(client: FlaskClient, as_finance: dict[str, str], clock: FakeClock) -> FlaskClient:
    clock.now = LATER
    client.environ_base["HTTP_AUTHORIZATION"] = as_finance["Authorization"]
    return client


def asked(given: dict[str, object]) -> dict[str, str]:
    """A filter as a query."""
    return {
        name: str(format_timestamp(value) if isinstance(value, datetime) else value) for name, value in given.items()
    }


def test_every_filter_exports_what_the_list_tells(finance: FlaskClient, database: Database) -> None:
    fill_ledger(database)
    for given in FILTERS:
        query = asked(given)
        exported = finance.get(URL, query_string=query | {"format": "ndjson"})
        assert exported.status_code == 200, given
        listed = finance.get(LIST, query_string=query | {"limit": "200"}).json
        rows = [json.loads(line) for line in exported.text.splitlines()]
        same = list(rows[0])[:12] if rows else []
        assert [[row[name] for name in same] for row in rows] == [
            [item[name] for name in same] for item in listed["items"]
        ], given
        told = {name: exported.headers.get(f"X-{name.capitalize()}") for name in ("pending", "failed")}
        assert told == {name: None if "as_of" in given else str(listed["freshness"][name]) for name in told}
        assert exported.headers.get("X-As-Of") == query.get("as_of")


@pytest.mark.parametrize("file_format", list(MEDIA_TYPES))
def test_file_is_named_after_filter_and_moment(finance: FlaskClient, database: Database, file_format: str) -> None:
    fill_ledger(database, 20)
    answer = finance.get(f"{URL}?format={file_format}&status=completed&partner_user_id=%3D1%2B2")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == MEDIA_TYPES[file_format]
    assert answer.headers["Content-Disposition"] == (
        f'attachment; filename="transactions_status-completed_user-1-2_20260402T120000Z.{file_format}"'
    )
    assert answer.headers["Cache-Control"] == "no-store"
    content = {"csv": csv_ids, "ndjson": ndjson_ids, "xlsx": xlsx_ids}[file_format](answer.data)
    assert content == ["id-9"]


def csv_ids(data: bytes) -> list[str]:
    return [row["merchant_transaction_id"] for row in csv.DictReader(io.StringIO(data.decode(), newline=""))]


def ndjson_ids(data: bytes) -> list[str]:
    return [json.loads(line)["merchant_transaction_id"] for line in data.splitlines()]


def xlsx_ids(data: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(data)) as workbook:
        assert workbook.testzip() is None
        sheet = workbook.read("xl/worksheets/sheet1.xml").decode()
    return re.findall(r'<c r="A(?!1")\d+"[^>]*><is><t[^>]*>([^<]*)</t>', sheet)


def test_headers_tell_how_fresh_it_is(finance: FlaskClient, database: Database) -> None:
    fill_ledger(database)

    def told(query: str) -> list[str | None]:
        with finance.get(f"{URL}?format=csv&{query}") as answer:
            headers = answer.headers
        return [headers.get(name) for name in ("X-Pending", "X-Failed", "X-Unconfirmed", "X-As-Of")]

    assert told("") == ["64", "21", "22", None]
    assert told("state=failed") == ["0", "21", "0", None]
    assert told("q=id-14") == ["5", "1", "3", None]
    assert told("as_of=2026-04-02") == [None, None, "22", "2026-04-02T00:00:00Z"]


def test_past_moment_is_exported_alike_before_and_after_what_came_later(
    finance: FlaskClient, database: Database
) -> None:
    fill_ledger(database)
    path = f"{URL}?format=csv&created_from=2026-03-01&as_of={format_timestamp(BETWEEN)}"
    before = finance.get(path).data
    with database.write() as session:
        changed = {"status": "failed", "fiat_amount": 1, "created_at": START, "confirmed_at": LATER}
        session.execute(update(Transaction).values(changed))
        session.execute(update(Reconciliation).values(state="failed", next_attempt_at=None))
    assert finance.get(path).data == before
    assert before.count(b"\r\n") > 100


WRONG = [
    ("", "format"),
    ("format=", "format"),
    ("format=pdf", "format"),
    ("format=CSV", "format"),
    ("format=csv&limit=10", "limit"),
    ("format=csv&cursor=x", "cursor"),
    ("format=csv&nonsense=1", "nonsense"),
    ("format=csv&%3Cscript%3E=1", "<script>"),
    ("format=csv&status=paid", "status"),
    ("format=csv&created_from=yesterday", "created_from"),
    ("format=csv&created_from=2026-04-02&created_to=2026-04-01", "created_from"),
    ("format=csv&updated_from=2026-04-02&updated_to=2026-04-02", "updated_from"),
    ("format=csv&as_of=2099-01-01", "as_of"),
    ("format=csv&as_of=2026-04-01&state=failed", "state"),
    ("format=csv&as_of=2026-04-01&anomaly=any", "anomaly"),
]


def test_wrong_query_is_a_400_that_names_the_field(finance: FlaskClient) -> None:
    for query, named in WRONG:
        answer = finance.get(f"{URL}?{query}")
        assert (answer.status_code, list(answer.json["fields"])) == (400, [named]), query
        assert named in answer.json["message"]
        assert "Content-Disposition" not in answer.headers


NAMES = ("q", "status", "type", "currency", "network", "fiat_currency", "partner_user_id", "state", "anomaly")
NAMES += ("created_from", "created_to", "updated_from", "updated_to", "as_of", "tz")
HOSTILE = ("<script>alert(1)</script>", "' OR 1=1 --", "%00", "\\", "x" * 5000, "", "é\u202e", "0001-01-01T00:00+14:00")
HOSTILE += ("'; DROP TABLE transactions; --", "%ff%fe", "\r\nX-Evil: 1", "{{7*7}}", "=cmd|' /C calc'!A0")


def test_hostile_value_is_a_400_that_names_the_field_or_finds_nothing(finance: FlaskClient, database: Database) -> None:
    fill_ledger(database, 20)
    for name in NAMES:
        for value in HOSTILE:
            query = f"{name}={value}" if "%" in value else urlencode({name: value})
            answer = finance.get(f"{URL}?format=ndjson&{query}")
            if answer.status_code == 200:
                assert answer.data == b"", (name, value)
                assert re.fullmatch(
                    r'attachment; filename="[A-Za-z0-9._-]{1,240}"', answer.headers["Content-Disposition"]
                )
                assert "X-Evil" not in answer.headers
            else:
                assert (answer.status_code, list(answer.json["fields"])) == (400, [name]), value


def test_export_is_for_finance_and_admins(client: FlaskClient, database: Database) -> None:
    def status(token: str | None) -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return client.get(f"{URL}?format=csv", headers=headers).status_code

    found = {role: status(create_token(database, f"of {role}", role, START)) for role in Role}
    assert found == {Role.FINANCE: 200, Role.ADMIN: 200, Role.SERVICE: 403}
    assert (status(None), status("wrong")) == (401, 401)


def test_head_tells_the_headers_alone(finance: FlaskClient, database: Database) -> None:
    fill_ledger(database, 20)
    answer = finance.head(f"{URL}?format=csv")
    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.headers["X-Failed"] == "2"


def test_csv_for_excel_begins_with_its_mark_and_no_other_file_may(
    client: FlaskClient, finance_client: FlaskClient, as_finance: dict[str, str]
) -> None:
    for answer in (
        client.get(f"{URL}?format=csv&bom=true", headers=as_finance),
        finance_client.get("/transactions.csv?bom=true&status="),
    ):
        assert answer.data.startswith(b"\xef\xbb\xbfmerchant_transaction_id,")
    refused = client.get(f"{URL}?format=xlsx&bom=true", headers=as_finance)
    assert refused.status_code == 400
    assert refused.json is not None
    assert list(refused.json["fields"]) == ["bom"]


def test_document_tells_of_each_format(client: FlaskClient) -> None:
    operation = client.get("/openapi.json").json["paths"][URL]["get"]
    answer = operation["responses"]["200"]
    assert answer["content"].keys() == {name.split(";")[0] for name in MEDIA_TYPES.values()}
    assert {"X-Pending", "X-Failed", "X-Unconfirmed", "X-As-Of", "Content-Disposition"} <= answer["headers"].keys()
    parameters = {parameter["name"]: parameter for parameter in operation["parameters"]}
    assert parameters["format"]["required"]
    assert parameters.keys() == {"format", "bom", *NAMES}


@contextmanager
def taken_away(database: Database, postgres: PostgresServer) -> Iterator[None]:
    """The database ends all its connections and takes no new ones; SQLite, which has none, lacks a table."""
    if database.is_sqlite:
        with database.write() as session:
            session.execute(text("ALTER TABLE reconciliations RENAME TO gone"))
        yield
        return
    name = database.engine.url.database
    plain_url = str(postgres.plain_url("postgres"))
    with psycopg.connect(plain_url, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false'.encode())
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            yield
        finally:
            connection.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true'.encode())


def test_database_that_goes_away_in_the_middle_breaks_the_connection(
    database: Database, redis_url: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    fill_long(database, 40_000)
    token = create_token(database, "a", Role.FINANCE, START)
    variables = {
        "DATABASE_URL": database.engine.url.render_as_string(hide_password=False),
        "REDIS_URL": redis_url,
        "LOG_FORMAT": "json",
    }
    with web_process(tmp_path, variables) as web:
        connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=60)
        with closing(connection):
            connection.request("GET", f"{URL}?format=ndjson", headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            assert answer.status == 200
            first = len(answer.read(65_536))
            postgres = None if database.is_sqlite else request.getfixturevalue("postgres")
            with taken_away(database, postgres), pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
                answer.read()
        assert first == 65_536
        wait_for(lambda: "export broken off" in web.log.read_text(), "it is told")
    lines = [json.loads(line) for line in web.log.read_text().splitlines() if "export broken off" in line]
    assert [line["error"] for line in lines] == ["OperationalError"]
    assert lines[0]["bytes"] > 2**21
    assert "long-" not in web.log.read_text()
