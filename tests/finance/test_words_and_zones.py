"""Letter case never matters where a value has one meaning, and dates are those of the zone that is named: on the list,
its page, in files, in the summary and in the shell alike."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from sqlalchemy import text

from benchmarks.seed import seed_postgresql, seed_sqlite
from tests.support.page_text import ids, in_words
from tests.support.plans import explained
from tests.support.rows import confirm, note
from webhook_app.cli import cli
from webhook_app.db.database import Database
from webhook_app.usecases.finance.stored_values import list_values

MIXED = "status=Completed&type=BUY&currency=usdt&network=Trc20&fiat_currency=eur"
MARCH = "created_from=2026-03-01&created_to=2026-04-01&tz=Europe/Paris"


def _confirm_all(database: Database) -> None:
    values = {"status": "completed", "type": "buy", "currency": "USDT", "fiat_amount": Decimal(1)}
    confirm(database, "a", network="TRC20", fiat_currency="EUR", **values)
    confirm(database, "b", network="trc20", fiat_currency="Eur", **values)  # as Proof may come to write it
    confirm(database, "c", network="TRC20", fiat_currency="USD", **values)
    confirm(database, "d", network=None, fiat_currency="EUR", **values)


def test_letter_case_matters_in_ids_and_users_alone(
    client: FlaskClient, finance_client: FlaskClient, as_finance: dict[str, str], database: Database
) -> None:
    _confirm_all(database)
    confirm(database, "e", partner_user_id="User-7")
    listed = client.get(f"/api/v1/transactions?{MIXED}", headers=as_finance).json
    assert listed is not None
    assert [one["merchant_transaction_id"] for one in listed["items"]] == ["b", "a"]
    assert ids(finance_client.get(f"/transactions?{MIXED}").text) == ["b", "a"]
    summary = client.get(f"/api/v1/summary?by=status&{MIXED}", headers=as_finance).json
    assert summary is not None
    assert summary["count"] == 2
    assert client.get(f"/api/v1/summary?{MIXED}&as_of=2026-04-01T12:00:00Z", headers=as_finance).json["count"] == 2
    exported = client.get(f"/api/v1/transactions/export?format=csv&{MIXED}", headers=as_finance)
    assert [line.split(",")[0] for line in exported.text.splitlines()[1:]] == ["b", "a"]
    assert ids(finance_client.get("/transactions?partner_user_id=user-7").text) == []
    assert ids(finance_client.get("/transactions?fiat_currency=nok").text) == []


def test_dates_are_those_of_the_zone_that_is_named(
    client: FlaskClient, finance_client: FlaskClient, as_finance: dict[str, str], database: Database
) -> None:
    def at(day: int, hour: int, month: int = 3) -> datetime:
        return datetime(2026, month, day, hour, 30, tzinfo=UTC)

    # Paris is an hour ahead at the begin of March, and two at its end.
    for name, created_at in (
        ("before", at(28, 22, 2)),
        ("first", at(28, 23, 2)),
        ("last", at(31, 21)),
        ("after", at(31, 22)),
    ):
        confirm(database, name, created_at=created_at, status="completed")
    listed = client.get(f"/api/v1/transactions?{MARCH}", headers=as_finance).json
    assert listed is not None
    assert [one["merchant_transaction_id"] for one in listed["items"]] == ["last", "first"]
    page = finance_client.get(f"/transactions?{MARCH}").text
    assert ids(page) == ["last", "first"]
    assert 'name="created_from" value="2026-03-01"' in page
    summary = client.get(f"/api/v1/summary?by=day&{MARCH}", headers=as_finance).json
    assert summary is not None
    assert [row["day"] for row in summary["items"]] == ["2026-03-01", "2026-03-31"]
    for exported in (
        client.get(f"/api/v1/transactions/export?format=csv&{MARCH}", headers=as_finance),
        finance_client.get(f"/transactions.csv?{MARCH}"),
    ):
        assert [line.split(",")[0] for line in exported.text.splitlines()[1:]] == ["last", "first"]
        name = exported.headers["Content-Disposition"]
        assert "created-2026-03-01-to-2026-04-01_tz-Europe-Paris_" in name
    in_utc = client.get("/api/v1/transactions?created_from=2026-03-01T00:00:00&tz=Asia/Tokyo", headers=as_finance).json
    assert in_utc is not None
    assert len(in_utc["items"]) == 4
    refused = client.get("/api/v1/transactions?created_from=2026-03-01&tz=Paris", headers=as_finance)
    assert refused.status_code == 400
    assert list(refused.json["fields"]) == ["tz"] if refused.json else False


def test_shell_reads_words_and_dates_alike(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _confirm_all(database)
    monkeypatch.setenv("DATABASE_URL", database_url)

    def export(*options: str) -> str:
        result = CliRunner().invoke(cli, ["export", "--format", "csv", "--output", "-", *options])
        return result.stdout if result.exit_code == 0 else result.stderr

    assert len(export("--fiat-currency", "eur", "--status", "COMPLETED", "--type", "Buy").splitlines()) == 4
    # START is noon in UTC, and the next day on Kiritimati.
    dates = ("--created-from", "2026-04-02", "--created-to", "2026-04-03")
    assert len(export(*dates).splitlines()) == 1
    assert len(export(*dates, "--tz", "Pacific/Kiritimati").splitlines()) == len(export(*dates[2:]).splitlines())
    assert "--tz" in export("--tz", "Paris")


def test_values_are_found_by_one_look_each(database: Database, database_url: str) -> None:
    if database.is_sqlite:
        seed_sqlite(database_url.removeprefix("sqlite:///"), 3000)
    else:
        seed_postgresql(database_url.replace("postgresql+psycopg://", "postgresql://", 1), 3000)
    with explained(database) as found:
        values = list_values(database)
    with database.read() as session:
        for name, listed in values.items():
            stored = session.scalars(text(f"SELECT DISTINCT {name} FROM transactions WHERE {name} IS NOT NULL"))
            assert sorted(listed) == sorted(stored), name
    for one in found:
        assert "Seq Scan on transactions" not in one.plan
        assert "SCAN transactions\n" not in f"{one.plan}\n"


def test_times_in_the_list_are_of_the_zone_of_its_dates(finance_client: FlaskClient, database: Database) -> None:
    """March in Paris had a row of "28 Feb 2026 23:30"."""
    begin = datetime(2026, 2, 28, 23, 30, tzinfo=UTC)
    confirm(database, "first", created_at=begin, updated_at=begin, status="completed")
    page = finance_client.get(f"/transactions?{MARCH}").text
    assert page.count('title="2026-02-28 23:30:00 UTC">1 Mar 2026 00:30</time>') == 2
    assert "28 Feb 2026" not in page
    assert "times in the list are of Europe/Paris, all others UTC" in in_words(page)
    plain = in_words(finance_client.get("/transactions").text)
    assert "28 Feb 2026 23:30" in plain
    assert "all times are UTC" in plain


OPENED_IN_MARCH = "opened_from=2026-03-01&opened_to=2026-04-01&tz=Europe/Paris"


def test_discrepancies_are_of_the_days_of_the_zone_that_is_named(
    client: FlaskClient, finance_client: FlaskClient, as_finance: dict[str, str], database: Database
) -> None:
    for name, at in (
        ("before", datetime(2026, 2, 28, 22, 30, tzinfo=UTC)),
        ("first", datetime(2026, 2, 28, 23, 30, tzinfo=UTC)),
        ("last", datetime(2026, 3, 31, 21, 30, tzinfo=UTC)),
        ("after", datetime(2026, 3, 31, 22, 30, tzinfo=UTC)),
    ):
        note(database, name, "stale_answer", detected_at=at, detail="gave up at 2026-02-28T23:30:00Z")
    listed = client.get(f"/api/v1/discrepancies?{OPENED_IN_MARCH}", headers=as_finance).json
    assert listed is not None
    assert [one["merchant_transaction_id"] for one in listed["items"]] == ["last", "first"]
    assert client.get("/api/v1/discrepancies?tz=Paris", headers=as_finance).status_code == 400
    page = finance_client.get(f"/discrepancies?{OPENED_IN_MARCH}").text
    assert ids(page) == ["last", "first"]
    words = in_words(page)
    assert "Opened: March 2026, Europe/Paris" in words
    assert "1 Mar 2026 00:30" in words
    assert "Gave up at 1 Mar 2026 00:30:00" in words
    assert "times in the list are of Europe/Paris, all others UTC" in words
    assert 'name="opened_from" value="2026-03-01"' in page
    sheet = finance_client.get(f"/discrepancies.csv?{OPENED_IN_MARCH}").text
    assert "last" in sheet
    assert "2026-02-28T23:30:00Z" in sheet, "files are UTC"
    assert "after" not in sheet


def test_named_periods_of_discrepancies_are_the_readers(finance_client: FlaskClient) -> None:
    finance_client.set_cookie("tz", "Pacific/Kiritimati")  # where it is the second of April already
    page = finance_client.get("/discrepancies").text
    today = "opened_from=2026-04-02&amp;opened_to=2026-04-03&amp;tz=Pacific%2FKiritimati"
    assert f'href="/discrepancies?{today}">Today<' in page
    assert "<option selected>Pacific/Kiritimati</option>" in page
    chosen = finance_client.get(f"/discrepancies?{today}".replace("&amp;", "&")).text
    assert "Opened: 2 Apr 2026, Pacific/Kiritimati" in in_words(chosen)
    finance_client.set_cookie("tz", "Paris")
    assert 'tz=UTC">Today<' in finance_client.get("/discrepancies").text
    assert "Nothing is open." in finance_client.get("/discrepancies?tz=UTC").text, "a zone alone narrows nothing"


def test_typed_times_say_that_they_are_utc_where_no_zone_can_be_chosen(
    finance_client: FlaskClient, admin_client: FlaskClient
) -> None:
    deliveries = in_words(admin_client.get("/deliveries").text)
    assert "Received from (UTC) Received before (UTC)" in deliveries
    scorecard = in_words(finance_client.get("/scorecard").text)
    assert "First day (UTC) Last day (UTC)" in scorecard
    assert "Days (UTC): 3 Mar – 1 Apr 2026" in scorecard
    for path in ("/transactions", "/discrepancies"):
        assert "(UTC)" not in finance_client.get(path).text
