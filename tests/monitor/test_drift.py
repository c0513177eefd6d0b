"""Drift is counted once for each word, in a table that stays small, dismissed by people, and back when seen again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from tests.support.clock import FakeClock
from tests.support.drift import counts, see, sighting, stored_drift
from tests.support.listening import listening
from tests.support.people import SHELL
from webhook_app.db.database import Database
from webhook_app.domain.drift import Drift, DriftKind, DriftSource
from webhook_app.usecases.audit import AuditFilter, list_entries
from webhook_app.usecases.drift import MOST_WORDS, OTHERS, DriftLog, Sighting
from webhook_app.usecases.monitor.drift import DriftFilter, DriftState, dismiss, find_open_drift, list_drift
from webhook_app.usecases.refusals import Conflict, Missing, Refused


def one_id(database: Database) -> int:
    (row,) = stored_drift(database)
    return row.id


def states(database: Database) -> dict[str, str]:
    return {report.word: report.state for report in list_drift(database, DriftFilter(), 200).items}


def test_each_word_is_one_row_with_a_count_and_its_newest_message(database: Database, clock: FakeClock) -> None:
    first = clock()
    see(database, sighting("refunded", first, id="a", request_id="r-a"), sighting("held", first, id="b"))
    clock.advance(60)
    see(database, sighting("refunded", clock(), id="c", request_id="r-c"), sighting("refunded", first, id="d"))
    held, refunded = stored_drift(database)
    assert (held.count, refunded.count) == (1, 3)
    assert (refunded.first_seen_at, refunded.last_seen_at) == (first, clock())
    assert (refunded.merchant_transaction_id, refunded.request_id) == ("c", "r-c")


def test_older_message_counted_later_is_not_the_newest(database: Database, clock: FakeClock) -> None:
    see(database, sighting("refunded", clock(), id="new"))
    see(database, sighting("refunded", clock() - timedelta(hours=1), id="old"))
    (row,) = stored_drift(database)
    assert (row.count, row.last_seen_at, row.merchant_transaction_id) == (2, clock(), "new")


def test_same_word_of_another_kind_or_source_is_another_row(database: Database, clock: FakeClock) -> None:
    see(
        database,
        sighting("x", clock()),
        sighting("x", clock(), source=DriftSource.WEBHOOK),
        sighting("x", clock(), kind=DriftKind.FIELD),
        Sighting((Drift(DriftKind.TYPE, "x"), Drift(DriftKind.SLUG, "x")), DriftSource.API, clock(), "t", None),
    )
    assert counts(database) == {
        ("status", "api", "x"): 1,
        ("status", "webhook", "x"): 1,
        ("field", "api", "x"): 1,
        ("type", "api", "x"): 1,
        ("slug", "api", "x"): 1,
    }


def test_endless_new_words_take_a_bounded_number_of_rows(database: Database, clock: FakeClock) -> None:
    see(database, sighting("known", clock()))
    for batch in range(4):
        flood = [sighting(f"w{batch} {letter}{other}", clock()) for letter in "abcdefghij" for other in "abcde"]
        see(database, *flood, sighting("known", clock()))
        flood = [sighting(f"w{batch} {letter}", clock(), source=DriftSource.WEBHOOK) for letter in "abcdefghijklmnop"]
        see(database, *flood)
    found = counts(database)
    by_api = {word: count for (_, source, word), count in found.items() if source == "api"}
    assert len(by_api) == MOST_WORDS + 1
    assert by_api["known"] == 5
    assert by_api[OTHERS] == 4 * 50 - (MOST_WORDS - 1)
    by_webhook = {word: count for (_, source, word), count in found.items() if source == "webhook"}
    assert len(by_webhook) == MOST_WORDS + 1
    assert sum(by_webhook.values()) == 4 * 16


def test_flood_in_one_batch_is_bounded_too(database: Database, clock: FakeClock) -> None:
    words = [f"{letter}{other}" for letter in "abcdefghijklmnopqrst" for other in "abcdefghijklmnopqrst"]
    see(database, *[sighting(word, clock()) for word in words])
    assert len(stored_drift(database)) == MOST_WORDS + 1
    assert sum(counts(database).values()) == 400


def test_dismissed_words_make_room_for_new_ones(database: Database, clock: FakeClock) -> None:
    see(database, *[sighting(f"junk {first}{second}", clock()) for first in "abcde" for second in "abcdefghij"])
    for row in stored_drift(database)[:3]:
        dismiss(database, row.id, "junk", SHELL, clock())
    clock.advance(1)
    see(database, *[sighting(word, clock()) for word in ("one", "two", "three", "four")])
    found = {word: count for (_, _, word), count in counts(database).items()}
    assert len(found) == MOST_WORDS + 1
    assert found[OTHERS] == 1
    assert sum(word in found for word in ("one", "two", "three", "four")) == 3
    assert not [word for word in found if word in ("junk aa", "junk ab", "junk ac")]


def test_several_writers_at_once_lose_no_count_and_keep_the_bound(database: Database, clock: FakeClock) -> None:
    def write(number: int) -> None:
        for batch in range(5):
            words = [f"n{number}b{batch} {letter}" for letter in "abcdefghij"] + ["common one", "common two"]
            see(database, *[sighting(word, clock()) for word in (words if number % 2 else words[::-1])])

    with ThreadPoolExecutor(4) as executor:
        list(executor.map(write, range(4)))
    found = {word: count for (_, _, word), count in counts(database).items()}
    assert (found["common one"], found["common two"]) == (20, 20)
    assert sum(found.values()) == 4 * 5 * 12
    assert len(found) == MOST_WORDS + 1


def test_sql_that_is_away_costs_a_count_and_nothing_else(database: Database, clock: FakeClock) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("INSERT", {}, Exception("the connection went"))

    with capture_logs() as logs, listening(database, "commit", fail):
        see(database, sighting("refunded", clock()))
    assert [line["event"] for line in logs] == ["drift not counted"]
    assert counts(database) == {}


def test_what_webhooks_say_is_kept_while_sql_is_away(database: Database, clock: FakeClock) -> None:
    drift_log = DriftLog(database)

    def fail(*_: object) -> None:
        raise OperationalError("INSERT", {}, Exception("the connection went"))

    try:
        with listening(database, "commit", fail):
            drift_log.note(sighting("refunded", clock()))
            with pytest.raises(OperationalError):
                drift_log.flush()
        drift_log.note(sighting("refunded", clock()))
        drift_log.flush()
        assert counts(database) == {("status", "api", "refunded"): 2}
    finally:
        drift_log.close()


def test_dismissed_drift_is_closed_audited_and_back_when_it_is_seen_again(database: Database, clock: FakeClock) -> None:
    see(database, sighting("refunded", clock()))
    clock.advance(60)
    done = dismiss(database, one_id(database), " Proof says: like cancelled ", SHELL, clock())
    assert (done.state, done.dismissed_by, done.note) == (DriftState.DISMISSED, "tester", "Proof says: like cancelled")
    with database.read() as session:
        assert find_open_drift(session, 10).count == 0
    (entry,) = list_entries(database, AuditFilter(), 10).items
    assert (entry.action, entry.subject, entry.reason) == (
        "dismiss_drift",
        "status “refunded”",
        "Proof says: like cancelled",
    )
    see(database, sighting("refunded", clock() - timedelta(seconds=1)))
    assert states(database) == {"refunded": "dismissed"}, "it was seen before, and counted later"
    clock.advance(60)
    see(database, sighting("refunded", clock()))
    assert states(database) == {"refunded": "open"}
    assert counts(database) == {("status", "api", "refunded"): 3}
    clock.advance(60)
    assert dismiss(database, one_id(database), "again", SHELL, clock()).note == "again"


def test_dismissal_that_makes_no_sense_is_refused(database: Database, clock: FakeClock) -> None:
    see(database, sighting("refunded", clock()))
    drift_id = one_id(database)
    with pytest.raises(Refused, match="note"):
        dismiss(database, drift_id, " \n", SHELL, clock())
    for missing in (drift_id + 1, 2**63, 10**30):
        with pytest.raises(Missing):
            dismiss(database, missing, "why", SHELL, clock())
    dismiss(database, drift_id, "first", SHELL, clock())
    with pytest.raises(Conflict, match="tester has dismissed it already: “first”"):
        dismiss(database, drift_id, "second", SHELL, clock())
    assert len(list_entries(database, AuditFilter(), 10).items) == 1


def test_list_is_narrowed_by_state_and_cut_to_pages(database: Database, clock: FakeClock) -> None:
    for word in ("one", "two", "three"):
        see(database, sighting(word, clock()))
    dismiss(database, min(row.id for row in stored_drift(database)), "known", SHELL, clock())
    page = list_drift(database, DriftFilter("open"), 1)
    assert [report.word for report in page.items] == ["three"]
    assert [report.word for report in list_drift(database, DriftFilter("open"), 1, page.next_after).items] == ["two"]
    assert [report.word for report in list_drift(database, DriftFilter("dismissed"), 9).items] == ["one"]
    assert len(list_drift(database, DriftFilter(), 9).items) == 3


def test_what_makes_transactions_wait_is_shown_first(database: Database, clock: FakeClock) -> None:
    see(database, sighting("refunded", clock()))
    clock.advance(60)
    see(
        database,
        sighting("fee", clock(), kind=DriftKind.FIELD),
        sighting("held", clock(), source=DriftSource.WEBHOOK),
    )
    with database.read() as session:
        found = find_open_drift(session, 2)
    assert (found.count, found.newest[0].said) == (3, "status “refunded”")
    assert [report.makes_wait for report in found.newest] == [True, False]


def test_every_kind_and_source_has_words_and_advice(database: Database, clock: FakeClock) -> None:
    see(database, *[sighting("x", clock(), kind=kind, source=source) for kind in DriftKind for source in DriftSource])
    see(database, sighting(OTHERS, clock()), sighting("(no word)", clock(), kind=DriftKind.FIELD))
    reports = list_drift(database, DriftFilter(), 99).items
    assert len(reports) == len(DriftKind) * len(DriftSource) + 2
    assert all(report.said and report.advice.endswith(".") for report in reports)
    assert {"other statuses", "unreadable fields"} <= {report.said for report in reports}
    for report in reports:
        assert ("Transactions with it wait" in report.advice) is report.makes_wait


def test_rows_hold_the_constraints_of_their_words(database: Database, clock: FakeClock) -> None:
    see(database, sighting("refunded", clock()))
    with database.read() as session:
        columns = session.execute(text("SELECT kind, source, word, count FROM drift")).one()
    assert tuple(columns) == ("status", "api", "refunded", 1)
