"""The overview's numbers, on both engines, from rows as the service writes them."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone

import pytest
from sqlalchemy import insert, text

from tests.support.clock import START
from tests.support.example_rows import ATTEMPT, EVENT
from tests.support.plans import explained
from tests.support.rows import CURRENCY, WALLET, attempt, pause, seed
from tests.support.unopened import add_unopened
from webhook_app.db.database import Database
from webhook_app.domain.failures import WORKER_DIED
from webhook_app.models import Attempt, Event, Heartbeat, Replay, ReplayItem
from webhook_app.usecases.heartbeats import CLOCK
from webhook_app.usecases.monitor.activity import DAY, HOUR, MONTH, WEEK, Counts
from webhook_app.usecases.monitor.overview import Overview, Pair, read_overview


def test_empty_database_has_nothing_to_tell(database: Database) -> None:
    overview = read_overview(database, START)
    assert not overview.gate.is_paused
    assert overview.clock_beat_at is None
    assert {state: waiting.count for state, waiting in overview.unsettled.items()} == {
        "pending": 0,
        "retrying": 0,
        "failed": 0,
    }
    assert overview.oldest_waiting is None
    assert (overview.watching, overview.failed_count) == (0, 0)
    assert [overview.replays, overview.failed, overview.retrying, overview.for_proof] == [[], [], [], []]
    found = [read_overview(database, START, span).activity for span in (HOUR, DAY, WEEK, MONTH)]
    assert [activity.total for activity in found] == [Counts()] * 4
    assert [len(activity.buckets) for activity in found] == [30, 48, 42, 30]


def test_bucket_holds_its_beginning_and_not_its_end(database: Database) -> None:
    now = START + timedelta(minutes=1)
    for number, offset in enumerate([-0.001, 0.0, 119.999, 120.0]):
        seed(database, f"a-{number}", received_at=START + timedelta(seconds=offset))
    hour = read_overview(database, now).activity
    assert (hour.buckets[-1].begin, hour.buckets[-1].end) == (START, START + HOUR.bucket)
    assert [bucket.counts.received for bucket in hour.buckets[-2:]] == [1, 2]
    assert hour.total.received == 3


def test_all_buckets_are_one_statement_whose_counts_are_ranges_of_indexes(database: Database) -> None:
    """With some rows: of a table that was found empty, as by an ANALYZE beside the test, any index is as good."""
    known, days = seed(database, "a", "failed", failure=WALLET, received_at=START), range(2000)
    with database.write() as session:
        session.execute(
            insert(Event),
            [
                EVENT
                | {"merchant_transaction_id": f"t{day}", "received_at": at, "delivery": "succeeded", "settled_at": at}
                for day in days
                for at in (START - timedelta(days=day),)
            ],
        )
        failed = ATTEMPT | {"reconciliation_id": known, "error": "wallet_not_supported"}
        session.execute(insert(Attempt), [failed | {"finished_at": START - timedelta(days=day)} for day in days])
        if not database.is_sqlite:
            session.execute(text("ANALYZE"))
    with explained(database) as found:
        for span in (HOUR, WEEK):
            read_overview(database, START, span)
    counted = [one for one in found if "buckets" in one.statement]
    assert len({one.statement for one in counted}) == 1
    assert len(counted) == 2
    for index in ("ix_events_received_at", "ix_events_settled_at", "ix_attempts_failed"):
        assert index in counted[0].plan


def test_buckets_begin_at_whole_multiples_and_cover_the_whole_span(database: Database) -> None:
    now = START + timedelta(minutes=59, seconds=59)
    hour, day = (read_overview(database, now, span).activity for span in (HOUR, DAY))
    assert hour.buckets[0].begin == START
    assert hour.buckets[-1].end == START + timedelta(hours=1)
    assert day.buckets[0].begin == START + timedelta(hours=1) - DAY.length
    assert all(a.end == b.begin for a, b in zip(day.buckets, day.buckets[1:], strict=False))


def test_buckets_are_the_same_whatever_the_time_zone_of_now(database: Database) -> None:
    seed(database, "a", received_at=START - timedelta(minutes=3))
    elsewhere = START.astimezone(timezone(timedelta(hours=5, minutes=45)))
    for span in (HOUR, DAY):
        here, there = (read_overview(database, now, span).activity for now in (START, elsewhere))
        assert here.buckets == there.buckets
        assert here.buckets[0].begin.tzinfo is UTC


def test_each_series_counts_what_its_name_says(database: Database) -> None:
    before = START - timedelta(minutes=10)
    seed(database, "ok", "succeeded", received_at=START - timedelta(hours=2), settled_at=before)
    reconciliation = seed(database, "bad", "failed", failure=WALLET, received_at=before)
    attempt(database, reconciliation, before, status="completed", next_attempt_at=START)  # it succeeded: polled again
    attempt(database, reconciliation, before, error="upstream_error", next_attempt_at=START)
    attempt(database, reconciliation, before, error="upstream_error", next_attempt_at=START)
    attempt(database, reconciliation, before, error="wallet_not_supported")
    overview = read_overview(database, START)
    assert overview.activity.total == Counts(received=1, reconciled=1, retried=2, given_up=1)
    assert read_overview(database, START, DAY).activity.total == Counts(received=2, reconciled=1, retried=2, given_up=1)


def test_counts_and_ages_by_state(database: Database) -> None:
    hour = timedelta(hours=1)
    seed(database, "old", "failed", failure=WALLET, received_at=START - 9 * hour)
    seed(database, "slow", "retrying", failure=(502, "upstream_error", "x"), received_at=START - 3 * hour)
    # Spooled while SQL was away: it came first and was stored last.
    seed(database, "new", received_at=START - hour)
    seed(database, "spooled", received_at=START - 2 * hour)
    seed(database, "done", "succeeded", state="watching", received_at=START - 8 * hour, settled_at=START)
    overview = read_overview(database, START)
    assert {state: waiting.count for state, waiting in overview.unsettled.items()} == {
        "pending": 2,
        "retrying": 1,
        "failed": 1,
    }
    assert overview.unsettled["pending"].oldest_at == START - 2 * hour
    assert overview.unsettled["failed"].oldest_at == START - 9 * hour
    assert overview.watching == 1
    assert overview.oldest_waiting is not None
    assert overview.oldest_waiting.merchant_transaction_id == "slow"
    assert overview.oldest_waiting.received_at == START - 3 * hour


def test_failures_are_grouped_by_error_and_code_the_most_frequent_first(database: Database) -> None:
    for number in range(3):
        moment = START - timedelta(minutes=number)
        seed(database, f"a-{number}", "failed", failure=(502, "upstream_error", "provider"), failed_at=moment)
    seed(database, "b", "failed", failure=(503, "upstream_error", "provider"), failed_at=START + timedelta(minutes=1))
    seed(database, "c", "failed", failure=(404, "not_found", "transaction_not_found"))
    seed(database, "d", "retrying", failure=(502, "upstream_error", "provider"))
    overview = read_overview(database, START)
    assert [(group.error, group.code, group.http_status, group.count) for group in overview.failed] == [
        ("upstream_error", "provider", 502, 4),
        ("not_found", "transaction_not_found", 404, 1),
    ]
    assert overview.failed[0].newest_at == START + timedelta(minutes=1)
    assert [(group.error, group.count) for group in overview.retrying] == [("upstream_error", 1)]


@pytest.mark.parametrize(
    ("delivery", "failure", "said", "unsaid"),
    [
        ("failed", (404, "not_found", "x"), "Proof does not know this id", "retried"),
        ("failed", (502, "upstream_error", "x"), "replay it once Proof works again", "by itself"),
        ("failed", (None, "upstream_unavailable", "timeout"), "Proof did not answer in time. It was retried", "itself"),
        ("retrying", (502, "upstream_error", "x"), "retried by itself", "replay"),
        ("failed", (None, WORKER_DIED, "lease_expired"), "look at the workers' log", "by itself"),
        ("retrying", (None, WORKER_DIED, "lease_expired"), "tried alone, by itself", "replay"),
    ],
)
def test_advice_fits_where_the_delivery_stands(
    database: Database, delivery: str, failure: tuple[int | None, str, str], said: str, unsaid: str
) -> None:
    seed(database, "a", delivery, failure=failure)
    overview = read_overview(database, START)
    (group,) = [*overview.failed, *overview.retrying]
    assert said in group.advice
    assert unsaid not in group.advice


def test_what_only_proof_can_mend_names_the_reported_pairs(database: Database) -> None:
    for number, (currency, network) in enumerate([("USDT", "TRC20"), ("USDT", "TRC20"), ("BTC", None)]):
        seed(database, f"w-{number}", "failed", failure=WALLET, currency=currency, network=network)
    seed(database, "c", "failed", failure=CURRENCY, currency="DOGE", network="DOGE")
    seed(database, "other", "failed", failure=(404, "not_found", "x"), currency="ETH", network="ERC20")
    wallet, currency_group = read_overview(database, START).for_proof
    assert wallet.needs_wallet
    assert wallet.pairs == [Pair("USDT", "TRC20", 2), Pair("BTC", None, 1)]
    assert not currency_group.needs_wallet
    assert currency_group.pairs == [Pair("DOGE", "DOGE", 1)]


def test_many_kinds_of_failure_and_many_pairs_stay_bounded(database: Database) -> None:
    for number in range(120):
        seed(database, f"k-{number}", "failed", failure=(400, f"error_{number}", "x"))
    for number in range(60):
        seed(database, f"p-{number}", "failed", failure=WALLET, currency=f"C{number}", network="N")
    overview = read_overview(database, START)
    assert len(overview.failed) == 100
    assert overview.failed[0].count == 60
    assert len(overview.failed[0].pairs) == 50
    assert overview.failed_count == 180


def test_paused_gate_is_told_with_its_failure(database: Database) -> None:
    refused = {"http_status": 401, "error": "unauthorised", "code": "invalid_token", "request_id": "req-1"}
    pause(database, "configuration", START, next_probe_at=START + timedelta(seconds=20), probes=2, **refused)
    gate = read_overview(database, START).gate
    assert gate.is_paused
    assert gate.probes == 2
    assert gate.failure is not None
    assert gate.failure.name == "401 unauthorised/invalid_token"


def test_clock_and_running_replays(database: Database) -> None:
    first, second = (seed(database, name, "failed", failure=WALLET) for name in ("a", "b"))
    order = {"actor": "ada", "via": "page", "reason": "wallet is there", "wanted": {}, "per_second": 20.0}
    with database.write() as session:
        session.execute(insert(Heartbeat).values(name=CLOCK, beat_at=START))
        for released_at in (None, START):
            replay = Replay(created_at=START, matched=2, released_at=released_at, **order)
            session.add(replay)
            session.flush()
            session.add(ReplayItem(replay_id=replay.id, reconciliation_id=first, released_at=START))
            session.add(ReplayItem(replay_id=replay.id, reconciliation_id=second))
    overview = read_overview(database, START)
    assert overview.clock_beat_at == START
    (running,) = overview.replays
    assert (running.actor, running.matched, running.sent) == ("ada", 2, 1)


def test_transaction_with_several_failed_events_is_one_in_its_group(database: Database) -> None:
    seed(database, "a", "failed", failure=WALLET, currency="USDT", network="TRC20")
    again = {"merchant_transaction_id": "a", "delivery": "failed", "status": "completed"}
    with database.write() as session:
        session.execute(insert(Event).values(EVENT | again | {"currency": "USDT", "network": "TRC20"}))
    overview = read_overview(database, START)
    assert overview.failed_count == 2
    (group,) = overview.failed
    assert (group.count, group.pairs) == (1, [Pair("USDT", "TRC20", 1)])


def test_big_counts(database: Database) -> None:
    rows = [
        EVENT | {"merchant_transaction_id": f"m-{number}", "received_at": START - timedelta(milliseconds=number)}
        for number in range(20_000)
    ]
    with database.write() as session:
        session.execute(insert(Event), rows)
    overview: Overview = read_overview(database, START)
    assert overview.unsettled["pending"].count == overview.activity.total.received == 20_000


def test_events_that_wait_unopened_are_counted_as_pending(database: Database) -> None:
    seed(database, "moving", "succeeded", state="watching", received_at=START, settled_at=START)
    seed(database, "asked", "succeeded", state="watching", received_at=START, settled_at=START)
    waits = add_unopened(database, "new", START - timedelta(minutes=9))
    add_unopened(database, "asked", status="completed")
    overview = read_overview(database, START)
    pending = overview.unsettled["pending"]
    assert (pending.count, pending.oldest_at) == (2, START - timedelta(minutes=9))
    assert overview.oldest_waiting is not None
    assert (overview.oldest_waiting.event_id, overview.oldest_waiting.state) == (waits, "pending")
    assert overview.watching == 1
    pause(database, "upstream", START)
    assert read_overview(database, START).watching == 1
