"""`/api/v1/discrepancies`: list, acknowledge, reopen."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert

from tests.support.clock import START, FakeClock
from tests.support.example_rows import DISCREPANCY, RECONCILIATION, TRANSACTION
from webhook_app.db.database import Database
from webhook_app.models import Discrepancy, Reconciliation, Transaction
from webhook_app.models.role import Role
from webhook_app.usecases.access.tokens import create_token

URL = "/api/v1/discrepancies"


@pytest.fixture
def finance(client: FlaskClient, as_finance: dict[str, str]) -> FlaskClient:
    client.environ_base["HTTP_AUTHORIZATION"] = as_finance["Authorization"]
    return client


@pytest.fixture
def filled(database: Database) -> Database:
    with database.write() as session:
        session.execute(insert(Reconciliation).values(RECONCILIATION))
        session.execute(insert(Transaction).values(TRANSACTION))
        for kind, at in [("stale_answer", START), ("impossible_step", START + timedelta(hours=1))]:
            session.execute(
                insert(Discrepancy).values(DISCREPANCY | {"kind": kind, "detail": f"<b>{kind}</b>", "detected_at": at})
            )
    return database


def test_discrepancy_has_everything(finance: FlaskClient, filled: Database) -> None:
    told = finance.get(URL).json
    assert told["next_cursor"] is None
    assert told["items"][1] == {
        **{"id": 1, "merchant_transaction_id": "a", "kind": "stale_answer", "severity": "info", "state": "open"},
        **{"revision": 1, "count": 1, "owner": None},
        **{"detail": "<b>stale_answer</b>", "detected_at": "2026-04-01T12:00:00Z", "opened_at": "2026-04-01T12:00:00Z"},
        **dict.fromkeys(("acknowledged_at", "acknowledged_by", "note", "resolved_at", "resolution")),
        **{"status": "pending", "currency": "USDT", "crypto_amount": None, "fiat_currency": None, "fiat_amount": None},
    }
    assert {"kind": "stale_answer", "severity": "info", "open": 1, "acknowledged": 0} in told["counts"]


def test_list_is_narrowed_and_paged(finance: FlaskClient, filled: Database) -> None:
    def ids(query: str) -> list[int]:
        return [item["id"] for item in finance.get(f"{URL}?{query}").json["items"]]

    assert ids("") == [2, 1]
    assert ids("kind=stale_answer") == [1]
    assert ids("severity=warning") == [2]
    assert ids("opened_to=2026-04-01T12:30:00Z") == [1]
    assert ids("opened_from=2026-04-01T12:30:00Z") == [2]
    assert ids("merchant_transaction_id=b") == []
    assert ids("state=acknowledged") == []
    assert ids("state=all") == [2, 1]
    first = finance.get(f"{URL}?limit=1").json
    assert ids(f"limit=1&cursor={first['next_cursor']}") == [1]


def test_acknowledged_with_a_note_by_the_tokens_name_and_reopened(
    finance: FlaskClient, filled: Database, clock: FakeClock
) -> None:
    clock.advance(60)
    answer = finance.post(f"{URL}/1/acknowledge", json={"note": "asked Proof", "revision": 1})
    assert answer.status_code == 200, answer.text
    assert {name: answer.json[name] for name in ("state", "note", "acknowledged_by", "acknowledged_at")} == {
        **{"state": "acknowledged", "note": "asked Proof", "acknowledged_by": "test"},
        "acknowledged_at": "2026-04-01T12:01:00Z",
    }
    again = finance.post(f"{URL}/1/acknowledge", json={"note": "again"})
    assert (again.status_code, again.json["code"]) == (409, "conflict")
    assert "test has acknowledged it already" in again.json["message"]
    assert [item["id"] for item in finance.get(URL).json["items"]] == [2]
    reopened = finance.post(f"{URL}/1/reopen", json={"reason": "not that one"})
    assert (reopened.status_code, reopened.json["state"], reopened.json["note"]) == (200, "open", None)
    assert finance.post(f"{URL}/1/reopen", json={"reason": "twice"}).status_code == 409


def test_revision_that_is_not_the_present_one_is_a_conflict(finance: FlaskClient, filled: Database) -> None:
    answer = finance.post(f"{URL}/1/acknowledge", json={"note": "seen", "revision": 2})
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")
    assert "has changed meanwhile" in answer.json["message"]


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("1/acknowledge", {}, 400, "note"),
        ("1/acknowledge", {"note": ""}, 400, "note"),
        ("1/acknowledge", {"note": 5}, 400, "note"),
        ("1/acknowledge", {"note": "x" * 501}, 400, "note"),
        ("1/acknowledge", {"note": "x", "revision": "one"}, 400, "revision"),
        ("1/acknowledge", {"note": "x", "colour": "red"}, 400, "colour"),
        ("1/reopen", {}, 400, "reason"),
        ("4711/acknowledge", {"note": "x"}, 404, None),
        ("99999999999999999999/acknowledge", {"note": "x"}, 404, None),
        ("0/reopen", {"reason": "x"}, 404, None),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_field(
    finance: FlaskClient, filled: Database, path: str, body: dict[str, object], status: int, field: str | None
) -> None:
    answer = finance.post(f"{URL}/{path}", json=body)
    assert answer.status_code == status, answer.text
    assert list(answer.json.get("fields", {})) == ([field] if field else [])


@pytest.mark.parametrize(
    "query", ["kind=odd", "state=gone", "opened_from=2026-04-02&opened_to=2026-04-01", "limit=0", "x=1"]
)
def test_filter_that_makes_no_sense_is_400(finance: FlaskClient, query: str) -> None:
    answer = finance.get(f"{URL}?{query}")
    assert (answer.status_code, answer.json["code"]) == (400, "validation_error")
    assert answer.json["fields"]


def test_service_token_may_neither_read_nor_acknowledge(
    client: FlaskClient, database: Database, clock: FakeClock
) -> None:
    headers = {"Authorization": f"Bearer {create_token(database, 'backend', Role.SERVICE, clock())}"}
    assert client.get(URL, headers=headers).status_code == 403
    assert client.post(f"{URL}/1/acknowledge", json={"note": "x"}, headers=headers).status_code == 403
    assert client.get(URL).status_code == 401
