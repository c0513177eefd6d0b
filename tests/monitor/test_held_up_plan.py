"""What an incident held up is found in indexes that have nothing else, however long it lasts and whatever went well."""

from __future__ import annotations

from datetime import timedelta

from tests.support.clock import FakeClock
from tests.support.plans import explained
from tests.support.rows import delivery_rows, seed_all
from webhook_app.domain.incidents import IncidentKind
from webhook_app.services import Services
from webhook_app.usecases.incidents.finding import Finding
from webhook_app.usecases.incidents.held_up import count_held_up
from webhook_app.usecases.incidents.register import begin


def test_month_of_payments_that_went_well_is_not_gone_through(services: Services, clock: FakeClock) -> None:
    database = services.database
    began_at = clock()
    rows = [delivery_rows(f"t{number}", "succeeded", received_at=clock(), settled_at=clock()) for number in range(2000)]
    seed_all(database, rows)
    if not database.is_sqlite:
        with database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql("ANALYZE events")
    clock.advance(30 * 86_400)
    with database.write() as session:
        begin(session, Finding(IncidentKind.SQL_AWAY, "x", since=began_at - timedelta(days=1)), clock())
    with explained(database) as found:
        assert count_held_up(database, clock()) == 1
    (count,) = [one for one in found if "count(DISTINCT" in one.statement]
    assert "ix_events_settled_late" in count.plan
    assert "ix_events_unsettled" in count.plan
    for others in ("ix_events_received_at", "ix_events_settled_at", "Seq Scan on events"):
        assert others not in count.plan, count.plan
    assert "SCAN events" not in count.plan.splitlines(), "all of the table, on SQLite"


def test_incident_that_was_counted_before_a_clock_was_set_back_is_counted_again(
    services: Services, clock: FakeClock
) -> None:
    with services.database.write() as session:
        begin(session, Finding(IncidentKind.SQL_AWAY, "x", since=clock()), clock())
    assert count_held_up(services.database, clock() + timedelta(days=3650)) == 1
    assert [count_held_up(services.database, clock()) for _ in range(2)] == [1, 0]
