"""A transaction whose work is not opened yet is found, listed, filtered, counted and exported as `pending` at once."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from tests.support.clock import START, FakeClock
from tests.support.rows import confirm, make_known, note, pause
from tests.support.unopened import add_unopened, open_work
from webhook_app.cli import cli
from webhook_app.db.database import Database
from webhook_app.models import Receipt
from webhook_app.models.reconciliation import State
from webhook_app.usecases.finance.export import count_rows, export_rows
from webhook_app.usecases.finance.freshness import Freshness, read_freshness
from webhook_app.usecases.finance.reports import list_transactions, report_transaction
from webhook_app.usecases.finance.summary import Grouping, summarise
from webhook_app.usecases.finance.transaction_filter import TransactionFilter
from webhook_app.usecases.reconcile.report import PAUSED

URL = "/api/v1/transactions"
LATER = START + timedelta(minutes=3)


@pytest.fixture
def finance(client: FlaskClient, as_finance: dict[str, str]) -> FlaskClient:
    client.environ_base["HTTP_AUTHORIZATION"] = as_finance["Authorization"]
    return client


def shown_state(database: Database, name: str) -> str | None:
    found = report_transaction(database, name)
    return found and found.reconciliation and found.reconciliation.state


def test_transaction_that_only_unopened_events_have_named_is_shown(finance: FlaskClient, database: Database) -> None:
    first = add_unopened(database, "a", status="processing", updated_at=START, updated_at_key="1")
    second = add_unopened(database, "a", LATER, status="completed", updated_at=LATER, updated_at_key="2")
    told = finance.get(f"{URL}/a").json
    assert told["status"] is None
    assert told["reported_status"] == "completed"
    assert told["reconciliation"] == {
        "state": "pending",
        "attempts": 0,
        "next_attempt_at": "2026-04-01T12:00:00Z",
        "reconciled_at": None,
        "last_error": None,
    }
    assert [(event["id"], event["delivery"], event["receipts"]) for event in told["events"]] == [
        (first, "pending", 1),
        (second, "pending", 1),
    ]
    assert told["attempts"] == told["told"] == told["history"] == told["anomalies"] == []
    (listed,) = finance.get(URL).json["items"]
    assert listed == {name: value for name, value in told.items() if name not in ("attempts", "told")}
    before = told["reconciliation"]
    open_work(database, "a")
    assert finance.get(f"{URL}/a").json["reconciliation"] == before
    assert finance.get(f"{URL}/b").status_code == 404


def test_receipts_count_the_one_in_the_row_and_those_of_their_own(finance: FlaskClient, database: Database) -> None:
    new = add_unopened(database, "a")
    old = add_unopened(database, "a", status="completed", headers=None, remote_addr=None)
    with database.write() as session:
        for event_id in (new, new, old, old):
            session.add(Receipt(event_id=event_id, received_at=LATER, headers={}))
    told = finance.get(f"{URL}/a").json["events"]
    assert [(event["id"], event["receipts"]) for event in told] == [(new, 3), (old, 2)]


@pytest.mark.parametrize(
    ("state", "shown", "is_due_now"),
    [
        ("succeeded", "pending", True),
        ("watching", "pending", True),
        ("failed", "pending", True),
        ("pending", "pending", True),
        ("retrying", "retrying", False),
    ],
)
def test_known_transaction_with_an_unopened_event_is_about_to_be_asked_for_again(
    database: Database, state: str, shown: str, is_due_now: bool
) -> None:
    next_attempt_at = None if state == "failed" else START + timedelta(hours=1)
    confirm(database, "a", state)
    make_known(database, "b", state, next_attempt_at=next_attempt_at, reconciled_at=START, attempts=4)
    add_unopened(database, "b", LATER)
    found = report_transaction(database, "b")
    assert found is not None
    assert found.reconciliation is not None
    work = found.reconciliation
    assert (work.state, work.attempts, work.reconciled_at) == (shown, 4, START)
    assert work.next_attempt_at == (LATER if is_due_now else next_attempt_at)
    assert shown_state(database, "a") == state


def test_all_calls_paused_is_shown_of_unopened_ones_too(database: Database) -> None:
    for state in State:
        make_known(database, state, state)
        add_unopened(database, state)
    add_unopened(database, "new")
    pause(database, "upstream", START)
    names = [*State, "new"]
    assert {shown_state(database, name) for name in names} == {PAUSED}
    listed = list_transactions(database, TransactionFilter(state=PAUSED), 20).items
    assert sorted(one.merchant_transaction_id for one in listed) == sorted(names)
    assert list_transactions(database, TransactionFilter(state="pending"), 20).items == []
    assert read_freshness(database, TransactionFilter()).pending == len(names)


@dataclass(frozen=True)
class Expected:
    """One transaction: the state that must be shown, and what it can be filtered by."""

    name: str
    shown: str
    is_confirmed: bool
    has_discrepancy: bool
    is_unopened: bool


def fill(database: Database) -> list[Expected]:
    """Transactions in every state, confirmed or not, each with and without unopened events and a discrepancy; and some
    that only unopened events have named."""
    expected = []
    for number, waits in enumerate((False, True)):
        for state in State:
            for is_confirmed in (True, False):
                name = f"{state}-{is_confirmed}-{waits}".lower()
                (confirm if is_confirmed else make_known)(database, name, state)
                shown = "pending" if waits and state != State.RETRYING else state
                for status in ("pending", "completed")[: 2 * number]:
                    add_unopened(database, name, status=status)
                expected.append(Expected(name, shown, is_confirmed, state == State.WATCHING, False))
    for name in ("new-1", "new-2", "new-3"):
        add_unopened(database, name)
        add_unopened(database, name, LATER, status="completed")
        expected.append(Expected(name, "pending", False, name == "new-2", True))
    for one in expected:
        if one.has_discrepancy:
            note(database, one.name, "pending_too_long")
    return expected


def ids(database: Database, wanted: TransactionFilter) -> list[str]:
    """Of the list page by page, which must be what an export has."""
    names: list[str] = []
    after = None
    while True:
        page = list_transactions(database, wanted, 9, after)
        names += [one.merchant_transaction_id for one in page.items]
        after = page.next_after
        if after is None:
            break
    rows = list(export_rows(database, wanted, 9))
    assert [row[0] for row in rows] == names, wanted
    assert count_rows(database, wanted) == len(names), wanted
    return names


def filters() -> Iterator[TransactionFilter]:
    """Each state alone and with others. All that is confirmed has this status and this currency."""
    others: list[dict[str, str]] = [{}, {"q": "NEW"}, {"q": "tru"}, {"anomaly": "any"}, {"currency": "USDT"}]
    others += [{"status": "pending"}, {"anomaly": "any", "q": "TRUE", "currency": "USDT"}]
    for state in (None, *State, PAUSED):
        for other in others:
            yield TransactionFilter(state=state, **other)


@pytest.mark.parametrize("is_paused", [False, True])
def test_lists_and_counts_agree_with_the_state_that_is_shown(database: Database, is_paused: bool) -> None:
    expected = fill(database)
    if is_paused:
        pause(database, "upstream", START)
        is_open = {"pending", "retrying", "watching"}
        expected = [
            Expected(**vars(one) | {"shown": PAUSED if one.shown in is_open else one.shown}) for one in expected
        ]
    for one in expected:
        assert shown_state(database, one.name) == one.shown, one
    for wanted in filters():
        known = [
            one
            for one in expected
            if wanted.state in (None, one.shown)
            and (wanted.anomaly is None or one.has_discrepancy)
            and (wanted.q is None or wanted.q.lower() in one.name)
        ]
        matching = [one for one in known if not wanted.asks_for_confirmed or one.is_confirmed]
        found = ids(database, wanted)
        assert sorted(found) == sorted(one.name for one in matching), wanted
        unopened = [one.name for one in matching if one.is_unopened]
        assert found[: len(unopened)] == sorted(unopened, reverse=True), wanted
        under_way = {"pending", "retrying", PAUSED}
        assert read_freshness(database, wanted) == Freshness(
            pending=sum(one.shown in under_way for one in matching),
            failed=sum(one.shown == "failed" for one in matching),
            unconfirmed=sum(not one.is_confirmed for one in known),
            is_paused=is_paused,
        ), wanted
        assert summarise(database, wanted, Grouping()).count == sum(one.is_confirmed for one in matching), wanted


def test_nothing_waits_is_not_said_while_something_is_unopened(finance_client: FlaskClient, database: Database) -> None:
    confirm(database, "a")
    assert "Up to date" in finance_client.get("/transactions").text
    add_unopened(database, "a")
    page = finance_client.get("/transactions").text
    assert "Up to date" not in page
    assert "1 is being reconciled" in page
    assert "reconciliation </span>pending" in page
    assert "Something newer was reported, and Proof is being asked." in finance_client.get("/transactions/a").text


def test_one_that_is_unopened_has_a_page_and_is_searched_for(finance_client: FlaskClient, database: Database) -> None:
    add_unopened(database, "order-7", status="completed")
    page = finance_client.get("/transactions/order-7").text
    assert "Proof has not confirmed this transaction." in page
    assert "Reported: completed" in page
    assert "/transactions/order-7" in finance_client.get("/transactions?q=DER-7").text


def test_past_is_told_without_what_came_later(database: Database, clock: FakeClock) -> None:
    confirm(database, "a")
    add_unopened(database, "b", START)
    add_unopened(database, "b", LATER, status="completed")
    add_unopened(database, "c", LATER)
    then = TransactionFilter(as_of=START + timedelta(minutes=1))
    assert ids(database, then) == ["a"]
    assert read_freshness(database, then).unconfirmed == 1
    assert read_freshness(database, TransactionFilter(as_of=LATER)).unconfirmed == 2


@pytest.mark.parametrize("file_format", ["csv", "ndjson", "xlsx"])
def test_files_have_them(finance_client: FlaskClient, database: Database, file_format: str) -> None:
    confirm(database, "a")
    add_unopened(database, "a")
    add_unopened(database, "b")
    note(database, "b", "pending_too_long")
    answer = finance_client.get(f"/transactions.{file_format}")
    assert (answer.status_code, answer.headers["X-Pending"], answer.headers["X-Unconfirmed"]) == (200, "2", "1")
    if file_format == "xlsx":
        assert answer.data[:2] == b"PK"
        return
    text = answer.data.decode()
    rows = map(json.loads, text.splitlines())
    told = csv.DictReader(io.StringIO(text, newline="")) if file_format == "csv" else rows
    assert [
        (row["merchant_transaction_id"], row["status"] or None, row["reconciliation_state"], row["discrepancies"] or "")
        for row in told
    ] == [("b", None, "pending", "pending_too_long"), ("a", "pending", "pending", "")]


def test_shell_exports_them_and_says_that_they_wait(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_unopened(database, "b")
    monkeypatch.setenv("DATABASE_URL", database_url)
    target = tmp_path / "all.csv"
    result = CliRunner().invoke(cli, ["export", "--format", "csv", "--output", str(target)])
    assert result.exit_code == 0, result.output
    assert target.read_text().splitlines()[1].startswith("b,")
    assert "1 row in" in result.output
    assert "1 is being reconciled" in result.output
