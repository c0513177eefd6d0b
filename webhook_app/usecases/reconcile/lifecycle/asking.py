"""Asking: the reconciliation of a transaction is opened, or asked for again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Executable, Select, case, literal, or_, select, true
from sqlalchemy.orm import Session

from webhook_app.db.planner_hints import sorted_afterwards
from webhook_app.db.row_sets import RowSet, for_each_dialect
from webhook_app.db.upsert import insert_on
from webhook_app.domain.retry_policy import MOST_BROUGHT_FORWARD, MOST_SHARED_CRASHES, WAITS_AS_PROOF_SAYS
from webhook_app.models import Reconciliation
from webhook_app.models.reconciliation import AskedBy, State
from webhook_app.usecases.reconcile.lifecycle.rows import lock_in_order

_TABLE: Any = Reconciliation.__table__
_NAMES = RowSet("names", {"name": _TABLE.c.merchant_transaction_id.type})
_WANTED = RowSet(
    "wanted",
    {
        "merchant_transaction_id": _TABLE.c.merchant_transaction_id.type,
        "at": _TABLE.c.created_at.type,
        "asked_by": _TABLE.c.asked_by.type,
    },
)


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
        lock_in_order(session, _TABLE.c.merchant_transaction_id.in_(list(asked_at)))
    if not asked_at:
        return {}
    rows = [(name, at, (AskedBy.STRANGER if name in unvouched else by).value) for name, at in asked_at.items()]
    asked = session.execute(_ask(session), _WANTED.given(session, rows))
    return {row.merchant_transaction_id: row.generation for row in asked}


@for_each_dialect
def _ask(dialect: str) -> Executable:
    wanted = _WANTED.table(dialect).c
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
    statement = insert_on(dialect, _TABLE).from_select(
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
    is_due_before = _TABLE.c.next_attempt_at <= wanted_at
    waits_on = or_(
        _TABLE.c.last_http_status.in_(WAITS_AS_PROOF_SAYS),
        _TABLE.c.generation - _TABLE.c.settled_generation >= MOST_BROUGHT_FORWARD,
    )
    # One that waits for its call is not put off by each new event: it would never be overdue, nor the one due longest.
    keeps_time = or_((_TABLE.c.state == State.PENDING) & is_due_before, backs_off & or_(waits_on, is_due_before))
    asked: Executable = statement.on_conflict_do_update(
        index_elements=[_TABLE.c.merchant_transaction_id],
        set_={
            "generation": _TABLE.c.generation + 1,
            "state": case((backs_off | took_workers_down, State.RETRYING.value), else_=State.PENDING.value),
            "next_attempt_at": case((keeps_time, _TABLE.c.next_attempt_at), else_=wanted_at),
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
    return asked


def _find_locked(session: Session, names: Sequence[str]) -> set[str]:
    """Those of these transactions whose reconciliation somebody else has locked; all others are locked now. Where none
    is known, as with a new transaction, there is nothing to lock."""
    if session.get_bind().dialect.name == "sqlite":
        return set()
    given = _NAMES.given(session, [(name,) for name in names])
    of_all, of_locked = _known(session)
    known = session.scalars(of_all, given).all()
    return set(known).difference(session.scalars(of_locked, given)) if known else set()


@for_each_dialect
def _known(dialect: str) -> tuple[Select[Any], Select[Any]]:
    """Those of the names that are there; and the same, locked."""
    named = _NAMES.holds(dialect, "name", _TABLE.c.merchant_transaction_id)
    known = select(_TABLE.c.merchant_transaction_id).where(named)
    return known, known.order_by(sorted_afterwards(_TABLE.c.id)).with_for_update(of=_TABLE, skip_locked=True)
