"""The life of a reconciliation: what may follow what, in sets of any size, and nobody else writes its columns."""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, select

from tests.support.answers import LEASE, NOT_FOUND, POLICY, UNAVAILABLE, answer, claim, confirmed
from tests.support.clock import START, FakeClock
from tests.support.example_rows import RECONCILIATION
from tests.support.interleave import counted_statements
from tests.support.work import attempts, report, row, rows, shown
from webhook_app.db.database import Database
from webhook_app.domain.status import Status
from webhook_app.models import Attempt, Reconciliation
from webhook_app.models.reconciliation import State
from webhook_app.usecases.reconcile.apply import apply_calls
from webhook_app.usecases.reconcile.claim import claim_due, hand_back
from webhook_app.usecases.reconcile.decisions import FinishedCall
from webhook_app.usecases.reconcile.lifecycle import changes, transitions
from webhook_app.usecases.reconcile.lifecycle.asking import ask_for_reconciliations
from webhook_app.usecases.reconcile.lifecycle.changes import Change, Charge, Life, MadeAttempt
from webhook_app.usecases.reconcile.lifecycle.claims import begin_claims, end_claims
from webhook_app.usecases.reconcile.lifecycle.rows import lock, write_changes
from webhook_app.usecases.reconcile.lifecycle.transitions import TRANSITIONS, ClaimRule, Transition, TransitionRefused
from webhook_app.usecases.reconcile.sweep import recover_lost_claims
from webhook_app.usecases.reconcile.work_classes import OVERDUE

ROOT = Path(__file__).parents[2]
LATER = START + timedelta(minutes=5)
FAILED_CALL = MadeAttempt(START, START, "why", failure=UNAVAILABLE)

#: Each transition that is decided in Python, with all that it may lead to.
DECIDED: dict[Transition, list[Callable[[Life], Change]]] = {
    transitions.CONFIRMED: [
        lambda life: changes.confirm(life, MadeAttempt(START, START, "why"), State.SUCCEEDED, None, START, 3),
        lambda life: changes.confirm(life, MadeAttempt(START, START, "why"), State.WATCHING, LATER, START, 3),
        lambda life: changes.confirm(life, MadeAttempt(START, START, "why"), State.PENDING, LATER, START, 3),
    ],
    transitions.RETRIED: [lambda life: changes.retry(life, FAILED_CALL, Charge(1, 0, START), LATER)],
    transitions.DEFERRED: [lambda life: changes.defer(life, FAILED_CALL, LATER, 1)],
    transitions.BROUGHT_FORWARD: [lambda life: changes.bring_forward(life, LATER)],
    transitions.STARTED_OVER: [lambda life: changes.start_over(life, FAILED_CALL, LATER)],
    transitions.GIVEN_UP: [lambda life: changes.give_up(life, FAILED_CALL, Charge(1, 0, START))],
    transitions.TAKEN_BACK: [
        lambda life: changes.take_back(life, FAILED_CALL, 1, LATER),
        lambda life: changes.take_back(life, FAILED_CALL, 5, None),
    ],
    transitions.ASKED_BY_COPY: [lambda life: changes.ask_by_copy(life, life.charge, LATER)],
    transitions.REPLAYED: [
        lambda life: changes.replay(life, LATER, alone=False),
        lambda life: changes.replay(life, LATER, alone=True),
    ],
}


def stands(state: State, *, is_claimed: bool) -> Life:
    return Life(
        id=1,
        merchant_transaction_id="t",
        state=state,
        generation=3,
        settled_generation=2,
        next_attempt_at=None if state is State.FAILED else START,
        reconciled_at=START,
        asked_by="event",
        claim_token="held" if is_claimed else None,
        lease_until=LATER if is_claimed else None,
        crashes=1,
        attempts=7,
        charge=Charge(4, 1, START, 0.5),
        last_failure=NOT_FOUND,
        last_failed_at=START,
    )


def put(database: Database, state: State, name: str, **changes: object) -> int:
    values = {"merchant_transaction_id": name, "state": state}
    due = {"next_attempt_at": None if state is State.FAILED else START}
    with database.write() as session:
        inserted = session.execute(
            insert(Reconciliation).values(RECONCILIATION | values | due | changes).returning(Reconciliation.id)
        )
        return int(inserted.scalar_one())


