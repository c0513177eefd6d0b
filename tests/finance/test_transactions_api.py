"""`GET /api/v1/transactions`: one transaction in its documented shape, the list with its filters and pages."""

from __future__ import annotations

import shutil
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert, update

from tests.support.clock import START
from tests.support.events import webhook
from tests.support.example_rows import ATTEMPT, EVENT, RECONCILIATION
from tests.support.rows import confirm, make_known
from webhook_app.app import create_app
from webhook_app.config import load_settings
from webhook_app.db.database import Database
from webhook_app.models import (
    Attempt,
    Discrepancy,
    Event,
    HistoryEntry,
    Receipt,
    Reconciliation,
    StoredGate,
)
from webhook_app.models.role import Role
from webhook_app.services import open_services
from webhook_app.usecases.access.tokens import create_token

URL = "/api/v1/transactions"
SHAPE = ["merchant_transaction_id", "partner_user_id", "type", "status", "currency", "network", "crypto_amount"]
SHAPE += ["fiat_currency", "fiat_amount", "created_at", "updated_at", "first_known_at", "confirmed_at"]
SHAPE += ["reported_status"]
SHAPE += ["reconciliation", "anomalies", "history", "events"]


@pytest.fixture
def finance(client: FlaskClient, as_finance: dict[str, str]) -> FlaskClient:
    client.environ_base["HTTP_AUTHORIZATION"] = as_finance["Authorization"]
    return client


def ids(client: FlaskClient, query: str = "") -> list[str]:
    answer = client.get(f"{URL}?{query}")
    assert answer.status_code == 200, answer.text
    return [item["merchant_transaction_id"] for item in answer.json["items"]]


def test_unconfirmed_transaction_is_null_but_for_what_was_reported(finance: FlaskClient) -> None:
    event_id = finance.post("/webhooks/proof", json=webhook(merchant_transaction_id="a")).json["event_id"]
    answer = finance.get(f"{URL}/a")
    assert answer.status_code == 200
    assert list(answer.json) == [*SHAPE, "told", "attempts"]
    assert answer.json == {
        **dict.fromkeys(SHAPE[1:13]),
        "merchant_transaction_id": "a",
        "first_known_at": "2026-04-01T12:00:00Z",
        "reported_status": "completed",
        "reconciliation": {
            "state": "pending",
            "attempts": 0,
            "next_attempt_at": "2026-04-01T12:00:00Z",
            "reconciled_at": None,
            "last_error": None,
        },
        "anomalies": [],
        "history": [],
        "events": [
            {
                "id": event_id,
                "channel": "webhook",
                "status": "completed",
                "updated_at": "2026-04-01T10:03:45Z",
                "received_at": "2026-04-01T12:00:00Z",
                "receipts": 1,
                "delivery": "pending",
                "warnings": [],
            }
        ],
        "told": [],
        "attempts": [],
    }


def test_confirmed_transaction_has_everything(finance: FlaskClient, database: Database) -> None:
    later = START + timedelta(seconds=1, microseconds=500)
    confirm(
        database, "a", status="completed", crypto_amount=Decimal("99.50"), fiat_amount=Decimal("1E+2"), network="TRC20"
    )
    with database.write() as session:
        session.execute(
            insert(Attempt).values(**ATTEMPT, http_status=500, error="internal_error", code="db_error", request_id="r")
        )
        for status, moment in [("completed", later), ("pending", START)]:
            session.execute(
                insert(HistoryEntry).values(
                    merchant_transaction_id="a", status=status, updated_at=moment, recorded_at=later
                )
            )
        for kind, resolved_at in [("stale_answer", None), ("amount_mismatch", later)]:
            session.execute(
                insert(Discrepancy).values(
                    merchant_transaction_id="a", kind=kind, fingerprint="", detail="odd", detected_at=START,
                    resolved_at=resolved_at,
                )
            )  # fmt: skip
    told = finance.get(f"{URL}/a").json
    assert (told["status"], told["crypto_amount"], told["fiat_amount"], told["network"]) == (
        *("completed", "99.50", "100", "TRC20"),
    )
    assert told["history"] == [
        {"status": "pending", "updated_at": "2026-04-01T12:00:00Z", "recorded_at": "2026-04-01T12:00:01.000500Z"},
        {
            "status": "completed",
            "updated_at": "2026-04-01T12:00:01.000500Z",
            "recorded_at": "2026-04-01T12:00:01.000500Z",
        },
    ]
    assert told["anomalies"] == [
        {"kind": "stale_answer", "severity": "info", "at": "2026-04-01T12:00:00Z", "detail": "odd"}
        | dict.fromkeys(("acknowledged_at", "acknowledged_by", "note"))
    ]
    assert told["attempts"][0]["request_id"] == "r"
    assert told["reported_status"] is None
    assert finance.get(URL).json["items"][0] == {name: told[name] for name in SHAPE}


