"""A reconciliation as it is shown: where it stands, and its last failure.

The state that is shown is not only the row's: while all calls to Proof are paused, open ones are `paused`; and where an
event waits unopened, the reconciliation is about to be opened or asked for again, so it is `pending`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, false, select
from sqlalchemy.orm import Session

from webhook_app.db.kept_statements import keep
from webhook_app.db.planner_hints import unindexed
from webhook_app.domain.failures import Failure
from webhook_app.models import Reconciliation, StoredGate
from webhook_app.models.failure import read_failure
from webhook_app.models.reconciliation import OPEN_STATES, State
from webhook_app.usecases.reconcile.unopened import first_unopened, is_not_waiting, is_waiting

#: Shown for an open reconciliation while all calls to Proof are paused.
PAUSED = "paused"


@dataclass(frozen=True)
class ErrorReport(Failure):
    """The last failure, and when its call ended."""

    at: datetime | None = None


@dataclass(frozen=True)
class ReconciliationReport:
    state: str
    attempts: int
    next_attempt_at: datetime | None
    reconciled_at: datetime | None
    last_error: ErrorReport | None


@dataclass(frozen=True)
class Surroundings:
    """What the states that are shown depend on besides the rows of the reconciliations."""

    is_paused: bool = False
    """Whether all calls to Proof are."""
    first_unopened: int | None = None
    """The lowest id of an unopened event; None where there is none."""


_GATE: Any = StoredGate.__table__.c
#: One statement, made once: it goes with every report.
_SURROUNDINGS = keep(select(_GATE.paused_at.is_not(None), first_unopened()).where(_GATE.id == 1))


def read_surroundings(session: Session) -> Surroundings:
    (found,) = _SURROUNDINGS.rows(session)
    return Surroundings(*found)


def report_reconciliation(
    row: Reconciliation | Row[Any] | None, *, is_paused: bool, waits_since: datetime | None = None
) -> ReconciliationReport:
    """`row` is the object, or has its columns by their names. `waits_since` is when the first unopened event of its
    transaction was received, None where there is none. Where only such events have named the transaction, there is no
    row: it is about to be opened."""
    waits = waits_since is not None
    if row is None:
        return ReconciliationReport(shown_state(State.PENDING, is_paused, waits), 0, waits_since, None, None)
    failure = read_failure(row.last_http_status, row.last_error, row.last_code, row.last_message, row.last_request_id)
    next_attempt_at = row.next_attempt_at
    if waits_since is not None and row.state != State.RETRYING:
        next_attempt_at = min(next_attempt_at or waits_since, waits_since)
    return ReconciliationReport(
        state=shown_state(State(row.state), is_paused, waits),
        attempts=row.attempts,
        next_attempt_at=next_attempt_at,
        reconciled_at=row.reconciled_at,
        last_error=ErrorReport(**vars(failure), at=row.last_failed_at) if failure else None,
    )


def shown_state(state: State, is_paused: bool, waits: bool) -> str:
    """What is shown of a reconciliation in that state, whose transaction has unopened events where `waits`. One that
    backs off goes on doing so when it is asked for again."""
    shown = State.PENDING if waits and state is not State.RETRYING else state
    return PAUSED if is_paused and shown in OPEN_STATES else shown


def shown_in(
    states: Collection[str], surroundings: Surroundings, *, is_walk: bool = False
) -> Sequence[ColumnElement[bool]]:
    """Conditions on a reconciliation: exactly one holds where the state that is shown is one of `states`, else none.

    There is more than one only while events wait unopened; then each has an index of its own. `is_walk` is for a walk
    along all reconciliations.
    """
    stored = [state for state in State if shown_state(state, surroundings.is_paused, False) in states]
    if surroundings.first_unopened is None:
        return _stored_in(stored, is_walk) or [false()]
    waiting = [state for state in State if shown_state(state, surroundings.is_paused, True) in states]
    conditions = _stored_in([state for state in stored if state in waiting], is_walk)
    only_without = _stored_in([state for state in stored if state not in waiting], is_walk)
    conditions += [and_(condition, is_not_waiting()) for condition in only_without]
    only_with = [state for state in waiting if state not in stored]
    if only_with:  # nearly all reconciliations are in these states
        conditions.append(and_(unindexed(Reconciliation.state).in_(only_with), is_waiting(is_walk=is_walk)))
    return conditions or [false()]


def _stored_in(states: Sequence[State], is_walk: bool) -> list[ColumnElement[bool]]:
    if not states:
        return []
    if len(states) == 1:  # in the order of the index, too
        return [Reconciliation.state == states[0]]
    return [(unindexed(Reconciliation.state) if is_walk else Reconciliation.state).in_(states)]
