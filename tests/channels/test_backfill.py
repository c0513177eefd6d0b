"""Backfill: a file of old ids is asked about once, behind everything else, however often its process dies."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from tests.support.class_rows import put
from tests.support.clock import FakeClock
from tests.support.plans import explained
from tests.support.rows import attempt, make_known
from tests.support.sandbox import Sandbox
from tests.support.work import attempts, report, row, shown, work_once
from webhook_app.cli import cli
from webhook_app.commands.interrupts import Interrupts
from webhook_app.db.database import Database
from webhook_app.domain.id_files import MOST_IN_LINE, BadLine, Form, FoundId, bounded_lines, check_ids, read_ids
from webhook_app.domain.shares import WorkClass
from webhook_app.domain.status import Status
from webhook_app.domain.timestamps import utc_now
from webhook_app.models import Discrepancy
from webhook_app.services import Services
from webhook_app.usecases.audit import Actor
from webhook_app.usecases.channels import backfill as backfills
from webhook_app.usecases.channels.backfill import begin, count_unknown, count_waiting, feed, finish, list_unknown
from webhook_app.usecases.channels.watching import watch_all
from webhook_app.usecases.incidents.detectors import failure_burst
from webhook_app.usecases.incidents.detectors.failure_burst import ENOUGH as BURST
from webhook_app.usecases.incidents.finding import Look, Surroundings
from webhook_app.usecases.monitor.overview import read_overview
from webhook_app.usecases.reconcile.claim import Room
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.usecases.reconcile.stored_gate import read_gate
from webhook_app.usecases.reconcile.sweep import find_failed
from webhook_app.usecases.reconcile.watches import Watch
from webhook_app.usecases.reconcile.work_classes import class_of
from webhook_app.usecases.refusals import Conflict

ADA = Actor("ada", "shell")


def test_file_is_read_whatever_its_form() -> None:
    text = b"\xef\xbb\xbfId\tWhen\r\na-1\t2026\r\n\r\n  \n" + b"x" * (3 * MOST_IN_LINE) + b"\nno id\t1\r\na-2"
    found = list(read_ids(bounded_lines(io.BytesIO(text))))
    assert [one for one in found if isinstance(one, FoundId)] == [FoundId(2, "a-1"), FoundId(7, "a-2")]
    assert [(one.number, one.why[:22]) for one in found if isinstance(one, BadLine)] == [
        (5, "longer than 65536 byte"),
        (6, "'no id' is no transact"),
    ]
    assert list(read_ids(bounded_lines(io.BytesIO(b"a\nb")), number=5, form=Form())) == [
        FoundId(6, "a"),
        FoundId(7, "b"),
    ]


@pytest.mark.parametrize(
    ("text", "ids", "said"),
    [
        (b"\r\n\r\nmerchant_transaction_id\r\na-1\r\n", ["a-1"], ""),
        (b"sep=;\r\nnote;Transaction ID\r\nx, y;a-1\r\n", ["a-1"], ""),
        (b"id,note\na-1,first; second\na-2,third\tfourth\n", ["a-1", "a-2"], ""),
        (b"id\na-1\nid\na-2", ["a-1", "a-2"], ""),
        ("id\na-1\n".encode("utf-16"), [], "save the file as UTF-8"),
        (b'note,id\n"said ""no"", then yes",a-1\n', ["a-1"], ""),
        (b"\xef\xbb\xbf", [], ""),
    ],
)
def test_odd_files_of_ids_lose_and_invent_none(text: bytes, ids: list[str], said: str) -> None:
    found = list(read_ids(bounded_lines(io.BytesIO(text))))
    assert [one.merchant_transaction_id for one in found if isinstance(one, FoundId)] == ids
    why = "".join(one.why for one in found if isinstance(one, BadLine))
    assert said in why if said else not why


def test_typed_ids_are_taken_whole() -> None:
    typed = list(check_ids(["a-1", "a-2,a-3", ""]))
    assert typed[0] == FoundId(1, "a-1")
    bad = [one.why[:12] for one in typed if isinstance(one, BadLine)]
    assert bad == ["'a-2,a-3' is", "'' is no tra"]


def test_each_id_is_asked_about_once_though_the_process_dies_and_the_unknown_are_reported(
    database: Database,
    reconciler: Reconciler,
    sandbox: Sandbox,
    clock: FakeClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backfills, "BATCH", 4)
    known = sandbox.control.create_many(5, status=Status.COMPLETED)
    report(database, known[0], clock())
    work_once(reconciler, clock())
    path = tmp_path / "old.txt"
    path.write_text("\n".join(["id", *known, known[1], "gone-1", "not an id!", "gone-2", ""]))
    with path.open("rb") as file:
        state, _ = feed(database, begin(database, path, ADA, "", clock()), file, clock())
        work_once(reconciler, clock())
        # Killed after its commit, it is begun again: it goes on there.
        state = begin(database, path, ADA, "", clock())
        assert (state.done_lines, state.new, state.known) == (5, 3, 1)
        stale = state
        bad = []
        while state.done_bytes < state.size:
            state, more = feed(database, state, file, clock())
            bad += more
        with pytest.raises(Conflict):
            feed(database, stale, file, clock())
    assert (state.done_lines, state.new, state.known, state.bad) == (10, 6, 2, 1)
    assert [line.number for line in bad] == [9]
    assert class_of("pending", row(database, "gone-1").asked_by, None) is WorkClass.BACKFILL
    assert count_waiting(database) == 3
    work_once(reconciler, clock())
    assert count_waiting(database) == 0
    finish(database, state, clock())
    assert [shown(database, one).status for one in known] == ["completed"] * 5
    assert [len(attempts(database, one)) for one in (*known, "gone-1", "gone-2")] == [1] * 7
    assert count_unknown(database, state) == 2
    assert [one.merchant_transaction_id for one in list_unknown(database, state)] == ["gone-1", "gone-2"]
    with database.read() as session:
        assert session.scalars(select(Discrepancy)).all() == []
    assert find_failed(database, 10) == []


def test_old_ids_that_proof_does_not_know_are_no_failures_of_their_own(
    database: Database, services: Services, clock: FakeClock
) -> None:
    old = {"asked_by": "backfill", "last_failed_at": clock(), "last_code": "x"}
    for number in range(2 * BURST):
        unknown = {"http_status": 404, "error": "not_found", "code": "x"}
        id = make_known(database, f"gone-{number}", "failed", last_http_status=404, last_error="not_found", **old)
        attempt(database, id, clock(), status=None, **unknown)
    make_known(database, "refused", "failed", last_http_status=400, last_error="invalid_request", **old)
    make_known(database, "hung", "failed", last_http_status=None, last_error="upstream_unavailable", **old)
    with explained(database) as queries:
        groups = read_overview(database, clock()).failed
    assert [(group.error, group.count) for group in groups] == [("invalid_request", 1), ("upstream_unavailable", 1)]
    [plan] = [one.plan for one in queries if "max(reconciliations.last_failed_at)" in one.statement]
    assert "ix_reconciliations_failures_to_see" in plan or not database.is_sqlite, "statistics decide on PostgreSQL"
    assert [one.merchant_transaction_id for one in find_failed(database, 10)] == ["hung", "refused"]
    with database.read() as session:
        around = Surroundings(services.spool.depth(), None, None, 0)
        assert list(failure_burst.find(Look(session, clock(), read_gate(session), around, clock()))) == []


def test_it_has_the_lowest_share_and_whoever_waits_for_one_of_it_takes_it_out(
    database: Database, reconciler: Reconciler, clock: FakeClock
) -> None:
    put(database, "old", 40, asked_by="backfill", due=600)
    put(database, "new", 40)
    claims = reconciler.claim_due(Room(threads=32, in_use={}))
    classes = [claim.work_class for claim in claims]
    assert (classes.count(WorkClass.FIRST_LOOK), classes.count(WorkClass.BACKFILL)) == (19, 1)
    watch_all(database, [Watch("old39")], "shop", clock())
    assert row(database, "old39").asked_by == "backfill", "an id that no file has named is no watch's to move"


@pytest.fixture
def run(services: Services, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setattr("webhook_app.commands.start.configure_logging", lambda *_: None)  # pytest has its own
    env = {"DATABASE_URL": services.settings.database_url, "WEBHOOK_APP_DATA_DIR": str(services.settings.data_dir)}
    return lambda *words: CliRunner().invoke(cli, ["backfill", *words], env=env)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # the same use cases as above
def test_shell_goes_on_and_writes_what_proof_does_not_know(
    run: Callable[..., Result],
    database: Database,
    reconciler: Reconciler,
    sandbox: Sandbox,
    clock: FakeClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (known,) = sandbox.control.create_many(1, status=Status.COMPLETED)
    path, unknown = tmp_path / "old.csv", tmp_path / "unknown.csv"
    path.write_text(f"merchant_transaction_id,amount\n{known},1\ngone-1,2\n,3\n")
    # A worker works meanwhile.
    clock.now = utc_now() + timedelta(hours=1)  # the command has no other clock than the wall's
    monkeypatch.setattr(Interrupts, "wait", lambda *_: work_once(reconciler, clock()))
    done = run(str(path), "--unknown", str(unknown))
    assert done.exit_code == 1, done.output
    assert "4 lines: 2 watched from now on, 0 known before, 1 could not be used; Proof does not know 1" in done.stdout
    assert "line 4: column 1 is empty" in done.stderr
    lines = unknown.read_text().splitlines()
    assert lines[0] == "merchant_transaction_id,request_id,asked_at"
    assert lines[1].startswith("gone-1,")
    again = run(str(path))
    assert again.stdout.startswith("Goes on after line 4 of old.csv")
    assert len(attempts(database, "gone-1")) == 1
    assert run(str(tmp_path / "none.csv")).exit_code == 2