def test_last_error_is_shown_with_its_request_id(finance: FlaskClient, database: Database) -> None:
    last = {"http_status": 404, "error": "not_found", "code": "not_found", "message": "no", "request_id": "r-1"}
    row = RECONCILIATION | {"state": "failed", "next_attempt_at": None, "last_failed_at": START}
    with database.write() as session:
        session.execute(insert(Reconciliation).values(**row, **{f"last_{name}": value for name, value in last.items()}))
    told = finance.get(f"{URL}/a").json["reconciliation"]
    assert told["last_error"] == {**last, "at": "2026-04-01T12:00:00Z"}
    assert list(told["last_error"]) == ["http_status", "error", "code", "message", "request_id", "at"]


def test_newest_hundred_of_many_events_are_shown_and_the_latest_is_the_reported_one(
    finance: FlaskClient, database: Database
) -> None:
    make_known(database, "a", state="pending")
    moments = [START + timedelta(seconds=number) for number in range(130)]
    with database.write() as session:
        rows = [EVENT | {"updated_at": at, "updated_at_key": str(at), "status": f"s{at:%M%S}"} for at in moments]
        session.execute(insert(Event), rows)
        session.execute(insert(Receipt), [{"event_id": 130, "received_at": START, "headers": {}} for _ in range(3)])
    told = finance.get(f"{URL}/a").json
    assert [event["id"] for event in told["events"]] == list(range(31, 131))
    assert told["events"][-1]["receipts"] == 3
    assert told["reported_status"] == "s0209"


def test_unknown_transaction_is_404_in_shape(finance: FlaskClient) -> None:
    for name in ("nobody", "a b", "a%00", "%ff", "' OR 1=1", "<script>", "x" * 129, "é"):
        answer = finance.get(f"{URL}/{quote(name, safe='%')}")
        assert answer.status_code == 404, name
        assert (answer.json["error"], answer.json["code"]) == ("not_found", "not_found")


def test_list_is_narrowed_by_each_filter_and_by_several(finance: FlaskClient, database: Database) -> None:
    hour = timedelta(hours=1)
    confirm(database, "a", status="completed", type="buy", network="TRC20", fiat_currency="EUR", partner_user_id="u1")
    confirm(
        database, "b", status="failed", type="sell", currency="BTC", created_at=START + hour, updated_at=START + hour
    )
    make_known(database, "c", state="failed")
    confirm(database, "d", state="watching", status="processing", partner_user_id="u1")
    with database.write() as session:
        for kind, name, resolved_at in [("stale_answer", "a", None), ("stale_answer", "b", START)]:
            session.execute(
                insert(Discrepancy).values(
                    merchant_transaction_id=name, kind=kind, fingerprint="", detail="", detected_at=START,
                    resolved_at=resolved_at,
                )
            )  # fmt: skip
    assert ids(finance) == ["d", "c", "b", "a"]
    wanted = {
        "status=completed": ["a"],
        "status=cancelled": [],
        "type=sell": ["b"],
        "currency=BTC": ["b"],
        "currency=btc": ["b"],
        "network=TRC20": ["a"],
        "fiat_currency=EUR": ["a"],
        "partner_user_id=u1": ["d", "a"],
        "state=failed": ["c"],
        "state=watching": ["d"],
        "state=paused": [],
        "anomaly=stale_answer": ["a"],
        "anomaly=impossible_step": [],
        "created_from=2026-04-01T12:30:00Z": ["b"],
        "created_to=2026-04-01T13:00:00Z": ["d", "a"],
        "created_from=2026-04-01T12:00:00Z&created_to=2026-04-01T12:00:00.000001Z": ["d", "a"],
        "created_from=2026-04-01&created_to=2026-04-02": ["b", "d", "a"],
        "updated_from=2026-04-01T15%3A00%3A00%2B02:00": ["b"],
        "updated_to=2026-04-01": [],
        "partner_user_id=u1&status=processing": ["d"],
        "partner_user_id=u1&status=completed&type=sell": [],
    }
    assert {query: ids(finance, query) for query in wanted} == wanted


def test_open_ones_are_paused_while_all_calls_are(finance: FlaskClient, database: Database) -> None:
    make_known(database, "a", state="retrying")
    make_known(database, "b", state="failed")
    with database.write() as session:
        session.get_one(StoredGate, 1).paused_at = START
    assert ids(finance, "state=paused") == ["a"]
    assert ids(finance, "state=retrying") == []
    assert ids(finance, "state=failed") == ["b"]
    assert finance.get(f"{URL}/a").json["reconciliation"]["state"] == "paused"


