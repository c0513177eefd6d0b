"""Proof's scorecard: what is counted, once, and that it equals what the sandbox did."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete, insert

from tests.support.clock import START, FakeClock
from tests.support.page_text import in_words
from tests.support.plans import explained
from tests.support.rows import attempt, confirm, make_known
from webhook_app.db.database import Database
from webhook_app.domain.lateness import add_up, quantile, span_of
from webhook_app.models import Attempt, Event, HistoryEntry, Incident
from webhook_app.models.event import Channel
from webhook_app.usecases.channels import channel_days
from webhook_app.usecases.channels.channel_days import SETTLED_AFTER, count_changes
from webhook_app.usecases.channels.error_days import count_errors
from webhook_app.usecases.channels.scorecard import Row, Scorecard, ScorecardFilter, read_scorecard
from webhook_app.usecases.receive.ingest import RequestOrigin, ingest_event
from webhook_app.web.receive.event_schema import parse_event

APRIL = ScorecardFilter(date(2026, 4, 1), date(2026, 4, 30))


def tell(
    database: Database, name: str, status: str, updated_at: datetime, received_at: datetime, channel: str = "webhook"
) -> None:
    body = {"merchant_transaction_id": name, "status": status, "updated_at": updated_at.isoformat()}
    event = replace(parse_event(json.dumps(body).encode()), channel=Channel(channel))
    ingest_event(database, event, RequestOrigin(received_at, None, {}, is_vouched=True))


def change(database: Database, name: str, status: str, updated_at: datetime, recorded_at: datetime) -> None:
    values = {"merchant_transaction_id": name, "status": status, "updated_at": updated_at, "recorded_at": recorded_at}
    with database.write() as session:
        session.execute(insert(HistoryEntry).values(values))


def count_all(database: Database, now: datetime) -> int:
    total = 0
    while counted := count_changes(database, now):
        total += counted
    while count_errors(database, now):
        pass
    return total


def figures(row: Row) -> dict[str, Any]:
    return {name: value for name, value in vars(row.counts).items() if value and name not in ("late", "latest")}


def second(number: float) -> datetime:
    return START + timedelta(seconds=number)


@pytest.fixture
def told(database: Database) -> Scorecard:
    """Three payments: all by webhook, two of them swapped and one repeated; by WebSocket; by nobody."""
    for name, currency in (("a", "USDT"), ("b", "USDT"), ("c", "BTC")):
        confirm(database, name, currency=currency, network="TRC20", type="buy", status="completed")
    change(database, "a", "processing", second(0), second(1))
    change(database, "a", "completed", second(10), second(11))
    tell(database, "a", "completed", second(10), second(12))
    tell(database, "a", "completed", second(10), second(13))
    tell(database, "a", "processing", second(0), second(30))
    change(database, "b", "completed", second(10), second(11))
    tell(database, "b", "completed", second(10), second(10.1), "websocket")
    change(database, "c", "cancelled", second(10), second(20))
    return read_scorecard(database, APRIL)


def test_what_is_not_counted_yet_is_in_the_scorecard_all_the_same(told: Scorecard) -> None:
    assert figures(told.total) == {
        "changes": 4,
        "changes_by_webhook": 2,
        "finals": 3,
        "finals_by_webhook": 1,
        "finals_by_websocket": 1,
        "finals_by_polling": 1,
        "repeated": 1,
        "out_of_order": 1,
    }
    assert (told.total.counts.lost, told.total.counts.finals_lost) == (2, 2)
    assert told.total.late_worst == 30
    assert told.total.late_p50 == pytest.approx(2, rel=0.1)
    assert [(row.currency, row.counts.finals_by_polling) for row in told.pairs] == [("BTC", 1), ("USDT", 0)]
    assert [row.day for row in told.days] == [date(2026, 4, 1)]


def test_days_are_counted_once_and_outlive_the_events(database: Database, clock: FakeClock, told: Scorecard) -> None:
    assert count_all(database, clock()) == 0, "their webhooks may still come"
    clock.advance(SETTLED_AFTER.total_seconds() + 60)
    assert count_all(database, clock()) == 4
    assert count_all(database, clock()) == 0
    assert read_scorecard(database, APRIL) == told
    with database.write() as session:
        session.execute(delete(Event))
    assert read_scorecard(database, APRIL) == told
    of_btc = read_scorecard(database, replace(APRIL, currency="BTC"))
    assert (figures(of_btc.total), len(of_btc.pairs)) == ({"changes": 1, "finals": 1, "finals_by_polling": 1}, 1)
    assert read_scorecard(database, replace(APRIL, last_day=date(2026, 3, 31))).pairs == []


def test_changes_and_what_told_of_them_are_found_by_index(
    database: Database, clock: FakeClock, told: Scorecard
) -> None:
    """On PostgreSQL whatever it believes of tables that have grown since they were analysed."""
    clock.advance(SETTLED_AFTER.total_seconds() + 60)
    with explained(database) as found:
        assert read_scorecard(database, APRIL) == told
        assert count_changes(database, clock()) == 4
    assert len(found) > 6
    for one in found:
        assert not re.search(r"(Seq Scan on|SCAN) (events|receipts|status_changes|transactions|reconc)", one.plan), one
        assert "Bitmap" not in one.plan, one


@pytest.mark.parametrize(("seconds", "counts"), [(60, [9, 0]), (0, [2, 2, 2, 2, 1, 0])])
def test_one_call_counts_batches_until_its_time_is_up(
    database: Database, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, seconds: float, counts: list[int]
) -> None:
    monkeypatch.setattr(channel_days, "BATCH", 2)
    monkeypatch.setattr(channel_days, "MOST_SECONDS", seconds)
    confirm(database, "a", status="completed")
    for number in range(9):
        change(database, "a", "processing", second(number), second(number))
    clock.advance(SETTLED_AFTER.total_seconds() + 60)
    with database.read() as session:
        assert channel_days.measure_uncounted(session, 8) is None
        assert channel_days.measure_uncounted(session, 9) is not None
    assert [count_changes(database, clock()) for _ in counts] == counts


def test_what_was_recorded_before_a_clock_was_set_back_holds_up_no_counting(
    database: Database, clock: FakeClock
) -> None:
    work, years = confirm(database, "a", status="completed"), 10 * 365 * 86_400
    failed = {"http_status": 502, "error": "upstream_error", "code": "provider_error", "status": None}
    for number, at in enumerate((0, years, 1, SETTLED_AFTER.total_seconds() + 60)):
        change(database, "a", "processing", second(number), second(at))
        attempt(database, work, second(at), **failed)
    clock.advance(SETTLED_AFTER.total_seconds() + 60)
    assert count_all(database, clock()) == 3, "all but the one that is too young"
    assert [one.count for one in read_scorecard(database, APRIL).errors] == [2]
    clock.advance(SETTLED_AFTER.total_seconds())
    assert count_all(database, clock()) == 1
    assert [one.count for one in read_scorecard(database, APRIL).errors] == [3]


def test_a_webhook_that_comes_hours_later_is_lost(database: Database, clock: FakeClock) -> None:
    confirm(database, "a", status="completed")
    change(database, "a", "completed", second(0), second(1))
    tell(database, "a", "completed", second(0), second(2 * 3600))
    assert read_scorecard(database, APRIL).total.counts.finals_lost == 1


def test_what_changed_before_we_knew_of_it_is_not_proofs_to_answer_for(database: Database) -> None:
    confirm(database, "old", status="completed")
    change(database, "old", "completed", second(-86_400), second(1))
    assert figures(read_scorecard(database, replace(APRIL, first_day=date(2026, 3, 1))).total) == {}


def test_errors_and_outages_are_listed_with_what_support_asks_for(database: Database, clock: FakeClock) -> None:
    work = make_known(database, "a")
    for number in range(7):
        failed = {"http_status": 502, "error": "upstream_error", "code": "provider_error", "status": None}
        attempt(database, work, second(number), **failed, request_id=f"r-{number}")
    attempt(database, work, second(9), http_status=None, error="upstream_unavailable", code="timeout", status=None)
    for name, asked_by in (("old", "backfill"), ("watched", "watch")):
        unknown = {"http_status": 404, "error": "not_found", "code": "not_found", "status": None}
        attempt(database, make_known(database, name, "failed", asked_by=asked_by), second(9), **unknown)
    with database.write() as session:
        outage = {"kind": "proof_paused", "key": "outage", "severity": "warning", "cause": "Proof cannot serve us."}
        session.add(Incident(**outage, began_at=START, ended_at=second(60)))
        session.add(Incident(**outage | {"key": "configuration"}, began_at=START, ended_at=second(60)))
    assert count_errors(database, clock()) == 0
    clock.advance(600)
    count_all(database, clock())
    with database.write() as session:
        session.execute(delete(Attempt))
    found = read_scorecard(database, APRIL)
    assert [(one.http_status, one.code, one.count) for one in found.errors] == [
        (502, "provider_error", 7),
        (None, "timeout", 1),
        (404, "not_found", 1),
    ], "what a backfill reports is no error of Proof's"
    assert found.errors[0].request_ids == ["r-6", "r-5", "r-4", "r-3", "r-2"]
    assert [(one.began_at, one.ended_at) for one in found.outages] == [(START, second(60))]


def test_lateness_is_told_within_a_tenth() -> None:
    rng = random.Random(1)
    waits = sorted(rng.lognormvariate(0, 2) for _ in range(2000))
    counts: dict[str, int] = {}
    for wait in waits:
        counts = add_up(counts, {span_of(wait): 1})
    for share in (0.5, 0.95, 1):
        exact = max(waits[int(len(waits) * share) - 1], 0.01)
        assert exact * 0.99 <= (quantile(counts, share) or 0) <= exact * 1.11
    assert quantile({}, 0.5) is None


def test_the_api_and_the_file_tell_the_same(client: FlaskClient, as_finance: dict[str, str], told: Scorecard) -> None:
    answer = client.get("/api/v1/scorecard?first_day=2026-04-01&last_day=2026-04-30", headers=as_finance)
    body = answer.get_json()
    assert answer.status_code == 200, body
    assert (body["total"]["finals"], body["total"]["finals_lost"], body["total"]["late_worst"]) == (3, 2, 30)
    assert [(one["currency"], one["finals_by_polling_only"]) for one in body["items"]] == [("BTC", 1), ("USDT", 0)]
    assert (body["next_cursor"], body["days"][0]["day"], body["is_complete"]) == (None, "2026-04-01", True)
    for query in ("first_day=x", "first_day=2026-05-01&last_day=2026-04-01", "first_day=2020-01-01", "other=1"):
        assert client.get(f"/api/v1/scorecard?{query}", headers=as_finance).status_code == 400


def test_the_page_shows_it_and_offers_a_file(finance_client: FlaskClient, told: Scorecard) -> None:
    page = finance_client.get("/scorecard?first_day=2026-04-01&last_day=2026-04-30")
    assert page.status_code == 200
    text = in_words(page.get_data(as_text=True))
    assert "Proof's scorecard" in text
    assert "buy BTC on TRC20" in text
    assert "1 Apr 2026" in text
    assert not re.search(r"\b2026-04-\d\d\b", text), "days are as people write them, on a plot's hover too"
    wrong = finance_client.get("/scorecard?first_day=2026-05-01&last_day=2026-04-01")
    assert wrong.status_code == 400
    assert "Days (UTC): 2026-05-01 – 2026-04-01" in in_words(wrong.text), "as it was typed"
    file = finance_client.get("/scorecard/file?first_day=2026-04-01&last_day=2026-04-30")
    name = "proof-scorecard-2026-04-01-to-2026-04-30{}_20260401T120000Z.txt"
    assert file.headers["Content-Disposition"] == f'attachment; filename="{name.format("")}"'
    of_pair = finance_client.get("/scorecard/file?first_day=2026-04-01&last_day=2026-04-30&currency=USDT&type=buy")
    assert name.format("_type-buy_currency-USDT") in of_pair.headers["Content-Disposition"]
    [total] = [line for line in file.get_data(as_text=True).splitlines() if line.startswith("all ")]
    assert total.split()[:8] == ["all", "3", "1", "1", "1", "2", "1", "1"]
    assert finance_client.get("/scorecard/file?first_day=x").status_code == 400


def test_pairs_are_chosen_from_those_that_occur_and_letter_case_does_not_matter(
    client: FlaskClient, finance_client: FlaskClient, as_finance: dict[str, str], database: Database, told: Scorecard
) -> None:
    count_all(database, START + timedelta(days=1))
    page = finance_client.get("/scorecard?first_day=2026-04-01&last_day=2026-04-30&currency=btc").text
    text = in_words(page)
    assert "Days (UTC): April 2026" in text
    assert "Currency: BTC" in text
    assert "buy BTC on TRC20" in text
    assert "USDT on" not in text
    assert "currency=USDT" in page, "the other one can be chosen"
    query = "first_day=2026-04-01&last_day=2026-04-30&currency=btc&type=BUY"
    items = client.get(f"/api/v1/scorecard?{query}", headers=as_finance).get_json()["items"]
    assert [(one["type"], one["currency"]) for one in items] == [("buy", "BTC")]


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_days_at_the_ends_of_the_calendar_are_refused(
    day: str, client: FlaskClient, finance_client: FlaskClient, as_finance: dict[str, str]
) -> None:
    query = f"first_day={day}&last_day={day}"
    assert client.get(f"/api/v1/scorecard?{query}", headers=as_finance).status_code == 400
    assert "Must be a day from 1970" in finance_client.get(f"/scorecard?{query}").text
    assert finance_client.get(f"/scorecard/file?{query}").status_code == 400


def test_one_transaction_says_who_told_first(
    client: FlaskClient, finance_client: FlaskClient, as_finance: dict[str, str], told: Scorecard
) -> None:
    body = client.get("/api/v1/transactions/b", headers=as_finance).get_json()
    [change] = body["told"]
    assert [(one["channel"], one["seconds_later"]) for one in change["channels"]] == [("websocket", 0.0)]
    both = client.get("/api/v1/transactions/a", headers=as_finance).get_json()["told"]
    assert [one["channel"] for one in both[1]["channels"]] == ["polling", "webhook"]
    assert both[1]["channels"][1]["seconds_later"] == 1.0
    assert "Who told first" in in_words(finance_client.get("/transactions/a").get_data(as_text=True))
