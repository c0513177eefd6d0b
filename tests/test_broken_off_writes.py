"""Every use case that writes is run again as a whole when PostgreSQL undoes its transaction, and does its work once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import func, select, text

from tests.support.answers import LEASE, NOT_FOUND, answer, claim, confirmed
from tests.support.clock import FakeClock
from tests.support.rows import make_known, note
from tests.support.uncounted import Uncounted
from tests.support.work import attempts, events, report, row, shown
from webhook_app.db.database import Database
from webhook_app.domain.status import Status
from webhook_app.models import AuditEntry, Boot, Heartbeat, Rejection
from webhook_app.models.role import Role
from webhook_app.usecases.access import accounts
from webhook_app.usecases.access.last_use import LastUse
from webhook_app.usecases.access.sessions import Browser, Lifetime, log_in, log_out
from webhook_app.usecases.access.tokens import create_token, find_caller
from webhook_app.usecases.audit import Actor
from webhook_app.usecases.finance.discrepancies import acknowledge, find_discrepancies, reopen
from webhook_app.usecases.heartbeats import beat
from webhook_app.usecases.receive.ingest import RequestOrigin
from webhook_app.usecases.receive.rejections import RefusedRequest, Rejections
from webhook_app.usecases.reconcile.claim import hand_back
from webhook_app.usecases.reconcile.clock_jump import follow_clock
from webhook_app.usecases.reconcile.overdue import note_overdue
from webhook_app.usecases.reconcile.sweep import recover_lost_claims
from webhook_app.usecases.redeliver.replay import Selection, cancel_replay, order_replay, replay_from_rq
from webhook_app.usecases.redeliver.replay_release import release

Result = TypeVar("Result")

pytestmark = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)

ANNA = Actor("anna", "page")
DAY = timedelta(days=1)

#: Undoes the first transaction that writes after the sequence was set back, as if it were a deadlock's victim.
UNDO_FIRST = """
    CREATE SEQUENCE writes;
    CREATE FUNCTION undo_first() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('writes') = 1 THEN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END IF;
        RETURN NULL;
    END $$;
    DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
            EXECUTE 'CREATE TRIGGER undo_first AFTER INSERT OR UPDATE OR DELETE ON ' || quote_ident(name)
                || ' FOR EACH STATEMENT EXECUTE FUNCTION undo_first()';
        END LOOP;
    END $$;
    SELECT setval('writes', 2);