def test_pages_stay_where_they_are_while_rows_come(finance: FlaskClient, database: Database) -> None:
    for number in range(7):
        confirm(database, f"id-{number}", partner_user_id="u")
    seen, query, pages = [], "limit=3&partner_user_id=u", 0
    while True:
        page = finance.get(f"{URL}?{query}").json
        seen += [item["merchant_transaction_id"] for item in page["items"]]
        pages += 1
        confirm(database, f"new-{pages}", partner_user_id="u")
        if page["next_cursor"] is None:
            break
        query = f"limit=3&partner_user_id=u&cursor={page['next_cursor']}"
    assert seen == [f"id-{number}" for number in reversed(range(7))]
    assert pages == 3
    assert finance.get(f"{URL}?limit=200").json["next_cursor"] is None


@pytest.mark.parametrize("name", ["status", "type", "state", "anomaly", "currency", "network", "fiat_currency",
                                  "partner_user_id", "limit", "cursor", "created_from", "created_to", "updated_from",
                                  "updated_to", "q", "as_of"])  # fmt: skip
def test_hostile_value_is_a_400_that_names_the_field_or_finds_nothing(
    finance_on_sqlite_and_postgresql: list[FlaskClient], name: str
) -> None:
    values = [
        "%00",
        "<script>",
        "' OR 1=1 --",
        "%ff%fe",
        "\u202e",
        "x" * 5000,
        "",
        "-1",
        "1e999",
        "NaN",
        "[]",
        "é",
        "%0A",
    ]
    values += ["9" * 5000, "0001-01-01T00:00:00%2B14:00", "%ED%A0%80", "\U0001f4a9"]
    for value in values:
        answers = [client.get(f"{URL}?{name}={value}") for client in finance_on_sqlite_and_postgresql]
        assert len({answer.status_code for answer in answers}) == 1
        for answer in answers:
            if answer.status_code == 200:
                assert answer.json["items"] == []
            else:
                assert answer.status_code == 400, value
                assert list(answer.json["fields"]) == [name]
                assert answer.json["error"] == "invalid_request"
                assert answer.headers["X-Request-Id"]