# The table of transitions


@pytest.mark.parametrize("transition", DECIDED, ids=lambda transition: transition.name)
def test_change_leads_where_the_table_says_and_is_refused_elsewhere(transition: Transition) -> None:
    for state in State:
        reached = set()
        for change in DECIDED[transition]:
            needs_claim = transition.claim is ClaimRule.ENDS
            try:
                after = change(stands(state, is_claimed=needs_claim)).after
            except TransitionRefused:
                assert not transition.may_follow(state)
                continue
            reached.add(after.state)
            assert (after.claim_token, after.lease_until) == (None, None)
            if needs_claim:
                with pytest.raises(TransitionRefused):
                    change(stands(state, is_claimed=False))
            else:
                kept = change(stands(state, is_claimed=True)).after
                assert (kept.claim_token, kept.lease_until) == ("held", LATER)
        assert reached == set(transition.leads_to.get(state, ())), state


def test_change_touches_nothing_that_is_not_its_own() -> None:
    before = stands(State.RETRYING, is_claimed=True)
    taken_back = changes.take_back(before, FAILED_CALL, 2, LATER).after
    same = ("id", "merchant_transaction_id", "generation", "settled_generation", "reconciled_at", "attempts", "charge")
    assert all(getattr(taken_back, name) == getattr(before, name) for name in same)
    given_up = changes.give_up(before, FAILED_CALL, Charge(5, 1, START)).after
    assert (given_up.attempts, given_up.crashes, given_up.generation) == (8, 0, 3)
    assert (given_up.last_failure, given_up.next_attempt_at) == (UNAVAILABLE, None)
    confirmed_ = changes.confirm(before, MadeAttempt(START, START, "why"), State.WATCHING, LATER, LATER, 3).after
    assert (confirmed_.last_failure, confirmed_.last_failed_at, confirmed_.charge) == (
        None,
        None,
        Charge(0, 0, None, 0.5),
    )


def test_claims_begin_and_end_where_the_table_says(database: Database) -> None:
    free = {state: put(database, state, f"free {state}") for state in State}
    lease = {"claim_token": "other", "lease_until": LATER}
    held = [put(database, state, f"held {state}", **lease) for state in transitions.CLAIMABLE]
    with database.write() as session:
        begun = begin_claims(session, dict.fromkeys([*free.values(), *held], LATER), "mine", LATER)
    claimed = {state for state in State if transitions.CLAIMED.may_follow(state)}
    assert {one.id for one in begun} == {free[state] for state in claimed}
    assert {State(one.state) for one in rows(database) if one.claim_token == "mine"} == claimed
    with database.write() as session:
        end_claims(session, [(one, "mine") for one in (*free.values(), *held)])
    after = {one.id: one for one in rows(database)}
    assert {after[one].claim_token for one in held} == {"other"}, "a claim of somebody else's"
    assert {after[one].claim_token for one in free.values()} == {None}
    assert {state: after[one].state for state, one in free.items()} == {state: state for state in State}


@pytest.mark.parametrize("crashes", [0, 2])
def test_request_leads_where_the_table_says(database: Database, crashes: int) -> None:
    for state in State:
        put(database, state, state, crashes=crashes)
    with database.write() as session:
        ask_for_reconciliations(session, {"new": LATER, **{str(state): LATER for state in State}})
    for state in State:
        assert row(database, state).state in transitions.ASKED_AGAIN.leads_to[state], state
        assert row(database, state).generation == 2
    assert row(database, "new").state in transitions.OPENED.leads_to[None]
    assert row(database, State.FAILED).state == (State.RETRYING if crashes else State.PENDING)


def test_every_state_can_be_left_and_reached() -> None:
    steps = [(before, after) for one in TRANSITIONS for before, leads_to in one.leads_to.items() for after in leads_to]
    for state in State:
        assert any(before == state != after for before, after in steps), f"{state} is never left"
        assert any(before != state == after for before, after in steps), f"{state} is never reached"


