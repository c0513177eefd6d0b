"""Versions: everything that was ever confirmed is kept, and any moment of the past is answered from it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, text

from tests.support.answers import confirmed, report_and_answer
from tests.support.clock import START, FakeClock
from tests.support.work import report
from webhook_app.adapters.proof import Confirmed
from webhook_app.db.database import Database
from webhook_app.domain.status import Status
from webhook_app.models import Attempt, Discrepancy, Event, Reconciliation, Transaction, TransactionVersion
from webhook_app.usecases.finance.discrepancies import find_discrepancies
from webhook_app.usecases.finance.report_rows import CONFIRMED
from webhook_app.usecases.finance.reports import list_transactions
from webhook_app.usecases.finance.summary import Grouping, summarise
from webhook_app.usecases.finance.transaction_filter import TransactionFilter


def versions(database: Database, id: str = "t") -> list[TransactionVersion]:
    with database.read() as session:
        return list(
            session.scalars(
                select(TransactionVersion)
                .where(TransactionVersion.merchant_transaction_id == id)
                .order_by(TransactionVersion.id)
            )
        )


def held_at(database: Database, moment: datetime) -> dict[str, dict[str, Any]]:
    """What the list tells as of a moment, of what was confirmed then."""
    page = list_transactions(database, TransactionFilter(as_of=moment), 200)
    return {
        item.merchant_transaction_id: {name: getattr(item, name) for name in CONFIRMED}
        for item in page.items
        if item.status is not None
    }


def test_each_change_of_a_confirmed_value_is_a_version_and_a_repetition_is_none(
    database: Database, clock: FakeClock
) -> None:
    began = clock()
    first = confirmed(Status.PROCESSING, began, crypto_amount=None)
    report_and_answer(database, clock, first)
    clock.advance(60)
    report_and_answer(database, clock, first)
    clock.advance(60)
    report_and_answer(database, clock, replace(first, crypto_amount=Decimal("1.5")))
    clock.advance(60)
    report_and_answer(database, clock, confirmed(Status.COMPLETED, clock(), crypto_amount="1.5"))
    found = [(one.status, one.crypto_amount, one.recorded_at, one.superseded_at) for one in versions(database)]
    minutes = [began + timedelta(minutes=number) for number in range(4)]
    assert found == [
        ("processing", None, minutes[0], minutes[2]),
        ("processing", Decimal("1.5"), minutes[2], minutes[3]),
        ("completed", Decimal("1.5"), minutes[3], None),
    ]
    with database.read() as session:
        place = session.scalar(select(Reconciliation.id))
        assert session.scalar(select(Transaction.reconciliation_id)) == place
    assert {one.reconciliation_id for one in versions(database)} == {place}


def test_amount_whose_scale_alone_changes_is_a_version(database: Database, clock: FakeClock) -> None:
    answer = confirmed(Status.COMPLETED, clock(), crypto_amount="1.5")
    report_and_answer(database, clock, answer)
    clock.advance(1)
    report_and_answer(database, clock, replace(answer, crypto_amount=Decimal("1.50")))
    assert [str(one.crypto_amount) for one in versions(database)] == ["1.5", "1.50"]
    assert find_discrepancies(database, "t") == []


def test_whoever_changes_a_transaction_leaves_its_former_version_behind(database: Database, clock: FakeClock) -> None:
    """An older release that runs beside this one, or somebody with SQL at hand."""
    report_and_answer(database, clock, confirmed(Status.COMPLETED, clock()))
    later = "'2026-05-01 00:00:00.000000'" if database.is_sqlite else "'2026-05-01T00:00:00Z'"
    with database.write() as session:
        session.execute(text(f"UPDATE transactions SET fiat_amount = '7', confirmed_at = {later}"))
    assert [str(one.fiat_amount) for one in versions(database)] == ["2.50", "7"]
    assert held_at(database, START)["t"]["fiat_amount"] == Decimal("2.50")


def test_as_of_a_moment_tells_what_was_confirmed_then(database: Database, clock: FakeClock) -> None:
    began = clock()
    report(database, "t", began)
    clock.advance(60)
    report_and_answer(database, clock, confirmed(Status.PROCESSING, clock(), crypto_amount=None))
    clock.advance(60)
    report_and_answer(database, clock, confirmed(Status.COMPLETED, clock(), crypto_amount="3"))
    assert [item.merchant_transaction_id for item in list_at(database, began - timedelta(seconds=1))] == []
    assert list_at(database, began) == []
    (processing,) = list_at(database, began + timedelta(seconds=119))
    assert (processing.status, processing.crypto_amount, len(processing.history)) == ("processing", None, 1)
    assert processing.confirmed_at == began + timedelta(seconds=60)
    assert (processing.reconciliation, list(processing.events), list(processing.discrepancies)) == (None, [], [])
    (completed,) = list_at(database, began + timedelta(seconds=120))
    assert (completed.status, completed.crypto_amount, len(completed.history)) == ("completed", Decimal("3"), 2)


def list_at(database: Database, moment: datetime, **wanted: Any) -> Any:
    return list_transactions(database, TransactionFilter(as_of=moment, **wanted), 200).items


def test_closed_month_is_told_the_same_whatever_happens_afterwards(database: Database, clock: FakeClock) -> None:
    for number in range(6):
        report_and_answer(
            database,
            clock,
            confirmed(Status.COMPLETED, clock(), id=f"t{number}", crypto_amount=f"{number}.10"),
            id=f"t{number}",
        )
        clock.advance(3600)
    closed = clock()
    wanted = TransactionFilter(as_of=closed, status="completed", created_from=START - timedelta(days=1))

    def tell() -> Any:
        summary = summarise(database, wanted, Grouping())
        page = list_transactions(database, wanted, 3)
        rest = list_transactions(database, wanted, 3, page.next_after)
        return summary.rows, [replace_history(item) for item in (*page.items, *rest.items)]

    def replace_history(item: Any) -> Any:
        return replace(item, history=[(one.status, one.updated_at) for one in item.history])

    before = tell()
    assert len(before[1]) == 6
    clock.advance(60)
    report_and_answer(database, clock, confirmed(Status.FAILED, clock(), id="t0"), id="t0")
    report_and_answer(database, clock, confirmed(Status.COMPLETED, clock(), id="new"), id="new")
    clock.advance(60)
    report_and_answer(database, clock, confirmed(Status.COMPLETED, clock(), id="t5", fiat_amount="99"), id="t5")
    assert tell() == before
    now = summarise(database, replace(wanted, as_of=None), Grouping())
    assert now.rows != before[0]


def test_clock_that_is_set_back_makes_no_two_versions_overlap(database: Database, clock: FakeClock) -> None:
    began = clock()
    answer = confirmed(Status.COMPLETED, began - timedelta(hours=1), fiat_amount="100")
    for second, amount in ((0, "100"), (100, "101"), (95, "102"), (90, "103")):
        clock.now = began + timedelta(seconds=second)
        report_and_answer(database, clock, replace(answer, fiat_amount=Decimal(amount)))
    spans = [(one.recorded_at - began, one.superseded_at and one.superseded_at - began) for one in versions(database)]
    seconds = [(begin.total_seconds(), end and end.total_seconds()) for begin, end in spans]
    assert seconds == [(0, 100), (100, 100), (100, 100), (100, None)]
    for second in (0, 92, 97, 100, 101):
        moment = began + timedelta(seconds=second)
        assert summarise(database, TransactionFilter(as_of=moment), Grouping()).count == 1
        assert len(list_at(database, moment, type="buy")) == 1


def test_event_that_the_spool_hands_over_late_changes_no_moment_of_the_past(
    database: Database, clock: FakeClock
) -> None:
    report_and_answer(database, clock, confirmed(Status.COMPLETED, clock()))
    clock.advance(1800)
    assert [one.merchant_transaction_id for one in list_at(database, clock())] == ["t"]
    report(database, "late", clock() - timedelta(seconds=1700))
    assert [one.merchant_transaction_id for one in list_at(database, clock())] == ["t"]


_STEP = st.tuples(
    st.sampled_from(["a", "b"]),
    st.sampled_from(list(Status)),
    st.sampled_from(["1", "1.0", "2", None]),
    st.integers(0, 3),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(_STEP, max_size=12))
def test_every_moment_of_any_history_is_told_as_it_was(database: Database, steps: list[Any]) -> None:
    with database.write() as session:
        for table in (Attempt, Discrepancy, Event, Reconciliation, TransactionVersion, Transaction):
            session.execute(delete(table))
    clock = FakeClock()
    told: list[tuple[datetime, dict[str, Any]]] = []
    for id, status, amount, seconds in steps:
        clock.advance(seconds)
        answer: Confirmed = confirmed(status, clock(), id=id, crypto_amount=amount)
        report_and_answer(database, clock, answer, id=id)
        with database.read() as session:
            now = {
                row.merchant_transaction_id: {name: getattr(row, name) for name in CONFIRMED}
                for row in session.scalars(select(Transaction))
            }
        told = [(moment, held) for moment, held in told if moment != clock()] + [(clock(), now)]
    for moment, held in told:
        assert held_at(database, moment) == held
