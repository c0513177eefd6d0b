"""The rows of reconciliations and attempts: locked and written in sets, a constant number of statements for any number.

`asking.py`, `claims.py`, `marks.py` and `moving.py` beside it write what is no change of a whole row. Nothing else
writes these two tables; a test reads the source to hold it. Rows are locked in the order of their ids, so that no two
transactions wait for each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Executable,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.orm import Session

from webhook_app.db.planner_hints import one_by_one
from webhook_app.db.row_sets import RowSet, for_each_dialect
from webhook_app.models import Attempt, Reconciliation
from webhook_app.models.failure import failure_columns, read_failure
from webhook_app.models.reconciliation import State
from webhook_app.usecases.reconcile.lifecycle.changes import Change, Charge, Life
from webhook_app.usecases.reconcile.lifecycle.transitions import TransitionRefused

_TABLE: Any = Reconciliation.__table__
_ATTEMPTS: Any = Attempt.__table__

#: What a change may write. `id`, `merchant_transaction_id` and `created_at` never change.
_WRITTEN = (
    *("state", "generation", "settled_generation", "next_attempt_at", "reconciled_at", "asked_by", "claim_token"),
    *("lease_until", "crashes", "attempts", "spent_attempts", "single_retries", "first_failed_at"),
    *("paused_seconds_then", "uncounted"),
    *failure_columns(None, "last_"),
    "last_failed_at",
)
_written: Callable[[Mapping[str, Any]], tuple[Any, ...]] = itemgetter(*_WRITTEN)
_NO_FAILURE = failure_columns(None, "last_")
#: What is read of a row.
_LIFE = tuple(_TABLE.c[name] for name in ("id", "merchant_transaction_id", *_WRITTEN))
_ATTEMPT = tuple(column.key for column in _ATTEMPTS.c if column.key != "id")
#: What every other writer changes at least one of: a row in which these are as they were has not been changed.
_GUARDS = ("state", "generation", "claim_token")

_TYPES = {column.key: column.type for column in _TABLE.c}
_IDS = RowSet("ids", {"id": _TYPES["id"]})
_NEW = RowSet(
    "new", {name: _TYPES[name] for name in ("id", *_WRITTEN)} | {f"{name}_before": _TYPES[name] for name in _GUARDS}
)
_MADE = RowSet("made", {name: _ATTEMPTS.c[name].type for name in _ATTEMPT})


def lock(session: Session, *conditions: ColumnElement[bool], skip_locked: bool = False) -> list[Life]:
    """Those that match, in the order of their ids, locked until the transaction ends; without those that somebody else
    has locked, where `skip_locked`."""
    rows = session.execute(
        select(*_LIFE).where(*conditions).order_by(_TABLE.c.id).with_for_update(skip_locked=skip_locked)
    )
    return [_to_life(row) for row in rows]


def lock_ids(session: Session, ids: Sequence[int], *, skip_locked: bool = False) -> list[Life]:
    """The same for these ids."""
    rows = session.execute(_lock_ids(session)[skip_locked], _IDS.given(session, [(one,) for one in ids]))
    return [_to_life(row) for row in rows]


@for_each_dialect
def _lock_ids(dialect: str) -> Mapping[bool, Executable]:
    locked = select(*_LIFE).where(_IDS.holds(dialect, "id", _TABLE.c.id)).order_by(_TABLE.c.id)
    return {skips: locked.with_for_update(of=_TABLE, skip_locked=skips) for skips in (False, True)}


def write_changes(session: Session, changes: Sequence[Change]) -> None:
    """Writes what happened, with its attempts. The caller holds the rows locked.

    Raises TransitionRefused, and nothing is to be committed, where one no longer stands as it did before its change.
    """
    if not changes:
        return
    rows = [
        (change.before.id, *_values(change.after), *(getattr(change.before, name) for name in _GUARDS))
        for change in changes
    ]
    result: Any = session.execute(_write_changes(session), _NEW.given(session, rows))
    if result.rowcount != len(changes):
        raise TransitionRefused(f"{len(changes) - result.rowcount} of {len(changes)} were changed by somebody else")
    attempts = [_attempt(change) for change in changes if change.attempt is not None]
    if attempts:
        session.execute(_insert_attempts(session), _MADE.given(session, attempts))


@for_each_dialect
def _write_changes(dialect: str) -> Executable:
    new = _NEW.table(dialect)
    return (
        update(_TABLE)
        .where(
            _TABLE.c.id == one_by_one(new.c.id),
            *(_TABLE.c[name].is_not_distinct_from(new.c[f"{name}_before"]) for name in _GUARDS),
        )
        .values({name: new.c[name] for name in _WRITTEN})
    )


@for_each_dialect
def _insert_attempts(dialect: str) -> Executable:
    made = _MADE.table(dialect)
    return insert(_ATTEMPTS).from_select(list(_ATTEMPT), select(*made.c), include_defaults=False)


def lock_in_order(session: Session, condition: ColumnElement[bool]) -> None:
    """Locks these reconciliations. An UPDATE of many rows locks them in any order; on SQLite a transaction that writes
    has the whole database."""
    if session.get_bind().dialect.name == "sqlite":
        return
    rows = select(_TABLE.c.id).where(condition).order_by(_TABLE.c.id).with_for_update().subquery()
    session.execute(select(func.count()).select_from(rows))


def _to_life(row: Any) -> Life:
    return Life(
        id=row.id,
        merchant_transaction_id=row.merchant_transaction_id,
        state=State(row.state),
        generation=row.generation,
        settled_generation=row.settled_generation,
        next_attempt_at=row.next_attempt_at,
        reconciled_at=row.reconciled_at,
        asked_by=row.asked_by,
        claim_token=row.claim_token,
        lease_until=row.lease_until,
        crashes=row.crashes,
        attempts=row.attempts,
        charge=Charge(
            row.spent_attempts, row.single_retries, row.first_failed_at, row.paused_seconds_then, row.uncounted
        ),
        last_failure=read_failure(
            row.last_http_status, row.last_error, row.last_code, row.last_message, row.last_request_id
        ),
        last_failed_at=row.last_failed_at,
    )


def _values(life: Life) -> tuple[Any, ...]:
    last = _NO_FAILURE if life.last_failure is None else failure_columns(life.last_failure, "last_")
    return _written(vars(life) | vars(life.charge) | last)


def _attempt(change: Change) -> tuple[Any, ...]:
    attempt = change.attempt
    assert attempt is not None
    values = failure_columns(attempt.failure) | {
        "reconciliation_id": change.before.id,
        "started_at": attempt.started_at,
        "finished_at": attempt.finished_at,
        "status": attempt.status,
        "decision": attempt.decision,
        "counted": attempt.counted,
        "next_attempt_at": change.after.next_attempt_at,
        "answer_body": attempt.failure and attempt.failure.answer_body,
        "answer_headers": attempt.failure and attempt.failure.answer_headers,
    }
    if attempt.failure is None:
        values |= {"http_status": 200, "request_id": attempt.request_id}
    return tuple(values[name] for name in _ATTEMPT)