def table_rows() -> Iterator[str]:
    yield "| what happens | no row | " + " | ".join(f"`{state}`" for state in State) + " | claim | meaning |"
    for one in TRANSITIONS:
        cells = [", ".join(f"`{state}`" for state in one.leads_to.get(before, ())) or "—" for before in (None, *State)]
        yield f"| **{one.name}** | {' | '.join(cells)} | {one.claim} | {one.meaning} |"


def test_state_machine_page_shows_the_table_of_transitions() -> None:
    page = (ROOT / "docs" / "state-machine.md").read_text().splitlines()
    shown_rows = [line for line in page if line.startswith("| ") and not line.startswith("| rule")]
    assert shown_rows == list(table_rows())


# Sets


def test_change_that_somebody_else_was_faster_with_is_refused(database: Database) -> None:
    put(database, State.FAILED, "t")
    put(database, State.FAILED, "u")

    def replay_late() -> None:
        with database.write() as session:
            late = [changes.replay(life, LATER, alone=True) for life in lock(session)]
            ask_for_reconciliations(session, {"t": LATER})
            write_changes(session, late)

    with pytest.raises(TransitionRefused, match="1 of 2"):
        replay_late()
    assert {one.state for one in rows(database)} == {"failed"}, "nothing was written"


def test_changes_are_written_as_they_were_decided(database: Database) -> None:
    lease = {"claim_token": "mine", "lease_until": LATER}
    for number, state in enumerate(transitions.CLAIMABLE):
        put(database, state, f"t{number}", attempts=number, **lease)
    odd = replace(UNAVAILABLE, message='it\'s "odd"\\ 日本語 🙂', request_id=None)
    with database.write() as session:
        decided = [
            changes.retry(life, replace(FAILED_CALL, failure=odd, counted=True), Charge(3, 1, START, 1.25), LATER)
            for life in lock(session)
        ]
        write_changes(session, decided)
    with database.write() as session:
        assert lock(session) == [change.after for change in decided]
        stored = session.scalars(select(Attempt).order_by(Attempt.reconciliation_id)).all()
    assert [one.failure for one in stored] == [odd] * 4
    assert {(one.decision, one.counted, one.next_attempt_at) for one in stored} == {("why", True, LATER)}


def test_any_number_takes_as_many_statements_as_one(database: Database, clock: FakeClock) -> None:
    assert statements_of_a_life(database, clock, ["one"]) == statements_of_a_life(
        database, clock, [f"t{number}" for number in range(30)]
    )


def statements_of_a_life(database: Database, clock: FakeClock, names: list[str]) -> dict[str, int]:
    """How many statements each step takes for all of `names` together."""
    policy = replace(POLICY, limits=replace(POLICY.limits, pause_after=1000))
    for name in names:
        report(database, name, clock())
    taken = {}
    with counted_statements(database) as statements:
        claims = claim_due(database, 1000, clock(), LEASE, policy.limits)
    taken["claimed"] = len(statements)
    with counted_statements(database) as statements:
        hand_back(database, claims)
    taken["handed back"] = len(statements)
    claims = claim_due(database, 1000, clock(), LEASE, policy.limits)
    with counted_statements(database) as statements, database.write() as session:
        ask_for_reconciliations(session, dict.fromkeys(names, clock()))
    taken["reopened"] = len(statements)
    clock.advance(LEASE.total_seconds() + 1)
    with counted_statements(database) as statements:
        assert len(recover_lost_claims(database, clock())) == len(names)
    taken["taken back"] = len(statements)
    clock.advance(OVERDUE.total_seconds())
    claims = claim_due(database, 1000, clock(), LEASE, policy.limits)
    calls = [FinishedCall(claim, clock(), clock(), UNAVAILABLE) for claim in claims]
    with counted_statements(database) as statements:
        assert len(apply_calls(database, calls, clock(), policy, random.Random(1))) == len(names)
    taken["retried"] = len(statements)
    with counted_statements(database) as statements, database.write() as session:
        write_changes(session, [changes.replay(life, clock(), alone=True) for life in lock(session)])
    taken["replayed"] = len(statements)
    with database.write() as session:
        session.execute(delete(Reconciliation))
    return taken


# A request without an event