"""


@pytest.fixture
def database(database: Database) -> Iterator[Database]:
    with database.write() as session:
        session.connection().exec_driver_sql(UNDO_FIRST)
    yield database
    with database.write() as session:
        session.connection().exec_driver_sql("DROP FUNCTION undo_first() CASCADE; DROP SEQUENCE writes")


def undone_once(database: Database, work: Callable[[], Result]) -> Result:
    """What `work` returns, though its first transaction that writes is undone."""
    with database.write() as session:
        session.execute(text("ALTER SEQUENCE writes RESTART"))
    result = work()
    with database.read() as session:
        assert (session.scalar(text("SELECT last_value FROM writes")) or 0) > 1, "nothing was undone"
    return result


def test_use_cases_of_receiving(database: Database, clock: FakeClock) -> None:
    assert not undone_once(database, lambda: report(database, "t", clock())).duplicate
    assert len(events(database, "t")) == 1
    assert row(database, "t").generation == 1
    origin = RequestOrigin(clock(), None, {})
    with closing(Rejections(database, Uncounted(database))) as rejections:
        refused = RefusedRequest(origin, "POST", "/webhooks/proof", 400, "e", "c", "c", "m")
        undone_once(database, lambda: [rejections.note(refused), rejections.flush()])
    undone_once(database, lambda: beat(database, "clock", clock()))
    assert counts(database, Rejection, Heartbeat) == [1, 1]


def test_use_cases_of_reconciling(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    held = undone_once(database, lambda: claim(database, clock))
    undone_once(database, lambda: hand_back(database, [held]))
    assert row(database, "t").claim_token is None
    held = claim(database, clock)
    (applied,) = undone_once(database, lambda: answer(database, clock, held, confirmed(Status.PENDING, clock())))
    assert applied.status == "pending"
    assert [one.status for one in shown(database, "t").history] == ["pending"]
    assert len(attempts(database, "t")) == 1
    report(database, "lost", clock())
    claim(database, clock, "lost")
    clock.now += LEASE * 2
    assert undone_once(database, lambda: recover_lost_claims(database, clock())) == ["lost"]
    assert row(database, "lost").crashes == 1
    clock.now += DAY
    undone_once(database, lambda: note_overdue(database, clock(), DAY / 2))
    assert [one.kind for one in find_discrepancies(database, "t")] == ["status_mismatch", "pending_too_long"]
    undone_once(database, lambda: follow_clock(database, "boot", clock(), DAY))
    planned = row(database, "lost").next_attempt_at
    assert planned is not None
    assert undone_once(database, lambda: follow_clock(database, "boot", clock() + DAY, DAY)) == DAY
    assert row(database, "lost").next_attempt_at == planned + DAY
    assert counts(database, Boot) == [1]


def test_use_cases_of_redelivering(database: Database, clock: FakeClock) -> None:
    ids = []
    for id in ("a", "b", "c"):
        ids.append(report(database, id, clock()).event_id)
        answer(database, clock, claim(database, clock, id), NOT_FOUND)
    chosen = Selection(ids=tuple(ids))
    ordered = undone_once(database, lambda: order_replay(database, chosen, ANNA, "why", clock(), per_second=1))
    assert (ordered.matched, ordered.replayed) == (3, 3)
    assert ordered.replay_id is not None
    replay_id = ordered.replay_id
    clock.advance(2)
    assert undone_once(database, lambda: release(database, replay_id, clock())) == 1
    assert undone_once(database, lambda: cancel_replay(database, replay_id, ANNA, clock())) == 1
    assert undone_once(database, lambda: replay_from_rq(database, "c", ANNA, "why", clock()))
    assert [row(database, id).generation for id in ("a", "b", "c")] == [2, 2, 2]
    assert counts(database, AuditEntry) == [3]


def test_use_cases_of_access(database: Database, clock: FakeClock) -> None:
    undone_once(
        database, lambda: accounts.create_account(database, "ada", "a good password", Role.ADMIN, ANNA, clock())
    )
    undone_once(database, lambda: accounts.set_role(database, "ada", Role.FINANCE, ANNA, clock()))
    person = accounts.find_person_by_name(database, "ada")
    assert person is not None
    assert (person.role, person.session_version) == (Role.FINANCE, 2)
    lifetime = Lifetime(DAY, DAY)
    key = undone_once(database, lambda: log_in(database, person, Browser(None, "b"), clock(), lifetime))
    undone_once(database, lambda: log_out(database, key))
    token = undone_once(database, lambda: create_token(database, "t", Role.SERVICE, clock()))
    with closing(LastUse(database)) as last_use:
        assert find_caller(database, last_use, token, clock()) is not None
    assert counts(database, AuditEntry) == [4]


def test_use_cases_of_finance(database: Database, clock: FakeClock) -> None:
    make_known(database, "t")
    id = note(database, "t", "stale_answer")
    assert undone_once(database, lambda: acknowledge(database, id, "seen", ANNA, clock())).state == "acknowledged"
    assert undone_once(database, lambda: reopen(database, id, "again", ANNA, clock())).state == "open"
    assert counts(database, AuditEntry) == [2]


def counts(database: Database, *tables: type) -> list[int | None]:
    with database.read() as session:
        return [session.scalar(select(func.count()).select_from(table)) for table in tables]


def test_no_use_case_writes_without_being_run_again(engine: str) -> None:
    package = Path(__file__).parents[1] / "webhook_app" / "usecases"
    assert [path.name for path in package.rglob("*.py") if "database.write()" in path.read_text()] == []
