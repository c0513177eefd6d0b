"""Invariants: all hold after real work, and each corruption by hand is found: by `verify`, and by the clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from tests.support.answers import DB_ERROR, NOT_FOUND, POLICY, answer, claim, confirmed, report_and_answer
from tests.support.clock import FakeClock
from tests.support.people import SHELL
from tests.support.rows import note
from tests.support.work import report
from webhook_app.cli import cli
from webhook_app.db.database import Database
from webhook_app.domain.failures import Failure
from webhook_app.domain.gate import Limits, pause
from webhook_app.domain.retry_policy import Blame
from webhook_app.domain.status import Status
from webhook_app.models import Event
from webhook_app.services import Services, open_lookout
from webhook_app.usecases.finance.discrepancies import acknowledge
from webhook_app.usecases.heartbeats import CLOCK, beat
from webhook_app.usecases.incidents.reports import IncidentFilter, list_incidents
from webhook_app.usecases.invariants import RULES
from webhook_app.usecases.invariants.checking import verify
from webhook_app.usecases.invariants.rule import Portion
from webhook_app.usecases.reconcile.stored_gate import lock_gate, store_gate
from webhook_app.usecases.redeliver.replay import Selection, order_replay

#: By the rule that each breaks: what a hand does in the database.
CORRUPTIONS: dict[str, Sequence[str]] = {
    "event_has_work": ["UPDATE events SET merchant_transaction_id = 'nobody' WHERE merchant_transaction_id = 'done'"],
    "event_is_waited_for": [
        "UPDATE reconciliations SET state = 'failed', next_attempt_at = NULL WHERE merchant_transaction_id = 'waits'"
    ],
    "event_follows_answer": [
        "UPDATE events SET delivery = 'failed', settled_at = NULL WHERE merchant_transaction_id = 'done'"
    ],
    "attempt_comes": ["UPDATE reconciliations SET next_attempt_at = '2031-01-01 00:00:00.000000' "
                      "WHERE merchant_transaction_id = 'waits'"],
    "claim_ends": ["UPDATE reconciliations SET lease_until = '2031-01-01 00:00:00.000000', claim_token = 'x' "
                   "WHERE merchant_transaction_id = 'waits'"],
    "succeeded_is_confirmed": ["UPDATE reconciliations SET state = 'succeeded' "
                               "WHERE merchant_transaction_id = 'waits'"],
    "confirmed_is_there": ["DELETE FROM transaction_versions WHERE merchant_transaction_id = 'done'",
                           "DELETE FROM status_changes WHERE merchant_transaction_id = 'done'",
                           "DELETE FROM transactions WHERE merchant_transaction_id = 'done'"],
    "transaction_has_work": ["DELETE FROM events WHERE merchant_transaction_id = 'done'",
                             "DELETE FROM attempts",
                             "DELETE FROM reconciliations WHERE merchant_transaction_id = 'done'"],
    "status_is_in_history": ["DELETE FROM status_changes WHERE merchant_transaction_id = 'done'"],
    "version_has_change": ["DELETE FROM status_changes WHERE merchant_transaction_id = 'changed' "
                           "AND status = 'completed'"],
    "version_is_current": ["UPDATE transaction_versions SET fiat_amount = '1000' "
                           "WHERE merchant_transaction_id = 'done'"],
    "change_has_version": ["UPDATE transaction_versions SET updated_at = '2031-01-01 00:00:00.000000' "
                           "WHERE merchant_transaction_id = 'changed' AND status = 'completed'"],
    "versions_join": ["UPDATE transaction_versions SET superseded_at = '2031-01-01 00:00:00.000000' "
                      "WHERE merchant_transaction_id = 'corrected' AND superseded_at IS NOT NULL"],
    "final_change_is_told": ["DELETE FROM anomalies WHERE merchant_transaction_id = 'changed'"],
    "view_shows_all": ["DROP VIEW finance_transactions",
                       "CREATE VIEW finance_transactions AS SELECT * FROM transactions "
                       "WHERE merchant_transaction_id <> 'done'"],
    "amount_is_decimal": ["UPDATE transactions SET fiat_amount = '{no_number}' WHERE merchant_transaction_id = 'done'"],
    "acknowledged_by_somebody": ["UPDATE anomalies SET acknowledged_by = NULL WHERE acknowledged_at IS NOT NULL"],
    "pause_is_probed": ["UPDATE upstream SET next_probe_at = NULL"],
}  # fmt: skip


#: More of a hand's doings, with the rule that finds each.
_OF, _NEVER = " WHERE merchant_transaction_id = ", "'2031-01-01 00:00:00.000000'"
FURTHER = (
    ("event_has_work", ["DELETE FROM attempts", f"DELETE FROM reconciliations{_OF}'done'"]),
    ("event_follows_answer", [f"UPDATE events SET delivery = 'succeeded', settled_at = received_at{_OF}'waits'"]),
    ("event_follows_answer", [f"UPDATE events SET opened_generation = 99{_OF}'done'"]),
    ("succeeded_is_confirmed", [f"UPDATE reconciliations SET state = 'succeeded', next_attempt_at = NULL{_OF}'moves'"]),
    ("succeeded_is_confirmed", [f"UPDATE reconciliations SET reconciled_at = NULL{_OF}'moves'"]),
    ("status_is_in_history", [f"UPDATE transactions SET status = 'failed'{_OF}'done'"]),
    ("status_is_in_history", [f"UPDATE transactions SET updated_at = {_NEVER}{_OF}'done'"]),
    ("version_is_current", [f"UPDATE transaction_versions SET superseded_at = recorded_at{_OF}'done'"]),
    ("version_is_current", [f"DELETE FROM transaction_versions{_OF}'moves'"]),
    ("change_has_version", [f"DELETE FROM transaction_versions{_OF}'changed' AND status = 'completed'"]),
    ("versions_join", [f"DELETE FROM transaction_versions{_OF}'corrected' AND fiat_amount <> '7'"]),
    ("transaction_has_work", ["DELETE FROM attempts", f"DELETE FROM reconciliations{_OF}'done'"]),
    (
        "transaction_has_work",
        [
            f"UPDATE transactions SET position = NULL{_OF}'done'",
            "DELETE FROM attempts",
            f"DELETE FROM reconciliations{_OF}'done'",
        ],
    ),
    ("final_change_is_told", [f"UPDATE anomalies SET kind = 'stale_answer'{_OF}'changed'"]),
    ("acknowledged_by_somebody", ["UPDATE anomalies SET note = NULL WHERE acknowledged_at IS NOT NULL"]),
    ("pause_is_probed", [f"UPDATE upstream SET next_probe_at = {_NEVER}"]),
)


@pytest.fixture
def worked(database: Database, clock: FakeClock) -> Database:
    """A transaction that is done, one that waits, one that failed, one that changed at last, and a pause."""
    report_and_answer(database, clock, confirmed(Status.COMPLETED, clock(), id="done"), id="done")
    report_and_answer(database, clock, confirmed(Status.COMPLETED, clock(), id="changed"), id="changed")
    later = clock() + timedelta(seconds=5)
    report_and_answer(database, clock, confirmed(Status.FAILED, later, id="changed"), id="changed")
    first = confirmed(Status.PROCESSING, clock(), id="corrected")
    report_and_answer(database, clock, first, id="corrected")
    clock.advance(5)
    answer(database, clock, claim(database, clock, "corrected"), replace(first, fiat_amount=Decimal(7)))
    report(database, "fails", clock(), updated_at=clock())
    answer(database, clock, claim(database, clock, "fails"), DB_ERROR, POLICY)
    report(database, "waits", clock(), updated_at=clock())
    report_and_answer(database, clock, confirmed(Status.PROCESSING, clock(), id="moves"), id="moves")
    acknowledge(database, note(database, "done", "stale_answer"), "seen", SHELL, clock())
    with database.write() as session:
        gate = pause(lock_gate(session), Blame.PROOF, Failure(503, "x", "y", ""), clock(), clock(), Limits())
        store_gate(session, gate)
    return database


def broken(database: Database, clock: FakeClock) -> list[str]:
    return [rule.name for rule, breach in verify(database, clock, lambda: None) if breach is not None]


def corrupt(database: Database, rule: str) -> None:
    no_number = "12,5" if database.is_sqlite else "NaN"
    with database.write() as session:
        for statement in CORRUPTIONS[rule]:
            session.execute(text(statement.format(no_number=no_number)))


def test_all_hold_after_work_and_every_rule_has_its_corruption_and_its_line_in_the_docs(
    worked: Database, clock: FakeClock
) -> None:
    assert broken(worked, clock) == []
    assert list(CORRUPTIONS) == [rule.name for rule in RULES]
    page = (Path(__file__).parents[2] / "docs" / "invariants.md").read_text()
    assert [rule.name for rule in RULES if f"| `{rule.name}` | {rule.sentence} |" not in page] == []


@pytest.mark.parametrize("rule", CORRUPTIONS)
def test_corruption_by_hand_is_found(worked: Database, clock: FakeClock, rule: str) -> None:
    if rule == "view_shows_all":
        # The next test has the same database, with its views.
        with worked.engine.connect() as connection:
            where = "sqlite_master" if worked.is_sqlite else "pg_views"
            column, name = ("sql", "name") if worked.is_sqlite else ("definition", "viewname")
            made = connection.scalar(text(f"SELECT {column} FROM {where} WHERE {name} = 'finance_transactions'"))
    corrupt(worked, rule)
    found = broken(worked, clock)
    if rule == "view_shows_all":
        with worked.write() as session:
            session.execute(text("DROP VIEW finance_transactions"))
            session.execute(text(made if worked.is_sqlite else f"CREATE VIEW finance_transactions AS {made}"))
    assert rule in found
    # A row that is gone takes with it what other rules compare.
    assert len(found) <= 2, found


def test_further_corruptions_are_found(worked: Database, clock: FakeClock) -> None:
    everything = Portion(0, 1000, clock())
    for rule, statements in FURTHER:
        with worked.engine.connect() as connection, Session(connection) as session:
            for statement in statements:
                session.execute(text(statement))
            found = [one.name for one in RULES if one.find(session, everything)]
            session.rollback()
        assert rule in found, statements


def test_what_gave_up_at_a_late_look_and_is_tried_again_breaks_nothing(database: Database, clock: FakeClock) -> None:
    event = report(database, "late", clock(), updated_at=clock(), status="failed").event_id
    answer(database, clock, claim(database, clock, "late"), confirmed(Status.FAILED, clock(), id="late"))
    clock.advance(700)
    answer(database, clock, claim(database, clock, "late"), NOT_FOUND, POLICY)
    with database.read() as session:
        assert session.scalar(select(Event.delivery)) == "failed"
    assert broken(database, clock) == []
    assert order_replay(database, Selection((event,)), SHELL, "again", clock()).replayed == 1
    assert broken(database, clock) == []


def test_what_a_former_release_settled_breaks_nothing(worked: Database, clock: FakeClock) -> None:
    with worked.write() as session:
        session.execute(text("UPDATE reconciliations SET settled_generation = 0"))
    assert broken(worked, clock) == []


def test_clock_finds_it_in_small_steps_and_it_is_an_incident_until_it_is_mended(
    services: Services, worked: Database, clock: FakeClock
) -> None:
    lookout = open_lookout(services)
    corrupt(worked, "version_is_current")

    def look(times: int) -> list[tuple[str, str, str]]:
        for _ in range(times):
            clock.advance(5)
            beat(services.database, CLOCK, clock())
            lookout.step()
        found = list_incidents(services.database, IncidentFilter(kind="invariant_broken"), 10, clock()).items
        return [(one.key, one.state, one.severity) for one in found]

    assert look(len(RULES) + 1) == [("version_is_current", "open", "critical")]
    with worked.write() as session:
        session.execute(
            text("UPDATE transaction_versions SET fiat_amount = '2.50' WHERE merchant_transaction_id = 'done'")
        )
    assert look(len(RULES) + 1) == [("version_is_current", "resolved", "critical")]


def test_what_looks_broken_once_is_no_breach(worked: Database, clock: FakeClock) -> None:
    corrupt(worked, "pause_is_probed")

    def mend() -> None:
        with worked.write() as session:
            session.execute(text("UPDATE upstream SET next_probe_at = paused_at"))

    assert [rule.name for rule, breach in verify(worked, clock, mend) if breach is not None] == []


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_command_names_rule_and_row_and_ends_with_one(worked: Database, database_url: str) -> None:
    environ = {"DATABASE_URL": database_url}
    assert "All hold." in CliRunner().invoke(cli, ["verify"], env=environ).output
    corrupt(worked, "status_is_in_history")
    result = CliRunner().invoke(cli, ["verify"], env=environ)
    assert result.exit_code == 1
    assert "✗ status_is_in_history: " in result.output
    assert "done is completed" in result.output