@pytest.fixture(scope="module")
def finance_on_sqlite_and_postgresql(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A client over an empty database of each engine, for what only reads."""
    folder = tmp_path_factory.mktemp("read-only")
    shutil.copyfile(request.getfixturevalue("sqlite_template"), folder / "a.sqlite3")
    postgres = request.getfixturevalue("postgres")
    name = postgres.create_database(request.getfixturevalue("postgres_template"))
    opened, clients = [], []
    for url in (f"sqlite:///{folder / 'a.sqlite3'}", postgres.url(name)):
        variables = {"DATABASE_URL": url, "REDIS_URL": "redis://127.0.0.1:1", "SECRET_KEY": "a secret key for tests"}
        opened.append(open_services(load_settings(variables | {"WEBHOOK_APP_DATA_DIR": str(folder)})))
        clients.append(create_app(opened[-1]).test_client())
        token = create_token(opened[-1].database, "a", Role.FINANCE, START)
        clients[-1].environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    yield clients
    for services in opened:
        services.close()
    postgres.drop_database(name)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=abc", "limit"),
        ("limit=", "limit"),
        ("nonsense=1", "nonsense"),
        ("%3Cb%3E=1", "<b>"),
        ("status=paid", "status"),
        ("created_from=2026-02-30", "created_from"),
        ("created_from=2026-04-02&created_to=2026-04-01", "created_from"),
        ("updated_from=2026-04-01&updated_to=2026-04-01", "updated_from"),
        ("as_of=2099-01-01", "as_of"),
        ("as_of=2026-04-01&state=failed", "state"),
        ("as_of=2026-04-01&anomaly=any", "anomaly"),
        ("cursor=x", "cursor"),
        ("cursor=MQ.AAAA", "cursor"),
    ],
)
def test_wrong_query_is_a_400_that_names_the_field(
    finance_on_sqlite_and_postgresql: list[FlaskClient], query: str, named: str
) -> None:
    for client in finance_on_sqlite_and_postgresql:
        answer = client.get(f"{URL}?{query}")
        assert answer.status_code == 400
        assert list(answer.json["fields"]) == [named]
        assert answer.json["code"] == "validation_error"


def test_tampered_cursor_is_refused(finance: FlaskClient, database: Database) -> None:
    for name in ("a", "b"):
        make_known(database, name)
    cursor = finance.get(f"{URL}?limit=1").json["next_cursor"]
    assert ids(finance, f"cursor={cursor}") == ["a"]
    for tampered in (
        cursor[:-1],
        f"{cursor}x",
        cursor[::-1],
        f"MQ{cursor[2:]}",
        cursor.split(".")[0],
        cursor.swapcase(),
    ):
        assert finance.get(f"{URL}?cursor={tampered}").status_code == 400


def test_search_finds_an_id_a_part_of_one_and_a_partner_user(finance: FlaskClient, database: Database) -> None:
    confirm(database, "Order-1", partner_user_id="user-7")
    confirm(database, "order-10", status="completed")
    make_known(database, "user-7.x", state="pending")
    confirm(database, "100%_a", partner_user_id="Order-1")
    wanted = {
        "q=Order-1": ["100%_a", "order-10", "Order-1"],
        "q=order-10": ["order-10"],
        "q=RDER-1": ["order-10", "Order-1"],
        "q=user-7": ["user-7.x", "Order-1"],
        "q=user": ["user-7.x"],
        "q=%25_": ["100%_a"],
        "q=%25": ["100%_a"],
        "q=_": ["100%_a"],
        "q=order&status=completed": ["order-10"],
        "q=nothing": [],
    }
    assert {query: ids(finance, query) for query in wanted} == wanted


def test_answer_says_how_many_of_the_filter_wait_for_proofs_word(finance: FlaskClient, database: Database) -> None:
    confirmed = {"reconciled_at": START}
    confirm(database, "a", status="completed")
    confirm(database, "b", status="failed", state="retrying")
    confirm(database, "c", status="completed", state="failed")
    confirm(database, "d", status="processing", state="watching")
    make_known(database, "e", state="pending")
    with database.write() as session:
        session.execute(update(Reconciliation).where(Reconciliation.merchant_transaction_id != "e").values(confirmed))

    def freshness(query: str) -> tuple[object, ...]:
        told = finance.get(f"{URL}?{query}").json["freshness"]
        return told["pending"], told["failed"], told["unconfirmed"]

    assert freshness("") == (2, 1, 1)
    # Proof's next word on `b` may be `completed`.
    assert freshness("status=completed") == (1, 1, 1)
    assert freshness("currency=BTC") == (0, 0, 1)
    assert freshness("updated_from=2026-04-02") == (1, 1, 1)
    assert freshness("updated_to=2026-04-01") == (0, 0, 1)
    assert freshness("state=failed") == (0, 1, 0)
    assert freshness("q=b") == (1, 0, 0)
    assert freshness("as_of=2026-04-01") == (None, None, None)
    with database.write() as session:
        session.get_one(StoredGate, 1).paused_at = START
    assert freshness("") == (3, 1, 1)


def test_each_transaction_says_when_it_was_last_confirmed(finance: FlaskClient, database: Database) -> None:
    confirm(database, "a", status="completed")
    with database.write() as session:
        session.execute(update(Reconciliation).values(reconciled_at=START))
    assert finance.get(URL).json["items"][0]["confirmed_at"] == "2026-04-01T12:00:00Z"
    assert finance.get(f"{URL}/a").json["confirmed_at"] == "2026-04-01T12:00:00Z"


def test_pages_of_a_range_go_by_creation_and_stay_where_they_are(finance: FlaskClient, database: Database) -> None:
    hours = [5, 3, 3, 9, 1, 3, 7]
    for number, hour in enumerate(hours):
        confirm(database, f"id-{number}", created_at=START + timedelta(hours=hour))
    seen, query = [], "limit=2&created_from=2026-04-01"
    while True:
        page = finance.get(f"{URL}?{query}").json
        seen += [item["merchant_transaction_id"] for item in page["items"]]
        confirm(database, f"new-{len(seen)}", created_at=START + timedelta(hours=20))
        if page["next_cursor"] is None:
            break
        query = f"limit=2&created_from=2026-04-01&cursor={page['next_cursor']}"
    expected = sorted(range(7), key=lambda number: (hours[number], number), reverse=True)
    assert seen == [f"id-{number}" for number in expected]


def test_cursor_is_good_for_its_own_filter_alone(finance: FlaskClient, database: Database) -> None:
    for name in "abc":
        confirm(database, name, status="completed")
    cursor = finance.get(f"{URL}?limit=1&status=completed").json["next_cursor"]
    assert ids(finance, f"status=completed&cursor={cursor}") == ["b", "a"]
    for other in ("", "status=failed&", "status=completed&created_from=2026-04-01&"):
        answer = finance.get(f"{URL}?{other}cursor={cursor}")
        assert (answer.status_code, list(answer.json["fields"])) == (400, ["cursor"])