def test_transaction_can_be_asked_for_without_any_event(database: Database, clock: FakeClock) -> None:
    with database.write() as session:
        ask_for_reconciliations(session, {"watched": clock(), "unknown": clock()})
    answer(database, clock, claim(database, clock, "watched"), confirmed(Status.COMPLETED, clock(), id="watched"))
    answer(database, clock, claim(database, clock, "unknown"), NOT_FOUND)
    assert (shown(database, "watched").status, row(database, "watched").state) == ("completed", "succeeded")
    assert [one.kind for one in shown(database, "unknown").discrepancies] == ["unknown_to_proof"]
    assert [one.decision for one in attempts(database, "watched")] == ["confirmed, terminal"]


# One owner

_OWNER = "webhook_app/usecases/reconcile/lifecycle/"
_TABLES = {"Reconciliation", "Attempt"}
_COLUMNS = {column.key for column in Reconciliation.__table__.columns} - {"id", "merchant_transaction_id", "created_at"}
_STATEMENTS = {"insert", "update", "delete", "insert_into", "insert_on"}
_RAW = re.compile(r"\b(INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+(reconciliations|attempts)\b", re.IGNORECASE)


def writes(source: str) -> list[int]:
    """The lines that write a reconciliation or an attempt: a statement, a new object, an assignment, a text of SQL.

    A statement on a table that is handed in counts too, in a module that knows one of these two.
    """
    tree = ast.parse(source)
    knows = any(isinstance(node, ast.Name) and node.id in _TABLES for node in ast.walk(tree))
    aliases = {
        getattr(target, "id", ""): node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    }

    def class_of(table: ast.expr) -> str:
        if isinstance(table, ast.Name) and table.id in aliases:
            return class_of(aliases[table.id])
        if isinstance(table, ast.Attribute) and table.attr == "__table__":
            return class_of(table.value)
        return table.id if isinstance(table, ast.Name) and table.id[0].isupper() else ""

    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            table = (
                class_of(node.args[name in ("insert_into", "insert_on")]) if name in _STATEMENTS and node.args else name
            )
            if table in _TABLES or (knows and name in _STATEMENTS and not table):
                lines.append(node.lineno)
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            places = [one for target in targets for one in ast.walk(target) if isinstance(one, ast.Attribute)]
            places = [one for one in places if isinstance(one.ctx, ast.Store) and ast.unparse(one.value) != "self"]
            if any(one.attr in _COLUMNS for one in places):
                lines.append(node.lineno)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _RAW.search(node.value):
            lines.append(node.lineno)
    return lines


def test_nobody_else_writes_reconciliations_or_attempts() -> None:
    files = [*(ROOT / "webhook_app").rglob("*.py"), *(ROOT / "workers").rglob("*.py")]
    found = {
        str(file.relative_to(ROOT)): lines
        for file in files
        # The sandbox is Proof's stand-in: it has a database of its own, in memory, with states of its own.
        if "sandbox" not in file.parts and (lines := writes(file.read_text()))
    }
    writers = {f"{_OWNER}{name}.py" for name in ("asking", "claims", "marks", "moving", "rows")}
    assert {name for name in found if name.startswith(_OWNER)} == writers
    assert {name: lines for name, lines in found.items() if not name.startswith(_OWNER)} == {}


@pytest.mark.parametrize(
    "source",
    [
        "session.execute(update(Reconciliation).values(state='failed'))",
        "session.execute(sqlalchemy.delete(Attempt))",
        "session.execute(insert_into(session, Reconciliation.__table__).values(values))",
        "session.execute(insert_on(dialect, Reconciliation.__table__).values(values))",
        "session.execute(insert(Attempt), [values])",
        "session.add(Reconciliation(state='pending'))",
        "row.next_attempt_at = now",
        "row.state, row.crashes = state, 0",
        "row.attempts += 1",
        "session.execute(text('update reconciliations set state = 1'))",
        "for table in (Event, Reconciliation): session.execute(update(table).values(values))",
        "table: Any = Attempt.__table__; session.execute(insert(table))",
    ],
)
def test_each_way_to_write_is_noticed(source: str) -> None:
    assert writes(source) == [1]
