"""`GET /api/v1/summary`: the JSON, its groups, and what it refuses."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert

from tests.support.clock import START
from tests.support.example_rows import RECONCILIATION, TRANSACTION
from webhook_app.db.database import Database
from webhook_app.models import Reconciliation, Transaction

URL = "/api/v1/summary"


@pytest.fixture
def finance(client: FlaskClient, as_finance: dict[str, str]) -> FlaskClient:
    client.environ_base["HTTP_AUTHORIZATION"] = as_finance["Authorization"]
    return client


@pytest.fixture
def filled(database: Database) -> Database:
    rows = [
        ("a", {"status": "completed", "crypto_amount": "0.1", "fiat_currency": "EUR", "fiat_amount": "1.10"}),
        ("b", {"status": "completed", "crypto_amount": "0.2", "fiat_currency": "EUR", "fiat_amount": "2.2"}),
        ("c", {"status": "failed", "currency": "BTC", "network": "bitcoin", "created_at": START + timedelta(hours=13)}),
    ]
    done = {"state": "succeeded", "next_attempt_at": None, "reconciled_at": START}
    with database.write() as session:
        for name, row in rows:
            exact = {key: Decimal(value) if "amount" in key else value for key, value in row.items()}
            session.execute(insert(Reconciliation).values(RECONCILIATION | done | {"merchant_transaction_id": name}))
            session.execute(insert(Transaction).values(TRANSACTION | {"merchant_transaction_id": name} | exact))
        session.execute(insert(Reconciliation).values(RECONCILIATION | {"merchant_transaction_id": "never"}))
    return database


def test_summary_by_everything(finance: FlaskClient, filled: Database) -> None:
    told = finance.get(URL).json
    assert {name: told[name] for name in ("by", "day_of", "tz", "count", "last_confirmed_at")} == {
        "by": ["day", "type", "status", "currency", "network", "fiat_currency"],
        "day_of": "created",
        "tz": "UTC",
        "count": 3,
        "last_confirmed_at": "2026-04-01T12:00:00Z",
    }
    assert told["items"] == [
        {
            **{"day": "2026-04-01", "type": "buy", "status": "completed", "currency": "USDT", "network": None},
            **{"fiat_currency": "EUR", "count": 2, "crypto_amount": "0.3", "fiat_amount": "3.30"},
        },
        {
            **{"day": "2026-04-02", "type": "buy", "status": "failed", "currency": "BTC", "network": "bitcoin"},
            **{"fiat_currency": None, "count": 1, "crypto_amount": None, "fiat_amount": None},
        },
    ]
    assert told["freshness"] == {"pending": 1, "failed": 0, "unconfirmed": 1, "most_counted": 10_000}


def test_summary_by_some_in_another_time_zone(finance: FlaskClient, filled: Database) -> None:
    told = finance.get(f"{URL}?by=day,status&tz=America/Los_Angeles&currency=BTC").json
    assert [(row["day"], row["status"], row["type"], row["count"]) for row in told["items"]] == [
        ("2026-04-01", "failed", None, 1)
    ]
    assert told["tz"] == "America/Los_Angeles"


def test_summary_as_of_a_moment_counts_what_was_not_confirmed_then(finance: FlaskClient, filled: Database) -> None:
    told = finance.get(f"{URL}?as_of=2026-04-01T12:00:00Z").json
    assert (told["count"], told["freshness"]) == (
        3,
        {"pending": None, "failed": None, "unconfirmed": 1, "most_counted": 10_000},
    )
    before = finance.get(f"{URL}?as_of=2026-04-01T11:59:59Z").json
    assert (before["count"], before["items"], before["freshness"]["unconfirmed"]) == (0, [], 0)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"by": ""}, "by"),
        ({"by": "day,colour"}, "by"),
        ({"by": "day;DROP TABLE transactions"}, "by"),
        ({"tz": "Mars/Base"}, "tz"),
        ({"tz": "<script>"}, "tz"),
        ({"day_of": "birth"}, "day_of"),
        ({"as_of": "2099-01-01"}, "as_of"),
        ({"as_of": "2026-04-01", "state": "failed"}, "state"),
        ({"as_of": "2026-04-01", "anomaly": "any"}, "anomaly"),
        ({"created_from": "2026-04-02", "created_to": "2026-04-01"}, "created_from"),
        ({"limit": "5"}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"status": "done"}, "status"),
    ],
)
def test_what_makes_no_sense_is_400_with_the_field(finance: FlaskClient, query: dict[str, str], field: str) -> None:
    answer = finance.get(f"{URL}?{urlencode(query)}")
    assert answer.status_code == 400
    assert any(name.startswith(field) for name in answer.json["fields"]), answer.json
    assert (answer.json["error"], answer.json["code"]) == ("invalid_request", "validation_error")
