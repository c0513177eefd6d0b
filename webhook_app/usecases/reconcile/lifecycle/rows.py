"""The rows of reconciliations and attempts: locked and written in sets, a constant number of statements for any number.

Nothing else writes these two tables; a test reads the source to hold it. Rows are locked in the order of their ids, so
that no two transactions wait for each other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Executable,
    Select,
    bindparam,
    case,
    func,
    insert,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.orm import Session

from webhook_app.db.planner_hints import unweighed
from webhook_app.db.row_sets import RowSet, for_each_dialect, row_set
from webhook_app.db.timestamps import shifted
from webhook_app.db.upsert import insert_into
from webhook_app.domain.retry_policy import MOST_BROUGHT_FORWARD, MOST_SHARED_CRASHES, WAITS_AS_PROOF_SAYS
from webhook_app.models import Attempt, Reconciliation
from webhook_app.models.failure import failure_columns, read_failure
from webhook_app.models.reconciliation import IS_UNGATHERED, AskedBy, State
from webhook_app.usecases.reconcile.lifecycle.changes import Change, Charge, Life
from webhook_app.usecases.reconcile.lifecycle.transitions import CLAIMED, HANDED_BACK, TransitionRefused

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
#: What a claim has to know.
_CLAIMED = (*("id", "merchant_transaction_id", "generation", "state", "asked_by", "last_code", "spent_attempts"),)
_ATTEMPT = tuple(column.key for column in _ATTEMPTS.c if column.key != "id")
#: What every other writer changes at least one of: a row in which these are as they were has not been changed.
_GUARDS = ("state", "generation", "claim_token")

_TYPES = {column.key: column.type for column in _TABLE.c}
_IDS = RowSet("ids", {"id": _TYPES["id"]})
_NAMES = RowSet("names", {"name": _TYPES["merchant_transaction_id"]})
_SLOTS = RowSet("slots", {"id": _TYPES["id"], "slot_until": _TYPES["slot_until"]})
_NEW = RowSet(
    "new", {name: _TYPES[name] for name in ("id", *_WRITTEN)} | {f"{name}_before": _TYPES[name] for name in _GUARDS}
)
_MADE = RowSet("made", {name: _ATTEMPTS.c[name].type for name in _ATTEMPT})


def ask_for_reconciliations(
    session: Session,
    asked_at: Mapping[str, datetime],
    unvouched: Collection[str] = (),
    *,
    by: AskedBy = AskedBy.EVENT,
    skip_locked: bool = False,
) -> Mapping[str, int]:
    """Opens the reconciliation of each transaction, or asks for it again. No event is needed. `asked_at` gives, by
    `merchant_transaction_id`, when it was asked for, which is when it is due. For those in `unvouched` nobody vouches
    but those who ask: unless it is known otherwise, it is a stranger. The others are asked for `by` those.

    Returns the generation of each that was asked for: all, or, where `skip_locked`, those that nobody else has locked.
    One that is being fetched right now sees the new generation when the answer is applied, and is fetched again.
    """
    if skip_locked:
        held = _find_locked(session, list(asked_at))
        asked_at = {name: at for name, at in asked_at.items() if name not in held}
    else:
        _lock_in_order(session, _TABLE.c.merchant_transaction_id.in_(list(asked_at)))
    if not asked_at:
        return {}
    wanted = row_set(
        session,
        "wanted",
        {
            "merchant_transaction_id": _TABLE.c.merchant_transaction_id.type,
            "at": _TABLE.c.created_at.type,
            "asked_by": _TABLE.c.asked_by.type,
        },
        [(name, at, (AskedBy.STRANGER if name in unvouched else by).value) for name, at in asked_at.items()],
    ).c
    opened = {
        "merchant_transaction_id": wanted.merchant_transaction_id,
        "state": literal(State.PENDING.value),
        "generation": literal(1),
        "created_at": wanted.at,
        "next_attempt_at": wanted.at,
        "asked_by": wanted.asked_by,
        "uncounted": literal(0),
        **{name: literal(0) for name in ("crashes", "attempts", "spent_attempts", "single_retries")},
        "paused_seconds_then": literal(0.0),
    }
    statement = insert_into(session, _TABLE).from_select(
        list(opened),
        # In one order, so that two transactions that open the same ones do not wait for each other. SQLite takes
        # ON CONFLICT for a join's ON without a WHERE before it.
        select(*opened.values()).where(true()).order_by(wanted.merchant_transaction_id),
        include_defaults=False,
    )
    wanted_at = statement.excluded.next_attempt_at
    backs_off = _TABLE.c.state == State.RETRYING
    gave_up = _TABLE.c.state == State.FAILED
    took_workers_down = gave_up & (_TABLE.c.crashes > 0)  # it stays in the slow lane, where it harms no other
    keeps_time = or_(
        _TABLE.c.last_http_status.in_(WAITS_AS_PROOF_SAYS),
        _TABLE.c.generation - _TABLE.c.settled_generation >= MOST_BROUGHT_FORWARD,
        _TABLE.c.next_attempt_at <= wanted_at,
    )
    asked = session.execute(
        statement.on_conflict_do_update(
            index_elements=[_TABLE.c.merchant_transaction_id],
            set_={
                "generation": _TABLE.c.generation + 1,
                "state": case((backs_off | took_workers_down, State.RETRYING.value), else_=State.PENDING.value),
                "next_attempt_at": case((backs_off & keeps_time, _TABLE.c.next_attempt_at), else_=wanted_at),
                "asked_by": case(
                    (_TABLE.c.reconciled_at.is_not(None), AskedBy.EVENT.value),
                    (statement.excluded.asked_by == AskedBy.STRANGER.value, _TABLE.c.asked_by),
                    else_=statement.excluded.asked_by,
                ),
                "uncounted": case((backs_off, _TABLE.c.uncounted), else_=0),
                "spent_attempts": case((backs_off, _TABLE.c.spent_attempts), else_=0),
                "single_retries": case((backs_off, _TABLE.c.single_retries), else_=0),
                "first_failed_at": case((backs_off, _TABLE.c.first_failed_at), else_=None),
                "crashes": case(
                    (gave_up & (_TABLE.c.crashes > MOST_SHARED_CRASHES), MOST_SHARED_CRASHES), else_=_TABLE.c.crashes
                ),
            },
        ).returning(_TABLE.c.merchant_transaction_id, _TABLE.c.generation)
    )
    return {row.merchant_transaction_id: row.generation for row in asked}


def begin_claims(
    session: Session, slot_until: Mapping[int, datetime], token: str, lease_until: datetime
) -> Sequence[Any]:
    """Claims those that may be, each given by its id with the time when its call is over at the latest; the caller
    holds them locked. Of each what a claim has to know."""
    return session.execute(
        _begin_claims(session),
        _SLOTS.given(session, list(slot_until.items())) | {"token": token, "lease": lease_until},
    ).all()


@for_each_dialect
def _begin_claims(dialect: str) -> Executable:
    slots = _SLOTS.table(dialect)
    return (
        update(_TABLE)
        .where(
            _TABLE.c.id == slots.c.id,
            unweighed(_TABLE.c.claim_token.is_(None), _TABLE.c.state.in_(CLAIMED.leads_to)),
        )
        .values(
            claim_token=bindparam("token", type_=_TYPES["claim_token"]),
            lease_until=bindparam("lease", type_=_TYPES["lease_until"]),
            slot_until=slots.c.slot_until,
        )
        .returning(*(_TABLE.c[name] for name in _CLAIMED))
    )


def end_claims(session: Session, held: Iterable[tuple[int, str]]) -> None:
    """Ends these claims, each an id and its token; one that is held no longer is left alone."""
    tokens = dict(held)
    _lock_in_order(session, _TABLE.c.id.in_(list(tokens)))
    given = row_set(
        session, "given", {"id": _TABLE.c.id.type, "token": _TABLE.c.claim_token.type}, list(tokens.items())
    )
    session.execute(
        update(_TABLE)
        .where(
            _TABLE.c.id == given.c.id,
            unweighed(_TABLE.c.claim_token == given.c.token, _TABLE.c.state.in_(HANDED_BACK.leads_to)),
        )
        .values(claim_token=None, lease_until=None)
    )


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
    locked = select(*_LIFE).where(_TABLE.c.id.in_(select(_IDS.table(dialect).c.id))).order_by(_TABLE.c.id)
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
            _TABLE.c.id == new.c.id,
            *(_TABLE.c[name].is_not_distinct_from(new.c[f"{name}_before"]) for name in _GUARDS),
        )
        .values({name: new.c[name] for name in _WRITTEN})
    )


@for_each_dialect
def _insert_attempts(dialect: str) -> Executable:
    made = _MADE.table(dialect)
    return insert(_ATTEMPTS).from_select(list(_ATTEMPT), select(*made.c), include_defaults=False)


def note_events_behind(session: Session, names: Sequence[str], *, are_behind: bool) -> None:
    """Notes of these transactions, which the caller holds locked, whether events of theirs are behind."""
    named = _TABLE.c.merchant_transaction_id.in_(names)
    session.execute(
        update(_TABLE).where(named, _TABLE.c.has_events_behind != are_behind).values(has_events_behind=are_behind)
    )


@dataclass(frozen=True)
class UnknownId:
    merchant_transaction_id: str
    failed_at: datetime | None


def mark_unknown(session: Session, ids: Sequence[int]) -> None:
    """Notes of these reconciliations, which the caller holds locked, that they are about ids to be gathered; one that
    is gathered stays so."""
    if ids:
        session.execute(
            update(_TABLE).where(_TABLE.c.id.in_(ids), _TABLE.c.is_gathered.is_(None)).values(is_gathered=False)
        )


def take_ungathered(session: Session, limit: int) -> Sequence[UnknownId]:
    """The ids that are marked and not gathered yet, in the order of their reconciliations, without those that somebody
    has locked; now they are gathered."""
    rows = session.execute(
        select(_TABLE.c.id, _TABLE.c.merchant_transaction_id, _TABLE.c.last_failed_at)
        .where(IS_UNGATHERED)
        .order_by(_TABLE.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    if rows:
        session.execute(update(_TABLE).where(_TABLE.c.id.in_([row.id for row in rows])).values(is_gathered=True))
    return [UnknownId(row.merchant_transaction_id, row.last_failed_at) for row in rows]


def move_plans(session: Session, jump: timedelta) -> None:
    """The wall clock was set: whatever is planned or leased keeps its distance from now. What is done has no plan."""
    has_plan = _TABLE.c.next_attempt_at.is_not(None)
    _lock_in_order(session, has_plan)
    planned = (_TABLE.c.next_attempt_at, _TABLE.c.lease_until, _TABLE.c.slot_until, _TABLE.c.first_failed_at)
    session.execute(
        update(_TABLE).where(has_plan).values({column: shifted(session, column, jump) for column in planned})
    )


def _lock_in_order(session: Session, condition: ColumnElement[bool]) -> None:
    """An UPDATE of many rows locks them in any order; on SQLite a transaction that writes has the whole database."""
    if session.get_bind().dialect.name == "sqlite":
        return
    rows = select(_TABLE.c.id).where(condition).order_by(_TABLE.c.id).with_for_update().subquery()
    session.execute(select(func.count()).select_from(rows))


def _find_locked(session: Session, names: Sequence[str]) -> set[str]:
    """Those of these transactions whose reconciliation somebody else has locked; all others are locked now."""
    if session.get_bind().dialect.name == "sqlite":
        return set()
    given = _NAMES.given(session, [(name,) for name in names])
    known, locked = (session.scalars(statement, given).all() for statement in _known(session))
    return set(known).difference(locked)


@for_each_dialect
def _known(dialect: str) -> tuple[Select[Any], Select[Any]]:
    """Those of the names that are there; and the same, locked."""
    named = _TABLE.c.merchant_transaction_id.in_(select(_NAMES.table(dialect).c.name))
    known = select(_TABLE.c.merchant_transaction_id).where(named)
    return known, known.order_by(_TABLE.c.id).with_for_update(of=_TABLE, skip_locked=True)


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
