"""Ids that webhooks of unknown senders named and Proof does not know: one discrepancy with a count, never lost."""

from __future__ import annotations

from sqlalchemy import update

from tests.support.answers import NOT_FOUND, answer, claim
from tests.support.class_rows import put
from tests.support.clock import FakeClock
from tests.support.people import SHELL
from tests.support.plans import explained
from tests.support.work import report, row
from webhook_app.db.database import Database
from webhook_app.models import Event, Reconciliation
from webhook_app.models.reconciliation import AskedBy
from webhook_app.usecases.finance.discrepancies import (
    DiscrepancyFilter,
    DiscrepancyReport,
    acknowledge,
    list_discrepancies,
)
from webhook_app.usecases.reconcile.unknown_ids import gather_unknown
from webhook_app.usecases.redeliver.replay import replay_from_rq


def listed(database: Database) -> list[DiscrepancyReport]:
    """All, oldest first."""
    return list(list_discrepancies(database, DiscrepancyFilter(), 1000).items)[::-1]


def forge(database: Database, clock: FakeClock, *ids: str) -> None:
    """A webhook of an unknown sender names each, and Proof does not know it."""
    for id in ids:
        report(database, id, clock())
        with database.write() as session:
            session.execute(update(Event).where(Event.merchant_transaction_id == id).values(is_vouched=False))
            this = Reconciliation.merchant_transaction_id == id
            session.execute(update(Reconciliation).where(this).values(asked_by=AskedBy.STRANGER))
        answer(database, clock, claim(database, clock, id), NOT_FOUND)


def test_unknown_ids_are_one_discrepancy_with_their_number(database: Database, clock: FakeClock) -> None:
    forge(database, clock, "a", "b", "c")
    assert listed(database) == []
    assert gather_unknown(database, clock()) == 3
    assert gather_unknown(database, clock()) == 0
    (first,) = listed(database)
    assert (first.kind, first.count, first.merchant_transaction_id) == ("unknown_to_proof", 3, "a")
    assert "3 ids" in first.detail
    assert "the latest c, asked about at 2026-04-01T12:00:00Z" in first.detail
    forge(database, clock, "d")
    gather_unknown(database, clock())
    acknowledge(database, first.id, "a scanner", SHELL, clock(), first.revision)  # a flood does not keep one from it
    forge(database, clock, "e")
    gather_unknown(database, clock())
    assert [(one.count, one.state, one.merchant_transaction_id) for one in listed(database)] == [
        (4, "acknowledged", "a"),
        (1, "open", "e"),
    ]


def test_a_replay_counts_nothing_twice_and_what_is_vouched_for_has_its_own(
    database: Database, clock: FakeClock
) -> None:
    forge(database, clock, "a")
    gather_unknown(database, clock())
    replay_from_rq(database, "a", SHELL, "to be sure", clock())
    answer(database, clock, claim(database, clock, "a"), NOT_FOUND)
    assert gather_unknown(database, clock()) == 0
    report(database, "known", clock())
    answer(database, clock, claim(database, clock, "known"), NOT_FOUND)
    assert [(one.merchant_transaction_id, one.count) for one in listed(database)] == [("a", 1), ("known", 1)]
    assert [row(database, id).state for id in ("a", "known")] == ["failed", "failed"]


def test_a_flood_is_counted_in_portions_found_by_an_index(database: Database, clock: FakeClock) -> None:
    put(database, "forged-", 1100, state="failed", next_attempt_at=None, is_gathered=False)
    assert gather_unknown(database, clock()) == 1100
    (found,) = listed(database)
    assert (found.count, "1,100 ids" in found.detail) == (1100, True)
    with explained(database) as plans:
        gather_unknown(database, clock())
    if database.is_sqlite:  # PostgreSQL decides by statistics, and there are none of so few rows
        assert "ix_reconciliations_ungathered" in "".join(one.plan for one in plans)
